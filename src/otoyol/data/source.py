"""load("digits" | "cifar10:DIR" | DIR): where the images come from, and which of them are for training."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from otoyol.data.images import Images, Unreadable
from otoyol.data.torchvision_sets import TORCHVISION, picture_of, torchvision_images
from otoyol.errors import OtoyolError, SpecError
from otoyol.spec import Input

if TYPE_CHECKING:
    from PIL.Image import Image

Split = Literal["train", "test"]
SUFFIXES = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"))
TEST_FOLDERS = ("test", "val")
ONE_IN = 5  # where the source has no split of its own, one sample in so many is for testing


def load(source: str, image: Input, split: Split, *, unreadable: Unreadable = "stop", download: bool = False) -> Images:
    """The images of ``source`` that are for training or for testing, as samples that fit ``image``.

    ``digits`` is the set that scikit-learn ships: 1,797 grey images of 8×8, of which the last fifth, in their order,
    is for testing. ``cifar10:DIR``, ``cifar100:DIR`` and ``fashion-mnist:DIR`` are torchvision's, in its files below
    DIR, fetched only with ``download``. Anything else is a folder: ``DIR/train/<class>/*`` with ``DIR/test`` or
    ``DIR/val`` beside it (ImageNet's layout is one of these), or
    ``DIR/<class>/*``, of which one image in five is for testing, chosen by its name alone.
    ``unreadable``: whether an image that cannot be read stops the reader or is skipped, see :class:`Images`.

    Raises OtoyolError where there are no such images, SpecError for another ``split`` or ``unreadable``.
    """
    for field, given, allowed in (("split", split, get_args(Split)), ("unreadable", unreadable, get_args(Unreadable))):
        if given not in allowed:
            raise SpecError(field, given, " or ".join(allowed))
    if source == "digits":
        return _digits(image, split)
    name, _, place = source.partition(":")
    if name in TORCHVISION:
        if not place:
            raise SpecError("data", source, f"{name}:DIR, with the folder of its files")
        return torchvision_images(name, Path(place), image, split, download)
    return _folder(Path(source), image, split, unreadable)


def _digits(image: Input, split: Split) -> Images:
    from sklearn.datasets import load_digits

    found = load_digits()
    pixels = (found.images * (255 / 16)).round().astype("uint8")  # scikit-learn counts from 0 to 16
    tests = len(pixels) // ONE_IN + 1
    chosen = slice(0, -tests) if split == "train" else slice(-tests, None)
    names = [f"digits[{index}]" for index in range(len(pixels))][chosen]
    labels = found.target[chosen].tolist()
    return Images(names, labels, [str(n) for n in found.target_names], image, partial(picture_of, pixels[chosen]))


def _folder(root: Path, image: Input, split: Split, unreadable: Unreadable) -> Images:
    if not root.is_dir():
        raise SpecError(
            "data", str(root), f"digits, or a folder of images by class, or {', '.join(TORCHVISION)} with :DIR"
        )
    train = root / "train"
    if not train.is_dir():
        classes = _classes(root)
        files = {name: _part(paths, root, split) for name, paths in classes.items()}
    elif split == "train":
        files = classes = _classes(train)
    else:
        classes, files = _classes(train), _classes(_test_folder(root))
        if unknown := sorted(set(files) - set(classes)):
            raise OtoyolError(f"data: {root} has images of {unknown[0]!r} for testing and none for training")
    number = {name: position for position, name in enumerate(classes)}
    samples = [(path, number[name]) for name, paths in files.items() for path in paths]
    paths = [path for path, _ in samples]
    labels = [label for _, label in samples]
    return Images([str(path) for path in paths], labels, list(classes), image, partial(_opened, paths), unreadable)


def _opened(paths: list[Path], index: int) -> Image:
    from PIL import Image

    with Image.open(paths[index]) as picture:
        picture.load()
        return picture


def _test_folder(root: Path) -> Path:
    for name in TEST_FOLDERS:
        if (root / name).is_dir():
            return root / name
    raise OtoyolError(f"data: {root} has a folder train and none called {' or '.join(TEST_FOLDERS)} beside it")


def _classes(root: Path) -> dict[str, list[Path]]:
    """The image files below each folder of ``root``, both in the order of their names."""
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    found = {
        folder.name: sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        for folder in folders
    }
    if empty := [name for name, paths in found.items() if not paths]:
        raise OtoyolError(f"data: the folder {root / empty[0]} has no image ({', '.join(sorted(SUFFIXES))})")
    if len(found) < 2:
        raise OtoyolError(f"data: {root} has {len(found)} folders of images; a class each, at least two, is needed")
    return found


def _part(paths: list[Path], root: Path, split: Split) -> list[Path]:
    """One class's images of a split: by a digest of the name, so that order and place of the folder do not matter."""
    if len(paths) < 2:
        raise OtoyolError(f"data: {paths[0].parent} has one image; at least two are needed for training and testing")
    by_digest = sorted(paths, key=lambda path: hashlib.sha256(path.relative_to(root).as_posix().encode()).digest())
    tests = max(1, len(paths) // ONE_IN)
    return sorted(by_digest[:tests] if split == "test" else by_digest[tests:])
