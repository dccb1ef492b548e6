"""From the boxes that a file names to one image's annotation: what is malformed is refused or left out by name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from otoyol.data.boxes import Annotation
from otoyol.data.images import Unreadable
from otoyol.errors import OtoyolError


class Object(NamedTuple):
    """One object as its file has it: ``box`` x1, y1, x2, y2 in continuous pixels, ``label`` from 1."""

    box: tuple[float, float, float, float]
    label: int
    crowd: bool = False
    difficult: bool = False
    area: float | None = None


class Notes:
    """What was left out and how many boxes were cut, over one reading. With ``stop``, nothing is left out."""

    def __init__(self, broken: Unreadable) -> None:
        self.broken = broken
        self.left_out: list[str] = []
        self.clipped = 0

    def leave_out(self, message: str) -> None:
        """Record what is wrong, or raise OtoyolError of it."""
        if self.broken == "stop":
            raise OtoyolError(f"data: {message}")
        self.left_out.append(message)


def annotate(
    path: Path, image_id: int, size: tuple[int, int], objects: Sequence[Object], notes: Notes
) -> Annotation:  # fmt: skip
    """The annotation of the image of ``size`` (width, height), its boxes cut at the image's edge.

    A box that is not finite, or has no area inside the image, is left out by ``notes``.
    """
    width, height = size
    kept: list[tuple[tuple[float, ...], Object]] = []
    for number, found in enumerate(objects, 1):
        box = clip(found.box, width, height) if all(map(math.isfinite, found.box)) else found.box
        if not degenerate(box):
            notes.clipped += box != tuple(found.box)
            kept.append((box, found))
        else:
            corners = ", ".join(f"{value:g}" for value in found.box)
            notes.leave_out(f"{path.name}: box {number} ({corners}) has no area inside {width}x{height}")
    areas = [found.area if found.area is not None else (b[2] - b[0]) * (b[3] - b[1]) for b, found in kept]
    return Annotation(
        path, image_id, width, height,
        np.array([box for box, _ in kept], np.float32).reshape(-1, 4),
        np.array([found.label for _, found in kept], np.int64),
        np.array([found.crowd for _, found in kept], bool),
        np.array([found.difficult for _, found in kept], bool),
        np.array(areas, np.float32),
    )  # fmt: skip


def clip(box: Sequence[float], width: int, height: int) -> tuple[float, ...]:
    """The part of the box inside the image."""
    x1, y1, x2, y2 = box
    return (min(max(x1, 0.0), width), min(max(y1, 0.0), height), min(max(x2, 0.0), width), min(max(y2, 0.0), height))


def degenerate(box: Sequence[float]) -> bool:
    """Whether the box is no box: not finite, or without width or height."""
    return not (all(map(math.isfinite, box)) and box[2] > box[0] and box[3] > box[1])
