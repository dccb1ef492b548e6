"""COCO instances as JSON (Lin et al. 2014, 1405.0312): ``images``, ``annotations``, ``categories``.

A box is [x, y, width, height] in continuous pixels from 0. Categories become the labels 1, 2, … in the order of their
ids, so that gaps between ids (COCO's own has eleven) leave no gaps between labels.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from otoyol.data.annotate import Notes, Object, annotate
from otoyol.data.boxes import Annotation
from otoyol.errors import OtoyolError, SpecError
from otoyol.spec.files import read_bytes

MAX_JSON = 2 << 30
PREFIX = "instances_"

# What is kept of each object while the file is parsed; segmentations are most of a file and are dropped at once.
KEPT = {
    "images", "annotations", "categories", "id", "file_name", "width", "height", "image_id", "category_id", "bbox",
    "area", "iscrowd", "name",
}  # fmt: skip


def json_files(root: Path) -> dict[str, Path]:
    """Annotation files by split: ``annotations/instances_<split>.json``, or ``<split>/_annotations.coco.json``."""
    if root.is_file():
        return {root.stem.removeprefix(PREFIX): root}
    found = {path.stem.removeprefix(PREFIX): path for path in sorted((root / "annotations").glob("*.json"))}
    found |= {path.parent.name: path for path in sorted(root.glob("*/_annotations.coco.json"))}
    return found


def is_coco(root: Path) -> bool:
    return root.suffix == ".json" or (root.is_dir() and bool(json_files(root)))


def find_json(root: Path, split: str) -> Path:
    """The file of a split; ``train`` also means the only one whose name begins with it, such as ``train2017``."""
    files = json_files(root)
    if root.is_file() or split in files:
        return root if root.is_file() else files[split]
    near = [name for name in files if name.startswith(split)]
    if len(near) != 1:
        raise SpecError("split", split, ", ".join(files) or "a file annotations/instances_train.json")
    return files[near[0]]


def find_images(root: Path, path: Path, file_names: Sequence[str]) -> Path:
    """The folder in which one of the files lies: beside the annotations, or where COCO and common tools put them."""
    split, above = path.stem.removeprefix(PREFIX), root if root.is_dir() else path.parent
    places = [above / split, above / "images" / split, above / "images", path.parent, above, above.parent / split]
    for name in file_names:
        for place in places:
            if (place / name).is_file():
                return place
    looked = ", ".join(dict.fromkeys(str(place) for place in places))
    raise OtoyolError(f"data: no image {file_names[0]} of {path.name} in {looked}")


def read_coco(
    path: Path, images: Path | None, root: Path, classes: Sequence[str] | None, notes: Notes
) -> tuple[list[Annotation], tuple[str, ...]]:
    """Annotations of a file, in the order of its images, and the classes.

    ``classes``: the file's categories may stand in another order there, and categories that it lacks are none.
    Raises OtoyolError or, where ``notes`` skips, leaves out what is malformed, missing or of no known category.
    """
    content = parse_json(path)
    labels, known = _labels(path, content["categories"], classes)
    of_image: dict[int, list[dict[str, Any]]] = {}
    rows = {row["id"]: row for row in valid_rows(path, content["images"], "images", notes)}
    if not rows:
        raise OtoyolError(f"data: {path} has no image")
    for row in valid_rows(path, content["annotations"], "annotations", notes):
        if row["image_id"] not in rows:
            notes.leave_out(f"{path.name}: annotation {row['id']} is of image {row['image_id']}, which is not listed")
        elif row["category_id"] not in labels:
            notes.leave_out(f"{path.name}: annotation {row['id']} has the category {row['category_id']}, not one of "
                            f"{', '.join(map(str, labels))}")  # fmt: skip
        else:
            of_image.setdefault(row["image_id"], []).append(row)
    folder = images or find_images(root, path, [row["file_name"] for row in rows.values()])
    found = []
    for key, row in rows.items():
        place = folder / row["file_name"]
        if not place.is_file():
            notes.leave_out(f"{folder} has no image {row['file_name']}")
            continue
        objects = [_object(one, labels) for one in of_image.get(key, [])]
        found.append(annotate(place, key, (row["width"], row["height"]), objects, notes))
    return found, known


def parse_json(path: Path) -> dict[str, Any]:
    """The file's three lists. Raises OtoyolError or SpecError; memory is bounded by what is kept, not by the file."""
    data = read_bytes(path, "data", MAX_JSON)
    try:
        content = json.loads(data, object_pairs_hook=_kept)
    except RecursionError:
        raise OtoyolError(f"data: {path} is nested too deeply") from None
    except ValueError as error:
        raise OtoyolError(f"data: {path} is no JSON ({error})") from None
    if not isinstance(content, dict) or not all(
        isinstance(content.get(key), list) for key in ("images", "annotations", "categories")
    ):
        raise OtoyolError(f"data: {path} is not COCO: a mapping with lists images, annotations and categories")
    return content


def _kept(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {key: value for key, value in pairs if key in KEPT}


_FIELDS: dict[str, dict[str, type]] = {
    "images": {"id": int, "file_name": str, "width": int, "height": int},
    "annotations": {"id": int, "image_id": int, "category_id": int},
    "categories": {"id": int, "name": str},
}


def valid_rows(path: Path, given: list[Any], kind: str, notes: Notes) -> Iterator[dict[str, Any]]:
    """The rows that have what they must have, each id once."""
    seen: set[int] = set()
    for position, row in enumerate(given):
        if problem := _problem(row, kind, seen):
            notes.leave_out(f"{path.name}: {kind}[{position}] {problem}")
        else:
            seen.add(row["id"])
            yield row


def _problem(row: Any, kind: str, seen: set[int]) -> str:
    if not isinstance(row, dict):
        return "is no mapping"
    for name, wanted in _FIELDS[kind].items():
        if not isinstance(row.get(name), wanted) or isinstance(row[name], bool):
            return f"has the {name} {row.get(name)!r:.40}, which must be {'text' if wanted is str else 'an integer'}"
    if row["id"] in seen:
        return f"has the id {row['id']} of another"
    if kind == "images" and (row["width"] < 1 or row["height"] < 1):
        return f"is {row['width']}x{row['height']}"
    if kind == "annotations":
        box = row.get("bbox")
        if not isinstance(box, list) or len(box) != 4 or not all(_is_number(value) for value in box):
            return f"has the bbox {box!r:.60}, which must be four numbers"
        if row.get("area") is not None and not _is_number(row["area"]):
            return f"has the area {row['area']!r:.40}, which must be a number"
    return ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _labels(path: Path, rows: list[Any], classes: Sequence[str] | None) -> tuple[dict[int, int], tuple[str, ...]]:
    """Category id → label, and the classes."""
    found = {row["id"]: row["name"] for row in valid_rows(path, rows, "categories", Notes("stop"))}
    if not found:
        raise OtoyolError(f"data: {path} has no category")
    known = tuple(classes) if classes is not None else tuple(found[key] for key in sorted(found))
    number = {name: label for label, name in enumerate(known, 1)}
    if len(number) < len(known):
        raise OtoyolError(f"data: {path} has two categories of one name")
    return {key: number[name] for key, name in sorted(found.items()) if name in number}, known


def _object(row: dict[str, Any], labels: dict[int, int]) -> Object:
    x, y, width, height = (float(value) for value in row["bbox"])
    area = float(row["area"]) if row.get("area") is not None else None
    return Object((x, y, x + width, y + height), labels[row["category_id"]], bool(row.get("iscrowd")), False, area)
