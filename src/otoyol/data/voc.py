"""Pascal VOC folders: ``Annotations/*.xml``, ``JPEGImages/*``, ``ImageSets/Main/{train,val,trainval,test}.txt``.

VOC counts pixels from 1 and its corners are pixels that belong to the box (devkit documentation, "Annotation
Guidelines"). In continuous coordinates, where pixel 1 reaches from 0 to 1, the box is therefore (xmin - 1, ymin - 1,
xmax, ymax). The other readings shift every box by half a pixel or make it a pixel too small, which costs a small
object of 20 pixels about a tenth of its intersection over union.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from otoyol.data.annotate import Notes, Object, annotate
from otoyol.data.boxes import Annotation
from otoyol.data.source import SUFFIXES
from otoyol.errors import OtoyolError, SpecError
from otoyol.spec.files import read_bytes

MAX_XML = 4 << 20
MAX_LIST = 64 << 20
SPLITS = Path("ImageSets") / "Main"


class VocObject(NamedTuple):
    """One ``<object>``: class name, box in continuous coordinates."""

    name: str
    box: tuple[float, float, float, float]
    difficult: bool


class VocFile(NamedTuple):
    """One annotation file; ``size`` (width, height) is None where it says none."""

    size: tuple[int, int] | None
    objects: tuple[VocObject, ...]


def is_voc(root: Path) -> bool:
    return (root / "Annotations").is_dir()


def split_names(root: Path) -> list[str]:
    """The splits that there are lists for; lists of a single class (``aeroplane_train``) are not splits."""
    return sorted(path.stem for path in (root / SPLITS).glob("*.txt") if "_" not in path.stem)


def listed(root: Path, split: str) -> list[str]:
    """The images' names in a split, in the list's order."""
    path = root / SPLITS / f"{split}.txt"
    if not path.is_file():
        have = ", ".join(split_names(root)) or f"a list {SPLITS.as_posix()}/train.txt"
        raise SpecError("split", split, have)
    text = read_bytes(path, "data", MAX_LIST).decode("utf-8", errors="replace")
    names = [line.split()[0] for line in text.splitlines() if line.split()]
    if not names:
        raise OtoyolError(f"data: {path} lists no image")
    return names


def read_voc(
    root: Path, split: str, classes: Sequence[str] | None, notes: Notes
) -> tuple[list[Annotation], tuple[str, ...]]:
    """Annotations of a split and the classes: ``classes``, or all names that occur in ``root``, sorted.

    Raises OtoyolError or, where ``notes`` skips, leaves out: files that cannot be read, missing images, objects
    whose name is none of ``classes``, boxes without area.
    """
    images = images_by_name(root)
    names = listed(root, split)
    known = tuple(classes) if classes is not None else all_classes(root)
    number = {name: label for label, name in enumerate(known, 1)}
    found: list[Annotation] = []
    for position, name in enumerate(names, 1):
        try:
            marked = parse_file(root / "Annotations" / f"{name}.xml")
            if name not in images:
                raise OtoyolError(f"data: {root / 'JPEGImages'} has no image {name}")
            size = marked.size or image_size(images[name])
        except OtoyolError as error:
            notes.leave_out(str(error).removeprefix("data: "))
            continue
        objects = []
        for one in marked.objects:
            if one.name in number:
                objects.append(Object(one.box, number[one.name], difficult=one.difficult))
            else:
                notes.leave_out(f"{name}.xml: the class {one.name!r:.40} is none of {', '.join(known)}")
        found.append(annotate(images[name], position, size, objects, notes))
    return found, known


def all_classes(root: Path) -> tuple[str, ...]:
    """Every class name in the folder's annotations, sorted, so that all splits agree; broken files are passed over."""
    names: set[str] = set()
    for path in (root / "Annotations").glob("*.xml"):
        try:
            names.update(one.name for one in parse_file(path).objects)
        except OtoyolError:  # told where the file's split is read
            continue
    if not names:
        raise OtoyolError(f"data: {root / 'Annotations'} has no object in any XML file")
    return tuple(sorted(names))


def images_by_name(root: Path) -> dict[str, Path]:
    """Image files by their name without suffix."""
    folder = root / "JPEGImages"
    if not folder.is_dir():
        raise OtoyolError(f"data: {root} has a folder Annotations and none called JPEGImages beside it")
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES}


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) from the image's head. Raises OtoyolError."""
    from PIL import Image

    from otoyol.data.images import unreadable_errors

    try:
        with Image.open(path) as picture:
            width, height = picture.size
            return width, height
    except unreadable_errors() as error:
        raise OtoyolError(f"image: cannot read {path} ({error})") from None


def parse_file(path: Path) -> VocFile:
    """One annotation file. Raises OtoyolError that names it."""
    data = read_bytes(path, "data", MAX_XML)
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise OtoyolError(f"data: {path} declares a document type, which VOC files do not")
    try:
        tree = ElementTree.fromstring(data)  # noqa: S314 (bounded, and entities are refused above)
        return VocFile(_size(tree), tuple(_objects(tree)))
    except ElementTree.ParseError as error:
        raise OtoyolError(f"data: {path} is no XML ({error})") from None
    except (ValueError, OverflowError) as error:
        raise OtoyolError(f"data: {path}: {error}") from None


def _size(tree: ElementTree.Element) -> tuple[int, int] | None:
    if tree.find("size") is None:
        return None
    width, height = int(_number(tree, "size/width")), int(_number(tree, "size/height"))
    return (width, height) if width > 0 and height > 0 else None  # some tools write 0 for what they do not know


def _objects(tree: ElementTree.Element) -> Iterator[VocObject]:
    for element in tree.findall("object"):
        name = (element.findtext("name") or "").strip()
        if not name:
            raise ValueError("an object without a name")
        x1, y1, x2, y2 = (_number(element, f"bndbox/{corner}") for corner in ("xmin", "ymin", "xmax", "ymax"))
        yield VocObject(name, (x1 - 1, y1 - 1, x2, y2), (element.findtext("difficult") or "0").strip() == "1")


def _number(element: ElementTree.Element, path: str) -> float:
    text = (element.findtext(path) or "").strip()
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{path}: got {text[:40]!r}; allowed: a number") from None
