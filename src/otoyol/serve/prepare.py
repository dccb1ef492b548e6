"""From the bytes of an image file to what the engine reads: bounded, and as training evaluates (otoyol.data.images)."""

from __future__ import annotations

import math
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np

from otoyol.data.images import covered, pixels, unreadable_errors
from otoyol.deploy.metadata import Metadata
from otoyol.errors import MissingExtraError, SpecError
from otoyol.serve.refusal import Refusal
from otoyol.serve.scans import check_scans
from otoyol.spec import Input

try:
    import torch
    from PIL import Image, UnidentifiedImageError

    from otoyol.deploy.fitted import fitted
except ModuleNotFoundError as error:
    raise MissingExtraError(error.name or "PIL", "serve") from error

FORMATS = ("JPEG", "PNG", "WEBP")
TYPES = ("image/jpeg", "image/png", "image/webp")
READABLE = "a whole JPEG, PNG or WebP image"


class Prepared(NamedTuple):
    """``array``: one image as the engine reads it, without N. ``width``, ``height``: of the image as it was sent, in
    pixels. ``scale``: pixels of the engine's image for one of those, along x and y."""

    array: np.ndarray
    width: int
    height: int
    scale: tuple[float, float]


def prepare(data: bytes, metadata: Metadata, max_pixels: int) -> Prepared:
    """The image in ``data``, its first frame where it has several; turned only if its pixels are (EXIF is not read, as
    in training). Raises Refusal: 413 for more than ``max_pixels`` or too many scans, told before anything is decoded,
    422 for what cannot be read."""
    picture = _opened(data, max_pixels)
    image = Input(channels=metadata.channels, height=metadata.height, width=metadata.width)
    if metadata.task == "classification":
        _check_shape(picture, image, metadata.crop_share, max_pixels)
    try:
        picture.load()
        x = pixels(picture, image.channels, "image")
        if metadata.task == "detection":
            x, scale = fitted(x, metadata)
        else:
            x, scale = covered(x, image, metadata.crop_share), (1.0, 1.0)
    except SpecError as error:
        raise Refusal(422, "image", picture.mode, error.allowed) from None
    except unreadable_errors() as error:
        raise Refusal(422, "image", str(error) or type(error).__name__, READABLE) from None
    return Prepared(_laid_out(x, metadata), picture.width, picture.height, scale)


def _opened(data: bytes, max_pixels: int) -> Any:
    """The image, its header read and nothing decoded."""
    try:
        picture = Image.open(BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise Refusal(413, "image.pixels", "a decompression bomb", f"at most {max_pixels} pixels") from None
    except UnidentifiedImageError:
        raise Refusal(422, "image", f"{len(data)} bytes of something else", READABLE) from None
    except unreadable_errors() as error:
        raise Refusal(422, "image", str(error) or type(error).__name__, READABLE) from None
    if picture.width * picture.height > max_pixels:
        given = f"{picture.width}×{picture.height}"
        raise Refusal(413, "image.pixels", given, f"at most {max_pixels} pixels")
    check_scans(data, picture.width * picture.height, max_pixels)
    return picture


def _check_shape(picture: Any, image: Input, share: float, max_pixels: int) -> None:
    """A long strip, scaled until its short side covers the input, would be larger than any image."""
    scale = max(image.height / picture.height / share, image.width / picture.width / share, 1.0)
    most = max(max_pixels, 4 * math.ceil(image.height / share) * math.ceil(image.width / share))
    if picture.height * picture.width * scale**2 > most:
        given = f"{picture.width}×{picture.height}"
        raise Refusal(413, "image.shape", given, f"at most {most} pixels once it covers {image.width}×{image.height}")


def _laid_out(x: Any, metadata: Metadata) -> np.ndarray:
    """uint8 (1 or 3, H, W) as the artifact reads it; one channel is repeated."""
    from torchvision.transforms.v2 import functional as f

    x = x.expand(metadata.channels, -1, -1)
    if metadata.layout == "nhwc":
        pixels_last: np.ndarray = x.permute(1, 2, 0).contiguous().numpy()
        return pixels_last
    floats = f.to_dtype(x, torch.float32, scale=True)
    around_zero: np.ndarray = f.normalize(floats, list(metadata.mean), list(metadata.std)).numpy()
    return around_zero
