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
        try:
            picture = self._open(index)
        except unreadable_errors() as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise OtoyolError(f"image: cannot read {self.names[index]} ({reason})") from None
        return prepared(picture, self.image, self.names[index]), self.labels[index]

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
    """A Pillow image as float32 (C, H, W): :func:`fitted`, then :func:`normalised` by ImageNet's mean and std.

    Raises SpecError where a coloured image meets an input that has neither 1 nor 3 channels.
    """
    mean, std = ([of[channel % 3] for channel in range(image.channels)] for of in (MEAN, STD))
    return normalised(fitted(picture, image, name), mean, std)


def fitted(picture: Image, image: Input, name: str) -> Tensor:
    """A Pillow image as uint8 (C, H, W): scaled to cover the input, cropped at the centre. Raises as :func:`pixels`."""
    from torchvision.transforms.v2 import functional as f

    x = pixels(picture, image, name)
    scale = max(image.height / picture.height, image.width / picture.width)
    cover = [max(image.height, math.ceil(picture.height * scale)), max(image.width, math.ceil(picture.width * scale))]
    if cover != [picture.height, picture.width]:
        x = f.resize(x, cover, antialias=True)
    return f.center_crop(x, [image.height, image.width]).expand(image.channels, -1, -1)


def normalised(x: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """uint8 (C, H, W) as float32 ``(x / 255 - mean) / std``, channel by channel."""
    from torchvision.transforms.v2 import functional as f

    return f.normalize(f.to_dtype(x, torch.float32, scale=True), list(mean), list(std))


def pixels(picture: Image, image: Input, name: str) -> Tensor:
    """A Pillow image's pixels as uint8, (1, H, W) where it or the input is grey, else (3, H, W).

    Raises SpecError where a coloured image meets an input that has neither 1 nor 3 channels.
    """
    from PIL.Image import fromarray
    from torchvision.transforms.v2 import functional as f

    grey = picture.mode in ("1", "L", "LA") or picture.mode.startswith("I;16")
    if not grey and image.channels not in (1, 3):
        raise SpecError("input.channels", image.channels, f"1 or 3 for coloured images ({name})")
    if picture.mode.startswith("I;16"):
        picture = fromarray((np.asarray(picture) >> 8).astype(np.uint8))  # convert() would cut at 255
    return f.pil_to_tensor(picture.convert("L" if grey or image.channels == 1 else "RGB"))
