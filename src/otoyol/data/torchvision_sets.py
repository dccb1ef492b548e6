"""CIFAR-10, CIFAR-100 and Fashion-MNIST from the files that torchvision reads.

It checks CIFAR's digests at each reading and Fashion-MNIST's only when it fetches them: there, lengths are checked.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from otoyol.data.images import Images
from otoyol.errors import OtoyolError
from otoyol.spec import Input

if TYPE_CHECKING:
    from PIL.Image import Image

TORCHVISION = {"cifar10": "CIFAR10", "cifar100": "CIFAR100", "fashion-mnist": "FashionMNIST"}
MISSING = ("Dataset not found", "Error downloading")  # torchvision, of files that are not there


def torchvision_images(name: str, root: Path, image: Input, split: Literal["train", "test"], download: bool) -> Images:
    """One of :data:`TORCHVISION` with its own split. Raises OtoyolError where its files are not all there and whole."""
    from torchvision import datasets

    try:
        found: Any = getattr(datasets, TORCHVISION[name])(str(root), train=split == "train", download=download)
    except (RuntimeError, OSError) as error:  # torchvision's words; URLError is an OSError
        if name == "fashion-mnist" and isinstance(error, RuntimeError) and not str(error).startswith(MISSING):
            raise _damaged(name, root) from None
        hint = "" if download else "; data.download: true fetches it"
        reason = (str(error).splitlines() or [type(error).__name__])[0].split(" You can")[0]
        raise OtoyolError(f"data: {name} cannot be read from {root} ({reason}){hint}") from None
    except (ValueError, TypeError, LookupError, AssertionError, EOFError, UnpicklingError):  # of parsing
        raise _damaged(name, root) from None
    pixels, labels = np.asarray(found.data), [int(label) for label in found.targets]
    if len(pixels) != len(labels) or not labels or pixels.ndim < 3:
        raise _damaged(name, root)
    names = [f"{name}:{split}[{index}]" for index in range(len(labels))]
    return Images(names, labels, list(found.classes), image, partial(picture_of, pixels))


def _damaged(name: str, root: Path) -> OtoyolError:
    """What is there already is not fetched again."""
    return OtoyolError(
        f"data: {name} cannot be read from {root} (a file is damaged); remove {root / TORCHVISION[name]}, then "
        "data.download: true fetches it"
    )


def picture_of(pixels: Any, index: int) -> Image:
    """One of an array of images as Pillow's."""
    from PIL.Image import fromarray

    return fromarray(pixels[index])
