"""Images with boxes: Pascal-VOC folders and COCO annotations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from otoyol.data.annotate import Notes, clip, degenerate
from otoyol.data.check.findings import Checked, Finding, Split, of_classes
from otoyol.data.check.pictures import Seen, look_at, same_pictures
from otoyol.data.coco import find_images, json_files, parse_json, valid_rows
from otoyol.data.voc import images_by_name, listed, parse_file, split_names
from otoyol.errors import OtoyolError

BESIDE = 1.0  # pixels by which a box may reach beyond its image without a word: conventions differ by one


class Entry(NamedTuple):
    """One image and its boxes as the annotations have them; ``size`` (width, height) as they say, or None."""

    path: Path
    size: tuple[int, int] | None
    boxes: Sequence[tuple[str, tuple[float, ...]]]  # class name; x1, y1, x2, y2


def check_voc(root: Path, tell: Callable[[int], None]) -> Checked:
    """Every list in ImageSets/Main, every annotation, every image."""
    findings: list[Finding] = []
    images = images_by_name(root)
    names = split_names(root)
    lists: dict[str, list[str]] = {}
    for split in names:
        try:
            lists[split] = listed(root, split)
        except OtoyolError as error:
            findings.append(Finding("empty_split", split, _told(error)))
    if {"train", "val"} <= lists.keys() and set(lists.get("trainval", ())) <= {*lists["train"], *lists["val"]}:
        lists.pop("trainval", None)  # their union, not a split beside them
    entries: dict[str, list[Entry]] = {}
    for split, members in lists.items():
        entries[split] = []
        for name in members:
            path = root / "Annotations" / f"{name}.xml"
            if name not in images:
                findings.append(Finding("missing_image", name, f"listed in {split}"))
                continue
            try:
                marked = parse_file(path)
            except OtoyolError as error:
                findings.append(Finding("annotation", str(path), _told(error)))
                continue
            boxes = [(one.name, one.box) for one in marked.objects]
            entries[split].append(Entry(images[name], marked.size, boxes))
    used = {name for members in lists.values() for name in members}
    findings += [Finding("unlisted", str(path), "in no split") for name, path in images.items() if name not in used]
    findings += _unlisted_classes(root, used, {name for of in entries.values() for one in of for name, _ in one.boxes})
    learnt = "train" if "train" in lists else "trainval"
    return _checked("voc", entries, learnt, findings, tell)


def _unlisted_classes(root: Path, used: set[str], known: set[str]) -> list[Finding]:
    """Classes that only annotations of no split have: training takes its classes from all of the folder's files."""
    found: dict[str, Path] = {}
    for path in sorted((root / "Annotations").glob("*.xml")):
        if path.stem not in used:
            with suppress(OtoyolError):  # read by nothing but for its names
                found |= {one.name: path for one in parse_file(path).objects if one.name not in known | found.keys()}
    return [Finding("empty_class", name, f"only in {path}, which is in no split") for name, path in found.items()]


def check_coco(root: Path, tell: Callable[[int], None]) -> Checked:
    """Every annotation file, every image."""
    findings: list[Finding] = []
    entries: dict[str, list[Entry]] = {}
    lacking: dict[str, list[str]] = {}  # categories by split of which there is nothing to learn: crowds are no objects
    for split, path in json_files(root).items():
        notes = Notes("skip")
        entries[split] = []
        try:
            content = parse_json(path)
            classes = {row["id"]: row["name"] for row in valid_rows(path, content["categories"], "categories", notes)}
            images = {row["id"]: row for row in valid_rows(path, content["images"], "images", notes)}
            boxes: dict[int, list[tuple[str, tuple[float, ...]]]] = {key: [] for key in images}
            seen: set[str] = set()
            for row in valid_rows(path, content["annotations"], "annotations", notes):
                if row["image_id"] not in boxes or row["category_id"] not in classes:
                    notes.leave_out(f"{path.name}: annotation {row['id']} is of an image or category not listed")
                    continue
                if not row.get("iscrowd"):
                    seen.add(classes[row["category_id"]])
                x, y, width, height = map(float, row["bbox"])
                boxes[row["image_id"]].append((classes[row["category_id"]], (x, y, x + width, y + height)))
            lacking[split] = [name for name in classes.values() if name not in seen]
            folder = find_images(root, path, [row["file_name"] for row in images.values()]) if images else path.parent
        except OtoyolError as error:
            findings.append(Finding("annotation", str(path), _told(error)))
            continue
        findings += [Finding("annotation", str(path), line) for line in notes.left_out]
        for key, row in images.items():
            place = folder / row["file_name"]
            if place.is_file():
                entries[split].append(Entry(place, (row["width"], row["height"]), boxes[key]))
            else:
                findings.append(Finding("missing_image", str(place), f"listed in {path.name}"))
    learnt = next((split for split in entries if split.startswith("train")), None)
    alone = learnt or (next(iter(entries)) if len(entries) == 1 else "")
    detail = f"a category of {alone} without a box to train on; data.classes can leave it out"
    findings += [Finding("empty_class", name, detail) for name in lacking.get(alone, [])]
    return _checked("coco", entries, learnt, findings, tell)


def _checked(
    layout: str, entries: dict[str, list[Entry]], learnt: str | None, findings: list[Finding],
    tell: Callable[[int], None],
) -> Checked:  # fmt: skip
    seen: list[Seen] = []
    splits = []
    done = 0
    for split, members in entries.items():
        counts: dict[str, int] = {}
        for entry in members:
            one = look_at(entry.path, split)
            if isinstance(one, Finding):
                findings.append(one)
            else:
                seen.append(one)
                if entry.size not in (None, (one.width, one.height)):
                    detail = "{}x{}, its annotation says {}x{}".format(one.width, one.height, *entry.size or ())
                    findings.append(Finding("size", str(entry.path), detail))
            size = (one.width, one.height) if isinstance(one, Seen) else entry.size
            findings += of_boxes(entry, size)
            for name, _ in entry.boxes:
                counts[name] = counts.get(name, 0) + 1
            tell(done := done + 1)
        if not members:
            findings.append(Finding("empty_split", split, "no image that can be used"))
        splits.append(Split(split, len(members), sum(counts.values()), dict(sorted(counts.items()))))
    found = of_classes(tuple(splits), learnt)
    return Checked(layout, tuple(splits), (*findings, *found, *same_pictures(seen)))


def of_boxes(entry: Entry, size: tuple[int, int] | None) -> Iterable[Finding]:
    """What is wrong with one image's boxes."""
    if not entry.boxes:
        yield Finding("no_boxes", str(entry.path))
    for number, (name, box) in enumerate(entry.boxes, 1):
        corners = f"box {number} ({name}) at {', '.join(f'{value:g}' for value in box)}"
        inside = clip(box, *size) if size else box
        if degenerate(box) or degenerate(inside):
            yield Finding("degenerate", str(entry.path), corners)
        elif max(abs(a - b) for a, b in zip(box, inside, strict=True)) > BESIDE:
            yield Finding("outside", str(entry.path), f"{corners}; the image is {size[0]}x{size[1]}" if size else "")


def _told(error: OtoyolError) -> str:
    return str(error).removeprefix("data: ")
