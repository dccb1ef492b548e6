"""Marks that the diagrams share: the motorway, its barriers and signs, operators' glyphs, arrows."""

from __future__ import annotations

from otoyol.draw.layout import ROAD, THIN
from otoyol.draw.svg import Drawing
from otoyol.ops import Op

MAX_SEAMS = 15  # lines that show groups
BARRIER = 18.0


def motorway(d: Drawing, x: float, top: float, bottom: float) -> None:
    """Asphalt with kerbs and a broken centre line."""
    d.add("rect", "road", x=x - ROAD / 2, y=top, width=ROAD, height=bottom - top, rx=3)
    d.add("path", "mark", d=f"M{_f(x)} {_f(top + 6)}V{_f(bottom - 6)}")


def arrow_on_road(d: Drawing, x: float, y: float) -> None:
    """The direction of travel, painted on the asphalt."""
    d.add("rect", "plain", x=x - 10, y=y - 17, width=20, height=34)
    d.add("path", "arrow", d=f"M{_f(x - 2.5)} {_f(y - 15)}h5v15h6l-8.5 15l-8.5 -15h6z")


def chevron(d: Drawing, x: float, y: float, way: int) -> None:
    """A small arrowhead on a ramp, to the right (1) or left (-1)."""
    d.add("path", "arrow", d=f"M{_f(x - 3 * way)} {_f(y - 4)}L{_f(x + 4 * way)} {_f(y)}L{_f(x - 3 * way)} {_f(y + 4)}Z")


def barrier(d: Drawing, x: float, y: float) -> None:
    """A striped barrier across the motorway, centred on ``y``."""
    width = ROAD + 16
    d.add("rect", "barrier", x=x - width / 2, y=y - BARRIER / 2, width=width, height=BARRIER, rx=3, fill=d.hazard())


def plate(d: Drawing, x: float, y: float) -> None:
    """An operator that the audit finds harmless: written on the road, in nobody's way."""
    d.add("rect", "panel", x=x - ROAD / 2 - 4, y=y - BARRIER / 2, width=ROAD + 8, height=BARRIER, rx=3)


def road_sign(d: Drawing, x: float, y: float, is_open: bool) -> None:
    """A round sign: an arrow where the way is open, a bar ("no entry") where it is not."""
    d.add("circle", "open" if is_open else "stop", cx=x, cy=y, r=10)
    if is_open:
        d.add("path", "onsign", d=f"M{_f(x - 2)} {_f(y - 6.5)}h4v6.5h3.5l-5.5 7l-5.5 -7h3.5z")
    else:
        d.add("rect", "onsign", x=x - 6.5, y=y - 2.2, width=13, height=4.4, rx=1)


def plus(d: Drawing, x: float, y: float, r: float = 14.0) -> None:
    """The addition."""
    d.add("circle", "node", cx=x, cy=y, r=r)
    arm = r * 0.55
    d.add("path", "sum", d=f"M{_f(x - arm)} {_f(y)}h{_f(2 * arm)}M{_f(x)} {_f(y - arm)}v{_f(2 * arm)}")


def times(d: Drawing, x: float, y: float, r: float = 11.0) -> None:
    """A product."""
    d.add("circle", "node", cx=x, cy=y, r=r)
    arm = r * 0.42
    d.add("path", "sum", d=f"M{_f(x - arm)} {_f(y - arm)}l{_f(2 * arm)} {_f(2 * arm)}m0 {_f(-2 * arm)}"
          f"l{_f(-2 * arm)} {_f(2 * arm)}")  # fmt: skip


def glyph(d: Drawing, op: Op, x: float, top: float, height: float, scale: float) -> None:
    """An operator in a lane; its edges are as wide as the tensors that enter and leave."""
    a, b = max(THIN, op.c_in * scale) / 2, max(THIN, op.c_out * scale) / 2
    middle = top + height / 2
    if op.kind in ("conv", "conv1d", "linear"):
        d.add("path", "conv", d=f"M{_f(x - a)} {_f(top)}H{_f(x + a)}L{_f(x + b)} {_f(top + height)}H{_f(x - b)}Z")
        seams = min(op.groups, MAX_SEAMS + 1)
        for k in range(1, seams):
            t = 2 * k / seams - 1
            d.add("line", "seam", x1=x + a * t, y1=top, x2=x + b * t, y2=top + height)
        return
    if op.kind == "add":
        plus(d, x, middle, 11)
        return
    if op.kind == "mul":
        times(d, x, middle)
        return
    css, radius = _BARS.get(op.kind, ("pool", 2.0))
    d.add("rect", css, x=x - a, y=middle - 7, width=2 * a, height=14, rx=min(radius, a))


_BARS = {"norm": ("norm", 2.0), "act": ("act", 7.0), "relu": ("act", 7.0), "sigmoid": ("gate", 7.0)}


def wire(d: Drawing, points: list[tuple[float, float]], css: str = "wire", tip: bool = True) -> None:
    """A line through ``points`` with rounded turns, and an arrowhead at its end."""
    radius = 10.0 if css == "wire" else 16.0
    path = f"M{_f(points[0][0])} {_f(points[0][1])}"
    for before, here, after in zip(points, points[1:], points[2:], strict=False):
        r = min(radius, _distance(before, here) / 2, _distance(here, after) / 2)
        (x0, y0), (x1, y1) = _toward(here, before, r), _toward(here, after, r)
        path += f"L{_f(x0)} {_f(y0)}Q{_f(here[0])} {_f(here[1])} {_f(x1)} {_f(y1)}"
    d.add("path", css, d=path + f"L{_f(points[-1][0])} {_f(points[-1][1])}")
    if tip:
        _tip(d, points[-2], points[-1])


def _tip(d: Drawing, before: tuple[float, float], end: tuple[float, float]) -> None:
    x, y = end
    length = _distance(before, end) or 1.0
    ux, uy = (x - before[0]) / length, (y - before[1]) / length
    bx, by = x - 7 * ux, y - 7 * uy
    corners = f"{_f(bx - 4 * uy)} {_f(by + 4 * ux)}L{_f(bx + 4 * uy)} {_f(by - 4 * ux)}"
    d.add("path", "tip", d=f"M{_f(x)} {_f(y)}L{corners}Z")


def _distance(a: tuple[float, float], b: tuple[float, float]) -> float:
    return ((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2) ** 0.5


def _toward(a: tuple[float, float], b: tuple[float, float], r: float) -> tuple[float, float]:
    length = _distance(a, b) or 1.0
    return a[0] + (b[0] - a[0]) * r / length, a[1] + (b[1] - a[1]) * r / length


def _f(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
