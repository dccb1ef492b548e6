"""Augmentation of images with boxes: torchvision's transforms, which draw from torch's global generator alone, so that
a generator seeded by (seed, epoch, sample) decides a sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as f

from otoyol.data.boxes import Target
from otoyol.errors import SpecError
from otoyol.spec.parts import Part

Sample = tuple[tv_tensors.Image, Target]
Chance = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Factor = Annotated[float, Field(ge=0.05, le=20.0, allow_inf_nan=False)]
Side = Annotated[int, Field(ge=8, le=16_384, strict=True)]
SLIVER = 2.0  # pixels: what a crop leaves of a box and is narrower than this is no object any more


class Augment(Part):
    """What happens to a training image, in this order. Chances are from 0 to 1.

    ``hflip``, ``vflip``: mirrored left to right, top to bottom. ``iou_crop``: a random crop that keeps enough of some
    box (SSD, Liu et al. 2016). ``canvas`` (height, width): the image is scaled to fit it, times a factor drawn from
    ``scale``, then cropped or padded at random to it (large-scale jitter, Ghiasi et al. 2021); without a canvas an
    image keeps its size, and the detector resizes it. ``photometric``: brightness, contrast, saturation and
    hue, and, each with that chance too, the order of the channels.
    """

    PRIMARY: ClassVar[str] = "canvas"
    hflip: Chance = 0.5
    vflip: Chance = 0.0
    iou_crop: Chance = 0.0
    canvas: tuple[Side, Side] | None = None
    scale: tuple[Factor, Factor] = (1.0, 1.0)
    photometric: Chance = 0.0

    @model_validator(mode="after")
    def _agree(self) -> Augment:
        if self.scale[0] > self.scale[1]:
            raise SpecError("augment.scale", list(self.scale), "the lower factor first")
        if self.canvas is None and self.scale != (1.0, 1.0):
            raise SpecError("augment.scale", list(self.scale), "1, 1 without a canvas: the detector resizes images")
        return self


def augmenter(choices: Augment, fill: tuple[int, ...] = (124, 116, 104)) -> Callable[[Sample], Sample]:
    """The transform. ``fill``: the padding's colour, by default ImageNet's mean.

    Boxes are clamped to the image, and those of which a sliver remains are left out together with their labels.
    """
    steps: list[Any] = []
    if choices.hflip:
        steps.append(v2.RandomHorizontalFlip(choices.hflip))
    if choices.vflip:
        steps.append(v2.RandomVerticalFlip(choices.vflip))
    if choices.iou_crop:
        steps.append(v2.RandomApply([v2.RandomIoUCrop()], choices.iou_crop))
    if choices.canvas is not None:
        size = list(choices.canvas)
        steps.append(v2.ScaleJitter(choices.canvas, choices.scale, antialias=True))
        steps.append(v2.RandomCrop(size, pad_if_needed=True, fill={tv_tensors.Image: list(fill), "others": 0}))
    if choices.photometric:
        steps.append(v2.RandomPhotometricDistort(p=choices.photometric))
    steps += [v2.ClampBoundingBoxes(), v2.SanitizeBoundingBoxes(SLIVER, labels_getter=of_boxes)]
    transform = v2.Compose(steps)
    return lambda sample: transform(*sample)


def of_boxes(sample: Any) -> tuple[Tensor, ...]:
    """The target's tensors that have a row for each box."""
    found = sample[1]
    return tuple(found[name] for name in ("labels", "iscrowd", "difficult", "area"))


def fit(image: tv_tensors.Image, min_size: int, max_size: int) -> Tensor:
    """The image (C, H, W) in the size to which a detector of these sizes would bring it, but with antialiasing, so
    that the detector's own resizing does nothing any more."""
    height, width = image.shape[-2:]
    scale = min(min_size / min(height, width), max_size / max(height, width))
    size = [max(1, round(height * scale)), max(1, round(width * scale))]
    return f.resize(image, size, antialias=True) if size != [height, width] else image
