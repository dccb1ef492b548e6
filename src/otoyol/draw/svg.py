"""SVG as text, written in order and escaped in one place; widths of text from one conservative table."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import Literal, get_args
from xml.sax.saxutils import escape

from otoyol.errors import SpecError

Theme = Literal["light", "dark", "auto", "page"]  # page: no rules of its own, the page carries stylesheet()
XMLNS = "http://www.w3.org/2000/svg"
FONT = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', 'Noto Sans', 'DejaVu Sans', sans-serif"
MONO = "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"

# Advance widths in em of the widest common user-interface font (DejaVu Sans), so that no font overflows its place.
_NARROW = dict.fromkeys("iIjl.,:;'|!·()[]/ ft-r", 0.42)
_WIDE = dict.fromkeys("mwMW×→⊕@%+−–GOQDNU", 0.86) | dict.fromkeys("mW", 0.99)
MONO_WIDTH = 0.62  # em
_QUOTES = {'"': "&quot;", "\r": "&#13;", "\n": "&#10;", "\t": "&#09;"}
_SPECIAL = re.compile('[&<>"\r\n\t]')
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f\ufffe\uffff]")

# light, dark
PALETTE: dict[str, tuple[str, str]] = {
    "paper": ("#ffffff", "#14171c"),
    "panel": ("#f4f6f8", "#1d2229"),
    "line": ("#d3d9e0", "#3a424d"),
    "ink": ("#16202b", "#eef1f5"),
    "muted": ("#55616e", "#a9b4c0"),
    "flow": ("#cfe0f2", "#2a405a"),
    "conv": ("#2f6db3", "#5b9be6"),
    "norm": ("#ffffff", "#14171c"),
    "act": ("#e2a100", "#f0b93a"),
    "gate": ("#7a4fb5", "#b08ae8"),
    "road": ("#3b424c", "#59626f"),
    "kerb": ("#16202b", "#c9d1da"),
    "mark": ("#ffffff", "#ffffff"),
    "stop": ("#c62828", "#ff6b6b"),
    "stripe": ("#ffd23f", "#ffd23f"),
    "open": ("#0a7a3d", "#3ecf82"),
    "sign": ("#00693c", "#00693c"),
    "series0": ("#2f6db3", "#5b9be6"),
    "series1": ("#e2a100", "#f0b93a"),
    "series2": ("#1f8a5b", "#4cc38a"),
    "series3": ("#b0413e", "#ff8a80"),
    "series4": ("#7a4fb5", "#b08ae8"),
    "series5": ("#5b6673", "#9aa6b2"),
    "onsign": ("#ffffff", "#ffffff"),
}

_RULES = """
{s} text {{ font-family: {font}; font-size: 13px; fill: {ink}; }}
{s} .mono {{ font-family: {mono}; font-size: 11.5px; fill: {muted}; }}
{s} .strong {{ font-weight: 650; }}
{s} .title {{ font-size: 16px; font-weight: 650; }}
{s} .small {{ font-size: 11.5px; fill: {muted}; }}
{s} .caption {{ font-size: 11px; fill: {muted}; letter-spacing: .06em; }}
{s} .paper {{ fill: {paper}; }}
{s} .panel {{ fill: {panel}; stroke: {line}; }}
{s} .wire {{ fill: none; stroke: {muted}; stroke-width: 1.6; }}
{s} .tip {{ fill: {muted}; }}
{s} .flow {{ fill: {flow}; }}
{s} .conv {{ fill: {conv}; }}
{s} .seam {{ stroke: {paper}; stroke-width: 1; }}
{s} .norm {{ fill: {norm}; stroke: {conv}; stroke-width: 1.5; }}
{s} .act {{ fill: {act}; }}
{s} .gate {{ fill: {gate}; }}
{s} .pool {{ fill: {flow}; stroke: {conv}; stroke-width: 1.5; }}
{s} .node {{ fill: {paper}; stroke: {ink}; stroke-width: 2; }}
{s} .sum {{ fill: none; stroke: {ink}; stroke-width: 2; }}
{s} .road {{ fill: {road}; stroke: {kerb}; stroke-width: 2; }}
{s} .ramp {{ fill: none; stroke: {road}; stroke-width: 12; }}
{s} .plain {{ fill: {road}; }}
{s} .mark {{ fill: none; stroke: {mark}; stroke-width: 3; stroke-dasharray: 11 9; }}
{s} .arrow {{ fill: {mark}; }}
{s} .stop {{ fill: {stop}; }}
{s} .open {{ fill: {open}; }}
{s} .onsign {{ fill: {onsign}; }}
{s} .stripe0 {{ fill: {stripe}; }}
{s} .stripe1 {{ stroke: #16202b; stroke-width: 6; }}
{s} .barrier {{ stroke: {kerb}; stroke-width: 1.5; }}
{s} .sign {{ fill: {sign}; }}
{s} .series0 {{ fill: {series0}; }}
{s} .series1 {{ fill: {series1}; }}
{s} .series2 {{ fill: {series2}; }}
{s} .series3 {{ fill: {series3}; }}
{s} .series4 {{ fill: {series4}; }}
{s} .series5 {{ fill: {series5}; }}
{s} .texture {{ stroke: {paper}; stroke-width: 3; }}
{s} .rule {{ stroke: {line}; stroke-width: 1; }}
{s} .rim {{ fill: none; stroke: {onsign}; stroke-width: 1.5; }}
{s} text.onsign {{ fill: {onsign}; }}
{s} text.onmono {{ font-family: {mono}; font-size: 11.5px; fill: {onsign}; }}
"""


Layer = list["str | Layer"]  # markup in order; a layer within is filled later


class Drawing:
    """An SVG element under construction. ``uid`` is the prefix of every id and the scope of every style rule."""

    def __init__(self, uid: str, theme: Theme, title: str, description: str) -> None:
        if theme not in get_args(Theme):
            raise SpecError("theme", theme, "light, dark, auto or page")
        self.uid = uid
        self.head = [self._named("title", title), self._named("desc", description)]
        if theme != "page":
            self.head.append(_element("style", "", escape(stylesheet(f"#{uid}", theme))))
        self.patterns: dict[str, str] = {}
        self.body: Layer = []
        self.at = self.body

    def _named(self, tag: str, text: str) -> str:
        return _element(tag, _attributes({"id": f"{self.uid}-{tag}"}), _text(text))

    def add(self, tag: str, css: str = "", text: str = "", **attributes: float | str) -> None:
        """The next mark; underscores in names stand for hyphens, numbers lose needless digits."""
        named = f' class="{css}"' if css else ""
        self.at.append(_element(tag, named + _attributes(attributes), _text(text) if text else ""))

    def text(self, x: float, y: float, text: str, css: str = "", anchor: str = "start") -> None:
        """One line of text on the baseline ``y``."""
        extra = {} if anchor == "start" else {"text_anchor": anchor}
        self.add("text", css, text, x=x, y=y, **extra)

    def group(self, title: str, **attributes: str) -> None:
        """Open a group with a tooltip; :meth:`close` ends it."""
        self.at.append(f"<g{_attributes(attributes)}>" + _element("title", "", _text(title)))

    def close(self) -> None:
        """End the open group."""
        self.at.append("</g>")

    def layer(self) -> Layer:
        """A group without a tooltip that lies here and may be filled later, while :attr:`at` is it."""
        inside: Layer = []
        self.at += ["<g>", inside, "</g>"]
        return inside

    def hazard(self) -> str:
        """Paint of a barrier's stripes."""
        return self._pattern("hazard", 12, 45, [("rect", "stripe0", "0 0 12 12"), ("line", "stripe1", "0 0 0 12")])

    def texture(self, k: int) -> str:
        """Paint of the lines over the ``k``-th series' hue (from 1), so that hue is not needed to tell series apart."""
        return self._pattern(f"texture{k}", 7, (0, 45, -45, 90, 0, 20)[k], [("line", "texture", "0 0 0 7")])

    def _pattern(self, name: str, size: int, turn: int, marks: list[tuple[str, str, str]]) -> str:
        """A pattern defined on first use; its URL."""
        name = f"{self.uid}-{name}"
        if name not in self.patterns:
            inside = ""
            for tag, css, box in marks:
                names = ("x", "y", "width", "height") if tag == "rect" else ("x1", "y1", "x2", "y2")
                inside += _element(tag, _attributes({"class_": css, **dict(zip(names, box.split(), strict=True))}))
            about: dict[str, float | str] = {
                "id": name, "width": size, "height": size, "patternUnits": "userSpaceOnUse",
                "patternTransform": f"rotate({turn})",
            }  # fmt: skip
            self.patterns[name] = _element("defs", "", _element("pattern", _attributes(about), inside))
        return f"url(#{name})"

    def finish(self, width: float, height: float) -> str:
        """The SVG's text, with a background, at its natural size and able to shrink."""
        w, h = _figure(round(width)), _figure(round(height))
        named = _attributes({
            "xmlns": XMLNS, "id": self.uid, "role": "img", "aria-labelledby": f"{self.uid}-title {self.uid}-desc",
            "viewBox": f"0 0 {w} {h}", "width": w, "height": h,
        })  # fmt: skip
        paper = _element("rect", _attributes({"class_": "paper", "width": w, "height": h}))
        return _element("svg", named, "".join([*self.head, paper, *self.patterns.values(), *_flat(self.body)]))


def _flat(layer: Layer) -> Iterator[str]:
    for part in layer:
        if isinstance(part, str):
            yield part
        else:
            yield from _flat(part)


def _element(tag: str, attributes: str, inside: str = "") -> str:
    return f"<{tag}{attributes}>{inside}</{tag}>" if inside else f"<{tag}{attributes} />"


def _attributes(values: Mapping[str, float | str]) -> str:
    return "".join([f' {_attribute(name)}="{_figure(value)}"' for name, value in values.items()])


@cache
def _attribute(name: str) -> str:
    return name.rstrip("_").replace("_", "-")


def _text(text: str) -> str:
    return _escaped(clean(text), {})


def stylesheet(scope: str, theme: Theme) -> str:
    """The rules under ``scope`` in plain colours: not every SVG reader knows custom properties."""
    light, dark = (
        _RULES.format(s=scope, font=FONT, mono=MONO, **{name: pair[i] for name, pair in PALETTE.items()})
        for i in (0, 1)
    )
    if theme == "light":
        return light
    return dark if theme == "dark" else f"{light}@media screen and (prefers-color-scheme: dark) {{{dark}}}\n"


def uid_of(*parts: object) -> str:
    """An id that depends on nothing but what is drawn."""
    return "oto-" + hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:10]


def clean(text: str) -> str:
    """Text without the characters that XML forbids."""
    return _CONTROL.sub("�", text)


@lru_cache(maxsize=4096)
def text_width(text: str, size: float = 13.0, mono: bool = False) -> float:
    """Pixels that ``text`` needs at most."""
    if mono:
        return MONO_WIDTH * size * len(text)
    return size * sum(_WIDE.get(c) or _NARROW.get(c) or 0.66 for c in text)


def wrap(words: list[str], width: float, size: float = 13.0, joint: str = " ") -> list[str]:
    """Lines of ``words`` no wider than ``width``; a word that is wider has a line of its own."""
    lines: list[str] = []
    for word in words:
        if lines and text_width(lines[-1] + joint + word, size) <= width:
            lines[-1] += joint + word
        else:
            lines.append(word)
    return lines


def _escaped(text: str, entities: dict[str, str]) -> str:
    return escape(text, entities) if _SPECIAL.search(text) else text  # hardly any text needs it


def _figure(value: float | str) -> str:
    if isinstance(value, str):
        return _escaped(value, _QUOTES)
    return f"{value:.2f}".rstrip("0").rstrip(".")
