"""Detections drawn: boxes on an image, precision over recall as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from otoyol.detect.metrics import RECALLS, Scores
from otoyol.draw.curves import STYLES
from otoyol.draw.figure import colour, figure, save
from otoyol.draw.labels import check_lang, number, say

if TYPE_CHECKING:
    from PIL.Image import Image


def draw_boxes(
    image: Image, boxes: np.ndarray, labels: Sequence[int], classes: Sequence[str], *,
    scores: Sequence[float] | None = None, truth: np.ndarray | None = None, lang: str = "en",
) -> Image:  # fmt: skip
    """A copy of the image with boxes (N, 4), x1, y1, x2, y2 in its pixels, each with its class and, where given, its
    score from 0 to 1. ``truth``: boxes to be found, outlined thin and dark below."""
    from PIL import ImageDraw, ImageFont

    drawn = image.convert("RGB")
    pen = ImageDraw.Draw(drawn)
    width = max(1, round(min(drawn.size) / 200))
    font = ImageFont.load_default(size=max(10, min(drawn.size) / 32))
    for box in truth if truth is not None else ():
        pen.rectangle(tuple(_drawable(box)), outline=colour("ink"), width=1)
    shown = [""] * len(boxes) if scores is None else [f" {number(float(score), lang, '.0%')}" for score in scores]
    for box, label, score in zip(boxes, labels, shown, strict=True):
        shade = colour(STYLES[(int(label) - 1) % len(STYLES)][0])
        corners = _drawable(box)
        pen.rectangle(tuple(corners), outline=shade, width=width)
        text = f"{classes[int(label) - 1]}{score}"
        at = (corners[0], max(0.0, corners[1] - font.size))  # type: ignore[union-attr]
        pen.rectangle(pen.textbbox(at, text, font=font), fill=shade)
        pen.text(at, text, fill="white", font=font)
    return drawn


def _drawable(box: np.ndarray) -> list[float]:
    """Corners in the order that Pillow insists on."""
    x1, y1, x2, y2 = (float(value) for value in box)
    return [min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)]


def precision_recall_plot(scores: Scores, folder: Path, stem: str = "precision_recall", lang: str = "en") -> None:
    """Write ``stem.png`` and ``stem.svg``: precision over recall at IoU 0.5, a line for each class that has boxes.

    Raises MissingExtraError without matplotlib.
    """
    check_lang(lang)
    with figure(6.4, 4.8) as drawn:
        axes = drawn.subplots()
        for order, row in enumerate(row for row in scores.classes if row.boxes):
            name, style, marker = STYLES[order % len(STYLES)]
            label = f"{row.name}  AP50 {number(row.ap50, lang, '.3f')}"
            axes.plot(RECALLS, row.precision, label=label, color=colour(name), linestyle=style, marker=marker,
                      markersize=4.2, markevery=(order, 10), linewidth=1.6)  # fmt: skip
        axes.set_xlim(0, 1.01)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel(say("draw.detect.recall", lang))
        axes.set_ylabel(say("draw.detect.precision", lang))
        axes.set_title(say("draw.detect.title", lang), fontsize=10.5, loc="left")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda value, _: number(float(value), lang, ".1f"))
        axes.grid(color=colour("line"), linewidth=0.6)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=9, loc="lower left")
        save(drawn, folder, stem)
