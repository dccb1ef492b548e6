"""The pictures of a run: curves of loss and metrics, a confusion matrix, a caption on an image."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from otoyol.draw.figure import colour, figure, save

if TYPE_CHECKING:
    from PIL.Image import Image

FIGURES = 30  # classes up to which a confusion matrix shows its numbers
NAMES = 60  # classes up to which it shows their names


def curves(rows: Sequence[Mapping[str, float | None]], metrics: Sequence[str], folder: Path) -> None:
    """``curves.png`` and ``.svg``: losses, metrics and learning rate over the steps, from the rows of the log."""
    panels = [("loss", ["loss", *([f"val_{name}" for name in metrics if name == "loss"])])]
    panels += [(name, [f"val_{name}"]) for name in metrics if name != "loss"]
    panels.append(("lr", ["lr"]))
    across = min(3, len(panels))
    down = math.ceil(len(panels) / across)
    with figure(4.2 * across, 3.0 * down) as drawn:
        cells = list(drawn.subplots(down, across, squeeze=False).flat)
        for axes, (title, names) in zip(cells, panels, strict=False):
            for order, name in enumerate(names):
                points = [(row["step"], row[name]) for row in rows if row.get(name) is not None]
                steps, values = zip(*points, strict=True) if points else ((), ())
                style = {"marker": "." if len(points) <= 60 else "", "linestyle": "--" if order else "-"}
                axes.plot(steps, values, color=colour(f"series{order}"), linewidth=1.4, label=name, **style)
            axes.set_title(title, fontsize=10.5, loc="left")
            axes.set_xlabel("step", fontsize=9)
            axes.grid(axis="y", color=colour("line"), linewidth=0.6)
            axes.tick_params(labelsize=8.5)
            if len(names) > 1:
                axes.legend(frameon=False, fontsize=8.5)
        for axes in cells[len(panels) :]:
            axes.remove()
        save(drawn, folder, "curves")


def confusion_plot(counts: Tensor, classes: Sequence[str], folder: Path) -> None:
    """``confusion.png`` and ``.svg``: a row a label, a column what it was taken for, shaded by the row's share."""
    total = counts.sum(1, keepdim=True).clamp(min=1)
    shares = (counts / total).tolist()
    side = min(12.0, max(3.6, 0.42 * len(classes) + 1.6))
    with figure(side, side) as drawn:
        axes = drawn.subplots()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        if len(classes) <= FIGURES:
            for row, line in enumerate(counts.tolist()):
                for column, count in enumerate(line):
                    if count:
                        shade = "white" if shares[row][column] > 0.5 else "black"
                        axes.text(column, row, str(count), ha="center", va="center", fontsize=7, color=shade)
        if len(classes) <= NAMES:
            axes.set_xticks(range(len(classes)), classes, rotation=90, fontsize=8)
            axes.set_yticks(range(len(classes)), classes, fontsize=8)
        axes.set_xlabel("predicted", fontsize=9)
        axes.set_ylabel("label", fontsize=9)
        save(drawn, folder, "confusion")


def captioned(picture: Image, text: str) -> Image:
    """The picture with a line of text below it, at least wide enough for it."""
    from PIL import Image, ImageDraw, ImageFont

    font: Any = ImageFont.load_default(size=14)
    left, top, right, bottom = font.getbbox(text)
    scale = max(1, 96 // max(1, min(picture.size)))  # a digit of 8×8 is nothing to look at
    shown = picture.convert("RGB").resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
    width, height = max(shown.width, math.ceil(right) + 8), shown.height + math.ceil(bottom - top) + 12
    page = Image.new("RGB", (width, height), "white")
    page.paste(shown, ((width - shown.width) // 2, 0))
    ImageDraw.Draw(page).text((4 - left, shown.height + 4 - top), text, fill="black", font=font)
    return page
