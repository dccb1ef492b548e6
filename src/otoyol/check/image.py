"""A photograph as a batch, the way torchvision prepares one."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from otoyol.errors import OtoyolError
from otoyol.spec import Input

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's
SAMPLE = "china.jpg"


def photograph(size: Input, path: str | os.PathLike[str] | None = None, seed: int = 0) -> tuple[Tensor, str]:
    """A batch of two, float64: the image and its mirror image, scaled to cover the input, cropped at the centre and
    normalised; and its name.

    Without ``path`` it is the photograph that scikit-learn ships, or seeded noise where that is not installed.
    Raises OtoyolError where the image cannot be read or the design does not read 1 or 3 channels.
    """
    image, name = _open(path) if path is not None else _sample()
    if image is None:
        generator = torch.Generator().manual_seed(seed)
        shape = (2, size.channels, size.height, size.width)
        return torch.randn(shape, generator=generator, dtype=torch.float64), name
    if size.channels not in (1, 3):
        raise OtoyolError(f"image: {name} has 1 or 3 channels, and the design reads {size.channels}")
    return prepared(image, size), name


def prepared(image: Any, size: Input) -> Tensor:
    """A Pillow image as a batch of two (the image and its mirror image), float64."""
    from torchvision.transforms import v2

    image = image.convert("RGB" if size.channels == 3 else "L")
    scale = max(size.height / image.height, size.width / image.width)
    cover = [max(size.height, math.ceil(image.height * scale)), max(size.width, math.ceil(image.width * scale))]
    steps = v2.Compose([
        v2.Resize(cover, antialias=True),
        v2.CenterCrop([size.height, size.width]),
        v2.ToImage(),
        v2.ToDtype(torch.float64, scale=True),
        v2.Normalize(MEAN[: size.channels], STD[: size.channels]),
    ])  # fmt: skip
    x = steps(image).as_subclass(Tensor)
    return torch.stack([x, x.flip(-1)])


def _open(path: str | os.PathLike[str]) -> tuple[Any, str]:
    try:
        from PIL import Image, UnidentifiedImageError
    except ModuleNotFoundError:
        from otoyol.errors import MissingExtraError

        raise MissingExtraError("pillow", "demo") from None
    path = Path(path)
    try:
        with Image.open(path) as image:
            image.load()
            return image, path.name
    except UnidentifiedImageError:
        raise OtoyolError(f"image: {path.name} is no image that Pillow knows") from None
    except OSError as error:
        raise OtoyolError(f"image: cannot read {path} ({error.strerror or error})") from None
    except (Image.DecompressionBombError, ValueError, SyntaxError) as error:  # what Pillow's decoders raise
        raise OtoyolError(f"image: cannot read {path.name} ({error})") from None


def _sample() -> tuple[Any, str]:
    try:
        from PIL import Image
        from sklearn.datasets import load_sample_image
    except ModuleNotFoundError:
        return None, "seeded noise (scikit-learn and its photograph are not installed)"
    return Image.fromarray(load_sample_image(SAMPLE)), SAMPLE
