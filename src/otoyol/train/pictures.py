"""The pictures of a run: curves of loss and metrics, a confusion matrix, precision over recall, captions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from otoyol.draw.curves import STYLES
from otoyol.draw.figure import colour, figure, save
from otoyol.train.confusion import Confusion, Precision, Seen

if TYPE_CHECKING:
    from PIL.Image import Image

FIGURES = 30  # classes up to which a confusion matrix shows its numbers
NAMES = 60  # classes up to which it shows their names
CURVES = 10  # classes whose precision is drawn
NAME, WORD = 28, 14  # characters of a class's name in a legend, in a caption
ACROSS = 4  # images in a row of the sheet


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


def precision_plot(metric: Confusion, folder: Path) -> None:
    """``precision_recall.png`` and ``.svg``: precision over recall of the micro average and of at most
    :data:`CURVES` classes, those with the least area where there are more."""
    found = [(name, metric.precision(number)) for number, name in enumerate(metric.classes)]
    rows = [row for row in found if not math.isnan(row[1].ap)]
    if len(rows) > CURVES:
        rows = sorted(rows, key=lambda row: row[1].ap)[:CURVES]
    styles = [style for style in STYLES if style[0] != "ink"]  # which is the average's
    with figure(8.4, 4.8) as drawn:
        axes = drawn.subplots()
        for order, (name, curve) in enumerate(rows):
            shade, _, _ = styles[order % len(styles)]
            _, line, marker = styles[(order + order // len(styles)) % len(styles)]  # no pair comes twice
            axes.plot(*_ends(curve), label=f"{name[:NAME]}  AP {curve.ap:.3f}", color=colour(shade), linestyle=line,
                      marker=marker, markersize=4, markevery=0.12, linewidth=1.2)  # fmt: skip
        average = metric.precision()
        axes.plot(*_ends(average), label=f"micro average  AP {average.ap:.3f}", color=colour("ink"), linewidth=2.2)
        axes.set_xlim(0, 1.01)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("recall", fontsize=9)
        axes.set_ylabel("precision", fontsize=9)
        title = "precision over recall" + (f", the {CURVES} weakest classes" if len(found) > CURVES else "")
        axes.set_title(title, fontsize=10.5, loc="left")
        axes.tick_params(labelsize=8.5)
        axes.grid(color=colour("line"), linewidth=0.6)
        axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5), handlelength=4)
        save(drawn, folder, "precision_recall")


def _ends(curve: Precision) -> tuple[list[float], list[float]]:
    """The curve from recall 0 on, where precision is that of the highest scores."""
    precision = curve.precision.tolist()
    return [0.0, *curve.recall.tolist()], [*precision[:1], *precision] if precision else [math.nan]


def sheet(seen: Sequence[Seen], classes: Sequence[str], folder: Path) -> None:
    """``predictions.png``: the images side by side, each with its class and what it was taken for below; a frame
    tells the wrong ones."""
    import io

    from PIL import Image, ImageOps

    from otoyol.spec.files import write_bytes

    tiles = []
    for one in seen:
        shown = one.image if one.image.shape[0] in (1, 3) else one.image[:1]
        picture = Image.fromarray(shown.permute(1, 2, 0).squeeze(-1).numpy())
        says = f"is {classes[one.label][:WORD]}, seen as {classes[one.taken][:WORD]} ({one.score:.0%})"
        shade = colour("series1") if one.label != one.taken else "white"
        tiles.append(ImageOps.expand(captioned(picture, says), 4, shade))
    if not tiles:
        return
    width, height = max(tile.width for tile in tiles) + 8, max(tile.height for tile in tiles) + 8
    page = Image.new("RGB", (ACROSS * width, -(-len(tiles) // ACROSS) * height), "white")
    for number, tile in enumerate(tiles):
        page.paste(tile, (number % ACROSS * width + (width - tile.width) // 2, number // ACROSS * height + 4))
    data = io.BytesIO()
    page.save(data, "PNG")
    write_bytes(folder / "predictions.png", data.getvalue())


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
