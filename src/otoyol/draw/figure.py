"""matplotlib figures in one style, written as PNG and SVG. matplotlib is imported here, when needed."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from otoyol.draw.labels import number, say
from otoyol.draw.svg import PALETTE
from otoyol.errors import MissingExtraError
from otoyol.spec.files import write_bytes

STYLE: dict[Any, Any] = {
    "svg.hashsalt": "otoyol", "font.family": ["DejaVu Sans"], "axes.spines.top": False, "axes.spines.right": False,
    "hatch.linewidth": 0.8,
}  # fmt: skip
_ROUND = re.compile(r"(?<=\d)[.,]0{1,2}(?= )")  # 10.0 M: nothing is gained by the zeros of a tick
WHOLE = ("depth", "receptive_field")


@contextmanager
def figure(width: float, height: float) -> Iterator[Any]:
    """An empty figure of that many inches, in our style. Raises MissingExtraError without matplotlib."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("matplotlib", "plot") from None
    with matplotlib.rc_context(STYLE):
        yield Figure(figsize=(width, height), layout="constrained")


def save(drawn: Any, folder: Path, stem: str) -> None:
    """Write ``stem.png`` and ``stem.svg`` into ``folder``; equal figures give equal bytes."""
    for suffix, plain in ((".png", {"Software": None}), (".svg", {"Date": None})):
        data = io.BytesIO()
        drawn.savefig(data, format=suffix[1:], dpi=150, metadata=plain)
        write_bytes(folder / f"{stem}{suffix}", data.getvalue())


def colour(name: str) -> str:
    return PALETTE[name][0]


def quantity_name(key: str, lang: str) -> str:
    """What a quantity is called, with its unit where the figures do not carry one: ``latency_ms@ort,b1``."""
    quantity, _, where = key.partition("@")
    name = say(f"draw.quantity.{quantity}", lang)
    return f"{name}\n@{where}" if where else name


def written(key: str, value: float, lang: str) -> str:
    """A figure of that quantity as the language writes it, with three digits or so."""
    quantity = key.partition("@")[0]
    if quantity in WHOLE:
        return number(round(value), lang)
    if quantity.endswith("_bytes"):
        return number(round(value), lang, "bytes")
    if quantity in ("latency_ms", "error", "accuracy"):
        return number(float(value), lang, ".3g")
    return number(round(value), lang, "si")


def scale_axis(axis: Any, key: str, low: float, high: float, lang: str) -> None:
    """A logarithmic axis where figures span more than a factor of three, with few ticks at round figures."""
    from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

    if low > 0 and high > 3 * low:
        axis.axes.set_xscale("log") if axis.axis_name == "x" else axis.axes.set_yscale("log")
        axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())
        axis.set_major_locator(FixedLocator(round_ticks(low, high, key.partition("@")[0].endswith("_bytes"))))
    axis.set_major_formatter(lambda value, _: _ROUND.sub("", written(key, value, lang)))


def round_ticks(low: float, high: float, binary: bool = False, most: int = 6) -> list[float]:
    """At most ``most`` figures from ``low`` to ``high``: 1, 2 and 5 times a power of ten, or fewer of them; ``binary``:
    such figures of bytes, KiB, MiB and GiB."""
    ticks: list[float] = []
    for digits in ((1, 2, 5), (1, 3), (1,)):
        if binary:
            every = [d * 10.0**p * (1 << unit) for unit in (0, 10, 20, 30) for p in (0, 1, 2) for d in digits]
        else:
            powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
            every = [d * 10.0**p for p in powers for d in digits]
        ticks = [tick for tick in every if low * 0.999 <= tick <= high * 1.001]
        if len(ticks) <= most:
            return ticks
    return ticks[:: -(-len(ticks) // most)]
