"""A detector's image: scaled as torchvision's detectors scale, filled up at the right and below; boxes brought back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from otoyol.deploy.metadata import Metadata
from otoyol.errors import SpecError

Array = np.ndarray[Any, Any]


def fitted(x: Tensor, metadata: Metadata) -> tuple[Tensor, tuple[float, float]]:
    """uint8 (c, h, w) as uint8 (C, H, W) of the artifact's size, filled up with the mean; and the scale along x and y.

    The two scales differ by a rounding: sides are whole pixels.
    """
    from torchvision.transforms.v2 import functional as f

    height, width = x.shape[-2:]
    scale = min(metadata.height / height, metadata.width / width)
    # torchvision's detectors round down and smooth nothing, so that is what their weights have learned from.
    h, w = max(1, int(height * scale)), max(1, int(width * scale))
    mean = torch.tensor([round(255 * mean) for mean in metadata.mean], dtype=torch.uint8)
    filled = mean[:, None, None].repeat(1, metadata.height, metadata.width)
    filled[:, :h, :w] = x if (h, w) == (height, width) else f.resize(x, [h, w], antialias=False)
    return filled, (w / width, h / height)


def brought_back(boxes: Array, scale: tuple[float, float], height: int, width: int) -> Array:
    """Boxes (D, 4) from pixels of the artifact's input to those of the image that was fitted, none beyond its edges."""
    across, down = scale
    ends = np.array([width, height] * 2, dtype=np.float64)
    placed: Array = np.clip(np.asarray(boxes, dtype=np.float64) / np.array([across, down] * 2), 0.0, ends)
    return placed


def size_of(detector: nn.Module, wanted: Sequence[int] | None = None) -> tuple[int, int]:
    """The (height, width) to export a detector for: ``wanted``, or the largest that its own resizing makes of an image
    that is wider than high.

    Raises SpecError for a size that its resizing would change, since weights are good at the scale they learned at.
    """
    resizing: Any = detector.transform
    short, long = int(resizing.min_size[-1]), int(resizing.max_size)
    if wanted is None:
        return min(short, long), long
    height, width = wanted
    if min(height, width) < 1 or min(short / min(height, width), long / max(height, width)) != 1.0:
        allowed = f"a shorter side of {short} and a longer of at most {long}, the detector's own min_size and max_size"
        raise SpecError("size", f"{height}x{width}", allowed)
    return height, width
