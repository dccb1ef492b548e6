"""Costs stage by stage as a matplotlib figure. matplotlib is the extra ``plot`` and is imported here, when needed."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from otoyol.draw import labels
from otoyol.draw.costs import METRICS, Metric, Table, metric_title, stage_table, unit_of
from otoyol.draw.labels import number
from otoyol.draw.svg import PALETTE
from otoyol.errors import MissingExtraError, SpecError
from otoyol.spec import Spec
from otoyol.spec.files import write_bytes

HATCHES = ("", "///", "\\\\\\", "---", "...", "xxx")
SUFFIXES = (".png", ".svg")
NAME = 60  # characters of a design's name in the legend


def cost_plot(
    specs: Sequence[Spec], path: str | os.PathLike[str], metric: Metric | None = None, lang: str = "en", *,
    names: Sequence[str] | None = None,
) -> None:  # fmt: skip
    """Write grouped bars, one group a stage and one bar a design, as PNG or SVG by the suffix of ``path``.

    ``metric`` is one of ``params``, ``macs``, ``activations`` and ``train_bytes``; all four panels without it.
    ``names`` stand for the designs' text forms. Equal arguments give equal bytes. Raises MissingExtraError without
    matplotlib, SpecError for another suffix or metric.
    """
    labels.check_lang(lang)
    suffix = Path(path).suffix
    if suffix not in SUFFIXES:
        raise SpecError("path", Path(path).name, f"a name that ends in {' or '.join(SUFFIXES)}")
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("matplotlib", "plot") from None
    metrics = METRICS if metric is None else (metric,)
    tables = [stage_table(specs, m, lang) for m in metrics]
    if names:
        tables = [table._replace(names=tuple(names)) for table in tables]
    style: dict[Any, Any] = {"svg.hashsalt": "otoyol", "font.family": ["DejaVu Sans"], "axes.spines.top": False,
             "axes.spines.right": False, "hatch.linewidth": 0.8}  # fmt: skip
    with matplotlib.rc_context(style):
        across = min(2, len(metrics))
        down = len(metrics) // across
        breadth = max(6.4, 0.22 * len(tables[0].parts) * len(specs) + 2.0)
        figure = Figure(figsize=(breadth * across, 3.9 * down), layout="constrained")
        for axes, m, table in zip(figure.subplots(down, across, squeeze=False).flat, metrics, tables, strict=True):
            _panel(axes, table, m, lang)
        if len(specs) > 1:
            handles, names = figure.axes[0].get_legend_handles_labels()
            figure.legend(handles, names, loc="outside lower center", ncols=1, frameon=False, fontsize=9)
        else:
            figure.suptitle(_short(tables[0].names[0]), fontsize=12)
        data = io.BytesIO()
        plain: dict[str, Any] = {"Date": None} if suffix == ".svg" else {"Software": None}
        figure.savefig(data, format=suffix[1:], dpi=150, metadata=plain)
    write_bytes(path, data.getvalue())


def _panel(axes: Any, table: Table, metric: Metric, lang: str) -> None:
    """One cost: a group of bars for each part of the network."""
    from matplotlib.ticker import MultipleLocator

    unit = unit_of(metric)
    each = 0.82 / len(table.names)
    for series, (name, row) in enumerate(zip(table.names, table.values, strict=True)):
        left = [p - 0.41 + each * (series + 0.5) for p in range(len(table.parts))]
        axes.bar(
            left, [value or 0 for value in row], each * 0.94, label=_short(name), edgecolor="white", linewidth=0.4,
            color=PALETTE[f"series{series % len(HATCHES)}"][0], hatch=HATCHES[series % len(HATCHES)],
        )  # fmt: skip
    axes.set_title(metric_title(metric, lang), fontsize=10.5, loc="left")
    many = len(table.parts) > 8
    axes.set_xticks(range(len(table.parts)), table.parts, fontsize=9, rotation=60 if many else 0)
    if unit == "bytes":
        axes.yaxis.set_major_locator(
            MultipleLocator(_byte_step(max(value or 0 for row in table.values for value in row)))
        )
    axes.yaxis.set_major_formatter(lambda value, _: number(round(value), lang, unit))
    axes.tick_params(axis="y", labelsize=9)
    axes.set_axisbelow(True)
    axes.grid(axis="y", color=PALETTE["line"][0], linewidth=0.6)


def _byte_step(largest: int) -> float:
    """A round number of bytes, KiB, MiB or GiB that takes four to ten steps to ``largest``."""
    size = max(unit for unit in (1, 1 << 10, 1 << 20, 1 << 30) if unit <= max(largest, 1))
    power = 10.0 ** math.floor(math.log10(max(largest / size / 4, 1e-9)))
    return size * max(round_ * power for round_ in (1, 2, 5) if round_ * power <= largest / size / 4)


def _short(name: str) -> str:
    return name if len(name) <= NAME else name[: NAME - 1] + "…"
