"""A space of designs and its Pareto front as pictures: scatter, parallel coordinates, distribution functions."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from otoyol.draw.figure import colour, figure, quantity_name, save, scale_axis, written
from otoyol.draw.labels import check_lang, say

PANELS = 3  # pairs of objectives in one scatter
LINES = 200  # of a front in parallel coordinates
CHOSEN = ("series3", "*")
ERROR = "error"
MARKS = (("series1", "s"), ("series2", "D"), ("series4", "^"), ("series5", "v"))


class Mark(NamedTuple):
    """A design that is pointed out."""

    name: str
    values: Mapping[str, float]


class Scene(NamedTuple):
    """A search. ``front`` and ``cloud``: quantity → figures, one a design; ``within``: which of the cloud meet all
    budgets. ``better``: objective → 1 where more is better, -1 where less is. ``limits``: quantity → bound."""

    front: Mapping[str, np.ndarray]
    cloud: Mapping[str, np.ndarray]
    within: np.ndarray
    chosen: Mark
    rivals: tuple[Mark, ...]
    better: Mapping[str, int]
    limits: Mapping[str, float]
    errors: np.ndarray  # of designs that were tried, in percent; empty without trials


def pareto_plot(scene: Scene, folder: Path, lang: str = "en", stem: str = "pareto") -> None:
    """The front in the plane of two objectives (of three or more: of the first three pairs), the space behind it.

    Writes ``pareto.png`` and ``pareto.svg``. Raises MissingExtraError without matplotlib.
    """
    check_lang(lang)
    keys = list(scene.better)
    pairs = list(combinations(keys, 2))[:PANELS] or [(keys[0], next(k for k in scene.front if k != keys[0]))]
    with figure(max(6.4, 4.7 * len(pairs)), 4.9) as drawn:
        for axes, (x, y) in zip(drawn.subplots(1, len(pairs), squeeze=False).flat, pairs, strict=True):
            _scatter(axes, scene, x, y, lang)
        _legend(drawn)
        save(drawn, folder, stem)


def _scatter(axes: Any, scene: Scene, x: str, y: str, lang: str) -> None:
    within = scene.within
    for mask, shade, label in (
        (~within, "line", "draw.front.cloud_out"),
        (within, "series5", "draw.front.cloud_in"),
    ):
        axes.scatter(
            scene.cloud[x][mask], scene.cloud[y][mask], s=5, linewidths=0, color=colour(shade), rasterized=True,
            label=say(label, lang), alpha=0.75,
        )  # fmt: skip
    order = np.argsort(scene.front[x])
    line = "-" if len(scene.better) == 2 else "none"
    axes.plot(
        scene.front[x][order], scene.front[y][order], linestyle=line, marker="o",
        markersize=4.5 if len(order) <= 60 else 3.0, linewidth=1.1,
        color=colour("series0"), label=say("draw.front.front", lang), zorder=3,
    )  # fmt: skip
    for mark, (shade, shape) in zip(scene.rivals, MARKS, strict=False):
        axes.scatter(
            [mark.values[x]], [mark.values[y]], marker=shape, s=58, color=colour(shade), edgecolor=colour("ink"),
            linewidths=0.8, label=mark.name, zorder=4,
        )  # fmt: skip
    axes.scatter(
        [scene.chosen.values[x]], [scene.chosen.values[y]], marker=CHOSEN[1], s=230, color=colour(CHOSEN[0]),
        edgecolor="white", linewidths=0.9, label=scene.chosen.name, zorder=5,
    )  # fmt: skip
    for axis, key in ((axes.xaxis, x), (axes.yaxis, y)):
        low, high = _span(scene, key)
        scale_axis(axis, key, low, high, lang)
    axes.set_xlabel(_axis_name(scene, x, lang), fontsize=10)
    axes.set_ylabel(_axis_name(scene, y, lang), fontsize=10)
    axes.tick_params(labelsize=9)
    axes.set_axisbelow(True)
    axes.grid(color=colour("line"), linewidth=0.5)


def _span(scene: Scene, key: str) -> tuple[float, float]:
    """The least and the largest figure of everything that is drawn."""
    marks = [mark.values[key] for mark in (scene.chosen, *scene.rivals)]
    everything = np.concatenate([scene.front[key], scene.cloud[key], marks])
    return float(everything.min()), float(everything.max())


def _axis_name(scene: Scene, key: str, lang: str) -> str:
    name = quantity_name(key, lang).replace("\n", " ")
    sense = scene.better.get(key, 0)
    return name + (f" ({say('draw.front.more' if sense > 0 else 'draw.front.less', lang)})" if sense else "")


def _legend(drawn: Any) -> None:
    found: dict[str, Any] = {}
    for axes in drawn.axes:
        handles, names = axes.get_legend_handles_labels()
        found = {**dict(zip(names, handles, strict=True)), **found}
    legend = drawn.legend(found.values(), found.keys(), loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    for handle, dotted in zip(legend.legend_handles, found.values(), strict=True):
        if hasattr(dotted, "get_sizes") and dotted.get_sizes()[0] < 20:  # the cloud's dots would not be seen
            handle.set_sizes([24.0])


def parallel_plot(scene: Scene, folder: Path, lang: str = "en", stem: str = "parallel") -> None:
    """Parallel coordinates: a line a design on the front, an axis a quantity, logarithmic from least to most.

    Writes ``parallel.png`` and ``parallel.svg``. Raises MissingExtraError without matplotlib.
    """
    check_lang(lang)
    keys = list(scene.front)
    marks = (*scene.rivals, scene.chosen)
    spans = {}
    for key in keys:
        figures = np.concatenate([scene.front[key], [mark.values[key] for mark in marks]])
        spans[key] = (float(figures.min()), float(figures.max()))

    def place(key: str, value: Any) -> Any:
        low, high = (np.log(max(bound, 1e-12)) for bound in spans[key])
        return (
            (np.log(np.maximum(value, 1e-12)) - low) / (high - low) if high > low else np.full_like(value, 0.5, float)
        )

    across = np.arange(len(keys))
    rows = np.stack([place(key, scene.front[key]) for key in keys], axis=1)[
        :: max(1, len(scene.front[keys[0]]) // LINES)
    ]
    with figure(max(6.4, 1.75 * len(keys)), 4.9) as drawn:
        axes = drawn.subplots()
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.vlines(across, 0, 1, color=colour("line"), linewidth=1.2)
        for i, row in enumerate(rows):
            axes.plot(
                across, row, color=colour("series0"), linewidth=1.0, alpha=max(0.25, min(0.8, 12 / len(rows))),
                label=say("draw.front.front", lang) if i == 0 else None,
            )  # fmt: skip
        for mark, (shade, shape) in zip(scene.rivals, MARKS, strict=False):
            at = [float(place(key, mark.values[key])) for key in keys]
            axes.plot(
                across,
                at,
                color=colour(shade),
                linestyle="--",
                linewidth=1.6,
                marker=shape,
                markersize=5.5,
                label=mark.name,
            )
        at = [float(place(key, scene.chosen.values[key])) for key in keys]
        axes.plot(
            across, at, color=colour(CHOSEN[0]), linewidth=2.6, marker=CHOSEN[1], markersize=11,
            markeredgecolor="white", label=scene.chosen.name, zorder=5,
        )  # fmt: skip
        for i, key in enumerate(keys):
            low, high = spans[key]
            axes.text(i, -0.035, written(key, low, lang), ha="center", va="top", fontsize=9)
            axes.text(i, 1.035, written(key, high, lang), ha="center", va="bottom", fontsize=9)
            if key in scene.limits and low < scene.limits[key] < high:
                y = float(place(key, scene.limits[key]))
                axes.plot(
                    [i - 0.12, i + 0.12],
                    [y, y],
                    color=colour("ink"),
                    linewidth=2.2,
                    label=say("draw.front.limit", lang),
                )
        arrows = {1: " ↑", -1: " ↓"}
        names = [wrap(quantity_name(key, lang) + arrows.get(scene.better.get(key, 0), "")) for key in keys]
        axes.set_xticks(across, names, fontsize=9.5)
        axes.tick_params(length=0, pad=16)
        axes.set_yticks([])
        axes.set_xlim(-0.45, len(keys) - 0.55)
        _legend(drawn)
        save(drawn, folder, stem)


def wrap(text: str, width: int = 16) -> str:
    return "\n".join(line for part in text.split("\n") for line in textwrap.wrap(part, width))


def edf_plot(scene: Scene, folder: Path, lang: str = "en", stem: str = "edf") -> None:
    """Empirical distribution functions (Radosavovic et al. 2020, section 3.1) of the sampled space: the share of
    designs whose figure is at most x, for the whole space and for what meets the budgets.

    Writes ``edf.png`` and ``edf.svg``. Raises MissingExtraError without matplotlib.
    """
    check_lang(lang)
    keys = list(scene.cloud)
    if len(scene.errors):
        keys.insert(0, ERROR)
    columns = min(3, len(keys))
    down = -(-len(keys) // columns)
    with figure(max(6.4, 3.9 * columns), 3.2 * down + 0.7) as drawn:
        panels = list(drawn.subplots(down, columns, squeeze=False).flat)
        for axes in panels[len(keys) :]:
            axes.set_visible(False)
        for axes, key in zip(panels, keys, strict=False):
            _edf(axes, scene, key, lang)
        if len(scene.errors):
            panels[0].ecdf(scene.errors, color=colour("series3"), linewidth=1.8, label=say("draw.front.tried", lang))
        for row in range(down):
            panels[row * columns].set_ylabel(say("draw.front.share", lang), fontsize=10)
        _legend(drawn)
        save(drawn, folder, stem)


def _edf(axes: Any, scene: Scene, key: str, lang: str) -> None:
    if key == ERROR:
        _edf_frame(axes, key, scene.errors, lang)
        return
    column = scene.cloud[key]
    for figures, shade, line, label in (
        (column, "series5", "-", "draw.front.all"),
        (column[scene.within], "series0", "--", "draw.front.inside"),
    ):
        if len(figures):
            axes.ecdf(figures, color=colour(shade), linestyle=line, linewidth=1.8, label=say(label, lang))
    for mark, (shade, shape) in (*zip(scene.rivals, MARKS, strict=False), (scene.chosen, CHOSEN)):
        if key in mark.values:
            at = float(np.mean(column <= mark.values[key]))
            axes.plot(
                [mark.values[key]], [at], marker=shape, markersize=13 if shape == CHOSEN[1] else 7, linestyle="none",
                color=colour(shade), markeredgecolor=colour("ink"), markeredgewidth=0.7, label=mark.name, zorder=4,
                clip_on=False,
            )  # fmt: skip
    if key in scene.limits:
        axes.axvline(
            scene.limits[key], color=colour("ink"), linestyle=":", linewidth=1.3, label=say("draw.front.limit", lang)
        )
    marks = [mark.values[key] for mark in (scene.chosen, *scene.rivals) if key in mark.values]
    everything = np.concatenate([column, marks, [scene.limits[key]] if key in scene.limits else []])
    _edf_frame(axes, key, everything, lang)


def _edf_frame(axes: Any, key: str, figures: np.ndarray, lang: str) -> None:
    scale_axis(axes.xaxis, key, float(figures.min()), float(figures.max()), lang)
    axes.yaxis.set_major_formatter(lambda value, _: say("draw.front.percent", lang, share=value))
    axes.set_ylim(0, 1.02)
    axes.set_title(quantity_name(key, lang), fontsize=10.5, loc="left")
    axes.tick_params(labelsize=8.5)
    axes.set_axisbelow(True)
    axes.grid(color=colour("line"), linewidth=0.5)
