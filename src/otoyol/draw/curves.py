"""Figures block by block, or step by step, as lines with their spread: one panel a quantity, one line a design."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from otoyol.draw.figure import colour, figure, round_ticks, save
from otoyol.draw.labels import check_lang, number

# Colour, line and marker: any one of them tells the lines apart.
STYLES: tuple[tuple[str, Any, str], ...] = (
    ("series0", "-", "o"), ("series1", "--", "s"), ("series2", "-.", "^"), ("series3", ":", "D"),
    ("series4", (0, (5, 1, 1, 1, 1, 1)), "v"), ("series5", (0, (1, 2)), "P"), ("ink", (0, (8, 2)), "X"),
)  # fmt: skip
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MARKERS = 10  # on a line at most
NAME = 60  # characters of a design's name in the legend
ACROSS = 2  # panels in a row


class Curve(NamedTuple):
    """One line: ``values`` from the first block (or step) on, None where there is none. ``low`` and ``high`` bound
    its spread, and are empty where nothing is known of it."""

    name: str
    values: tuple[float | None, ...]
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()


class Panel(NamedTuple):
    """One quantity. ``log``: logarithmic where figures span more than a factor of ten. ``unit`` is a format of the
    catalogue (``.0%``) or empty; ``lines``: values to mark, by curve. Panels of the same ``scale`` share their axis."""

    title: str
    x: str
    curves: tuple[Curve, ...]
    log: bool = False
    unit: str = ""
    lines: tuple[float, ...] = ()
    scale: str = ""


def spread_over(name: str, rows: Sequence[Sequence[float | None]]) -> Curve:
    """Several runs as their mean, lowest and highest; one run as itself."""
    columns = [[value for value in column if value is not None] for column in zip(*rows, strict=True)]
    mean = tuple(sum(column) / len(column) if column else None for column in columns)
    if len(rows) < 2:
        return Curve(name, mean)
    low = tuple(min(column, default=None) for column in columns)
    return Curve(name, mean, low, tuple(max(column, default=None) for column in columns))


def curves_plot(panels: Sequence[Panel], folder: Path, stem: str, lang: str = "en", title: str = "") -> None:
    """Write ``stem.png`` and ``stem.svg`` into ``folder``. Curves of one name look the same in every panel.

    Raises MissingExtraError without matplotlib.
    """
    check_lang(lang)
    names = list(dict.fromkeys(curve.name for panel in panels for curve in panel.curves))
    across = min(ACROSS, len(panels))
    down = -(-len(panels) // across)
    with figure(max(6.8, 5.4 * across), 3.7 * down + 0.25 * len(names)) as drawn:
        cells = list(drawn.subplots(down, across, squeeze=False).flat)
        for axes, panel in zip(cells, panels, strict=False):
            _panel(axes, panel, names, lang)
            alike = [other for other in panels if other is panel or (panel.scale and other.scale == panel.scale)]
            _scale(axes, panel, [value for other in alike for value in _values(other)], lang)
        for axes in cells[len(panels) :]:
            axes.remove()
        if title:
            drawn.suptitle(title, fontsize=11.5)
        handles = {
            label: line for axes in drawn.axes for line, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        drawn.legend(
            [handles[name] for name in names], [_short(name) for name in names], loc="outside lower center",
            ncols=1 if max(map(len, names)) > 28 else min(3, len(names)), frameon=False, fontsize=9, handlelength=3.2,
        )  # fmt: skip
        save(drawn, folder, stem)


def _panel(axes: Any, panel: Panel, names: list[str], lang: str) -> None:
    from matplotlib.ticker import MaxNLocator

    for curve in panel.curves:
        order = names.index(curve.name) % len(STYLES)
        name, style, marker = STYLES[order]
        shade = colour(name)
        at = range(1, len(curve.values) + 1)
        values = [_shown(value, panel.log) for value in curve.values]
        if curve.low:
            low, high = ([_shown(value, panel.log) for value in bound] for bound in (curve.low, curve.high))
            axes.fill_between(at, low, high, color=shade, alpha=0.18, linewidth=0)
        axes.plot(
            at, values, linestyle=style, color=shade, linewidth=1.6, marker=marker, markersize=4.2,
            label=curve.name,
            markevery=(order, max(1, len(values) // MARKERS)) if len(values) > MARKERS else None,
        )  # fmt: skip
    for order, value in enumerate(panel.lines):
        axes.axhline(value, color=colour(STYLES[order % len(STYLES)][0]), linewidth=0.9, linestyle=(0, (2, 2)))
    axes.set_title(panel.title, fontsize=10.5, loc="left")
    axes.set_xlabel(panel.x, fontsize=9.5)
    longest = max((len(curve.values) for curve in panel.curves), default=1)
    margin = min(0.9, 0.03 * longest)  # so that no tick stands at a block 0
    axes.set_xlim(1 - margin, longest + margin)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, nbins=8))
    axes.xaxis.set_major_formatter(lambda value, _: number(round(value), lang))
    axes.tick_params(labelsize=9)
    axes.set_axisbelow(True)
    axes.grid(axis="y", color=colour("line"), linewidth=0.6)


def _values(panel: Panel) -> list[float]:
    """Every figure that is shown."""
    bounds = (bound for curve in panel.curves for bound in (curve.values, curve.low, curve.high))
    return [*panel.lines, *(value for bound in bounds for value in bound if value is not None)]


def _scale(axes: Any, panel: Panel, values: list[float], lang: str) -> None:
    """Logarithmic where that is wanted, possible and of use; figures as the language writes them."""
    from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter, NullLocator

    shown = [value for value in values if value > 0] if panel.log else values
    if not shown:
        return
    low, high = min(shown), max(shown)
    if panel.log and high > 10 * low:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.25, high * 1.25)
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_locator(FixedLocator(round_ticks(low / 1.25, high * 1.25)))
    else:
        margin = 0.06 * (high - low) or 0.1 * abs(high)
        axes.set_ylim(*((low - margin, high + margin) if margin else (-0.06, 1.06)))  # zeros alone: from 0 to 1
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(lambda value, _: _figure(float(value), panel.unit, lang))


def _figure(value: float, unit: str, lang: str) -> str:
    """A tick's figure; large and small ones as a power of ten."""
    if unit or value == 0 or 1e-4 <= abs(value) < 1e4:
        return number(value, lang, unit or (".3g" if abs(value) < 1e3 else ".0f"))
    mantissa, _, exponent = f"{value:.0e}".partition("e")
    power = "10" + str(int(exponent)).translate(_SUPERSCRIPT)
    return power if mantissa == "1" else f"{mantissa}·{power}"


def _shown(value: float | None, log: bool) -> float:
    return float("nan") if value is None or (log and value <= 0) else value


def _short(name: str) -> str:
    """Start and end of a long name: designs that are compared often begin alike."""
    half = (NAME - 1) // 2
    return name if len(name) <= NAME else f"{name[: NAME - 1 - half]}…{name[-half:]}"
