"""Labelled images as a torch Dataset whose samples fit a spec's input."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from otoyol.errors import OtoyolError, SpecError
from otoyol.spec import Input

if TYPE_CHECKING:
    from PIL.Image import Image

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, channel by channel
Unreadable = Literal["stop", "skip"]


class Images(Dataset[tuple[Tensor, int]]):
    """Samples (image float32 (C, H, W), label): scaled to cover the input, cropped at the centre, normalised.

    ``classes``: the labels' names. ``names``: what to call each sample in a message, a path where there is one.
    ``labels``: one integer a sample. ``skipped``: names of the unreadable samples that this process has left out.

    An unreadable sample raises OtoyolError with its name. With ``unreadable="skip"`` a list of samples, which is how
    torch's DataLoader asks for a batch, goes without it; a list of which nothing can be read raises all the same.
    """

    def __init__(
        self, names: Sequence[str], labels: Sequence[int], classes: Sequence[str], image: Input,
        open_image: Callable[[int], Image], unreadable: Unreadable = "stop",
    ) -> None:  # fmt: skip
        self.names, self.labels, self.classes = tuple(names), tuple(labels), tuple(classes)
        self.image, self.unreadable = image, unreadable
        self.skipped: list[str] = []
        self._open = open_image

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return normalised(covered(self.pixels(index), self.image), self.image.channels), self.labels[index]

    def pixels(self, index: int) -> Tensor:
        """The image as it is, uint8 (1 or 3, height, width). Raises OtoyolError where it cannot be read."""
        try:
            picture = self._open(index)
        except unreadable_errors() as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise OtoyolError(f"image: cannot read {self.names[index]} ({reason})") from None
        return pixels(picture, self.image.channels, self.names[index])

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Tensor, int]]:
        """The samples of one batch, without those that are skipped."""
        if self.unreadable == "stop":
            return [self[index] for index in indices]
        found, errors = [], []
        for index in indices:
            try:
                found.append(self[index])
            except OtoyolError as error:
                errors.append(error)
                self.skipped.append(self.names[index])
        if errors and not found:
            raise errors[0]
        return found

    def take(self, indices: Sequence[int]) -> Images:
        """The samples at ``indices`` alone."""
        names, labels = [self.names[index] for index in indices], [self.labels[index] for index in indices]
        opener = partial(_taken, self._open, tuple(indices))
        return Images(names, labels, self.classes, self.image, opener, self.unreadable)


def _taken(open_image: Callable[[int], Image], indices: Sequence[int], index: int) -> Image:
    return open_image(indices[index])


def unreadable_errors() -> tuple[type[Exception], ...]:
    """What Pillow's decoders raise for files that are no images, or broken ones."""
    from PIL import Image

    return (OSError, ValueError, SyntaxError, EOFError, OverflowError, Image.DecompressionBombError)


def prepared(picture: Image, image: Input, name: str) -> Tensor:
    """A Pillow image as float32 (C, H, W): scaled to cover the input, cropped at the centre, normalised.

    Raises SpecError where a coloured image meets an input that has neither 1 nor 3 channels.
    """
    return normalised(covered(pixels(picture, image.channels, name), image), image.channels)


def pixels(picture: Image, channels: int, name: str) -> Tensor:
    """A Pillow image as uint8 (3, height, width), or (1, height, width) where it is grey or ``channels`` is 1.

    Raises SpecError where a coloured image meets neither 1 nor 3 channels.
    """
    from torchvision.transforms.v2 import functional as f

    picture = eight_bits(picture)
    grey = picture.mode in ("1", "L", "LA")
    if not grey and channels not in (1, 3):
        raise SpecError("input.channels", channels, f"1 or 3 for coloured images ({name})")
    mode = "L" if grey or channels == 1 else "RGB"
    x: Tensor = f.pil_to_tensor(picture if picture.mode == mode else picture.convert(mode))  # or it would be copied
    return x


def sixteen_bits(picture: Image) -> bool:
    """Whether a picture is grey with values up to 65535: PNG, TIFF, or PGM, for which Pillow has a mode of 32 bits."""
    return picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format == "PPM")


def eight_bits(picture: Image) -> Image:
    """A picture decoded, of 16 bits a pixel the upper eight."""
    from PIL.Image import fromarray

    picture.load()  # here and not within numpy, which may hide what a broken file raises
    if sixteen_bits(picture):
        return fromarray((np.asarray(picture) >> 8).astype(np.uint8))  # convert() would cut at 255
    return picture


def covered(x: Tensor, image: Input, share: float = 1.0) -> Tensor:
    """(c, h, w) scaled so that its centre crop of the input's size is ``share`` of its shorter side; that crop."""
    from torchvision.transforms.v2 import functional as f

    height, width = x.shape[-2:]
    if share == 1.0 and (height, width) == (image.height, image.width):
        return x
    scale = max(image.height / height, image.width / width) / share
    cover = [max(image.height, math.ceil(height * scale)), max(image.width, math.ceil(width * scale))]
    if cover != [height, width]:
        x = f.resize(x, cover, antialias=True)
    cropped: Tensor = f.center_crop(x, [image.height, image.width])
    return cropped


def normalised(x: Tensor, channels: int) -> Tensor:
    """uint8 (1 or 3, H, W) as float32 (C, H, W) around 0; one channel is repeated."""
    from torchvision.transforms.v2 import functional as f

    x = f.to_dtype(x, torch.float32, scale=True).expand(channels, -1, -1)
    mean, std = ([of[channel % 3] for channel in range(channels)] for of in (MEAN, STD))
    done: Tensor = f.normalize(x, mean, std)
    return done
