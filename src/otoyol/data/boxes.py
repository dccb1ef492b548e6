"""Images with labelled boxes as a torch Dataset; where they come from, :func:`otoyol.detect.load_boxes` knows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset
from torchvision import tv_tensors

from otoyol.data.images import Unreadable, pixels, unreadable_errors
from otoyol.errors import OtoyolError

if TYPE_CHECKING:
    from PIL.Image import Image

Target = dict[str, Any]


class Annotation(NamedTuple):
    """What is known of one image. Coordinates are continuous: a box over the whole image is (0, 0, width, height).

    ``boxes`` float32 (N, 4) as x1, y1, x2, y2; ``labels`` int64 (N,) from 1; ``crowd`` and ``difficult`` bool (N,);
    ``areas`` float32 (N,) in square pixels, the object's own where the source tells it.
    """

    path: Path
    image_id: int
    width: int
    height: int
    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    difficult: np.ndarray
    areas: np.ndarray


class BoxImages(Dataset[tuple[tv_tensors.Image, Target]]):
    """Samples (image uint8 (3, H, W), target): ``boxes`` tv_tensors.BoundingBoxes XYXY (N, 4), ``labels`` int64 (N,)
    from 1 (0 is the background, as torchvision's detectors count), ``image_id``, ``iscrowd`` and ``difficult`` bool
    (N,), ``area`` float32 (N,).

    ``classes``: names of the labels 1, 2, …; ``left_out``: what the reader left out, a sentence each; ``clipped``: how
    many boxes it cut at the image's edge. ``skipped``: names of unreadable images that this process has left out.

    An unreadable image, or one of another size than its annotation says, raises OtoyolError with its name. With
    ``unreadable="skip"`` a list of samples goes without it; a list of which nothing can be read raises all the same.
    """

    def __init__(
        self, annotations: Sequence[Annotation], classes: Sequence[str], *, unreadable: Unreadable = "stop",
        left_out: Sequence[str] = (), clipped: int = 0,
    ) -> None:  # fmt: skip
        self.annotations, self.classes = tuple(annotations), tuple(classes)
        self.unreadable, self.left_out, self.clipped = unreadable, tuple(left_out), clipped
        self.skipped: list[str] = []

    @property
    def names(self) -> tuple[str, ...]:
        """Each image's path, for messages."""
        return tuple(str(annotation.path) for annotation in self.annotations)

    def __len__(self) -> int:
        return len(self.annotations)

    def __getitem__(self, index: int) -> tuple[tv_tensors.Image, Target]:
        annotation = self.annotations[index]
        image = open_rgb(annotation.path)
        size = (image.shape[-2], image.shape[-1])
        if size != (annotation.height, annotation.width):
            raise OtoyolError(
                f"image: {annotation.path} is {size[1]}x{size[0]}, its annotation says "
                f"{annotation.width}x{annotation.height}"
            )
        return image, target(annotation)

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[tv_tensors.Image, Target]]:
        """The samples of one batch, without those that are skipped."""
        if self.unreadable == "stop":
            return [self[index] for index in indices]
        found, errors = [], []
        for index in indices:
            try:
                found.append(self[index])
            except OtoyolError as error:
                errors.append(error)
                self.skipped.append(str(self.annotations[index].path))
        if errors and not found:
            raise errors[0]
        return found

    def take(self, indices: Sequence[int]) -> BoxImages:
        """The samples at ``indices`` alone."""
        return BoxImages([self.annotations[i] for i in indices], self.classes, unreadable=self.unreadable)

    def boxes_by_class(self) -> tuple[int, ...]:
        """How many boxes each class has, crowds left out."""
        labels = [annotation.labels[~annotation.crowd] for annotation in self.annotations]
        counts = np.bincount(np.concatenate([*labels, np.zeros(0, np.int64)]), minlength=len(self.classes) + 1)
        return tuple(int(count) for count in counts[1:])


def target(annotation: Annotation) -> Target:
    """The annotation as torchvision's transforms and detectors want it."""
    return {
        "boxes": tv_tensors.BoundingBoxes(
            torch.from_numpy(annotation.boxes.copy()), format="XYXY", canvas_size=(annotation.height, annotation.width)
        ),
        "labels": torch.from_numpy(annotation.labels.copy()),
        "image_id": annotation.image_id,
        "iscrowd": torch.from_numpy(annotation.crowd.copy()),
        "difficult": torch.from_numpy(annotation.difficult.copy()),
        "area": torch.from_numpy(annotation.areas.copy()),
    }


def open_rgb(path: Path) -> tv_tensors.Image:
    """The image as uint8 (3, H, W). Raises OtoyolError where it cannot be read."""
    from PIL import Image as Pillow

    try:
        with Pillow.open(path) as picture:
            return rgb(picture, str(path))
    except unreadable_errors() as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise OtoyolError(f"image: cannot read {path} ({reason})") from None


def rgb(picture: Image, name: str) -> tv_tensors.Image:
    """A Pillow image as uint8 (3, H, W), a grey one repeated."""
    return tv_tensors.Image(pixels(picture, 3, name).expand(3, -1, -1))
