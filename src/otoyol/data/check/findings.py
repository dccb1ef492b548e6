"""What a check of a data set finds, as data."""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal, NamedTuple

Level = Literal["error", "warning"]

# What is found, and whether it must be mended (the check fails) or only looked at.
LEVELS: dict[str, Level] = {
    "unreadable": "error",  # an image that cannot be decoded
    "annotation": "error",  # a file of boxes that cannot be read, or an entry that is malformed
    "missing_image": "error",  # boxes of an image that is not there
    "size": "error",  # the image's size is not the one its boxes were drawn on
    "degenerate": "error",  # a box without width or height, or none of which lies in the image
    "leak": "error",  # the same picture in two splits
    "conflict": "error",  # the same picture under two classes
    "unseen_class": "error",  # a class to be judged by that nothing is learnt from
    "empty_class": "error",  # a class that training refuses, since there is nothing, or too little, of it
    "outside": "warning",  # a box that reaches beyond the image
    "no_boxes": "warning",  # an image without any box
    "unlisted": "warning",  # an image in no split, or without an annotation file
    "imbalance": "warning",  # a class that is rare beside the most frequent one
    "duplicate": "warning",  # the same picture twice in one split
    "near_leak": "warning",  # pictures in two splits that look the same
    "empty_split": "error",  # a split without an image
}
IMBALANCE = 20  # how many times rarer than the most frequent class a class may be without a word


class Finding(NamedTuple):
    """``kind`` is a key of :data:`LEVELS`, ``where`` a file or class, ``detail`` the facts, in English."""

    kind: str
    where: str
    detail: str = ""

    @property
    def level(self) -> Level:
        return LEVELS[self.kind]


class Split(NamedTuple):
    """``images`` and, where there are boxes, ``boxes`` of one split; ``classes``: images or boxes by class."""

    name: str
    images: int
    boxes: int | None
    classes: dict[str, int]


class Checked(NamedTuple):
    """``layout``: ``folder`` (images by class), ``voc`` or ``coco``."""

    layout: str
    splits: tuple[Split, ...]
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing must be mended."""
        return all(finding.level != "error" for finding in self.findings)

    def counts(self) -> dict[str, int]:
        """Findings by kind, in the order of :data:`LEVELS`."""
        found = Counter(finding.kind for finding in self.findings)
        return {kind: found[kind] for kind in LEVELS if found[kind]}

    def to_mapping(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "layout": self.layout, "ok": self.ok, "counts": self.counts(),
            "splits": [split._asdict() for split in self.splits],
            "findings": [{"level": finding.level, **finding._asdict()} for finding in self.findings],
        }  # fmt: skip


def of_classes(splits: tuple[Split, ...], learnt: str | None) -> list[Finding]:
    """Classes that are rare, or judged by and not learnt. ``learnt``: the split that trains, where one is known."""
    total: Counter[str] = Counter()
    for split in splits:
        total.update(split.classes)
    most = max(total.values(), default=0)
    found = [
        Finding("imbalance", name, f"{count} beside {most} of the most frequent class")
        for name, count in total.items()
        if count * IMBALANCE < most
    ]
    trains = next((split for split in splits if split.name == learnt), None)
    for split in splits:
        if trains is not None and split is not trains:
            lacking = [name for name, count in split.classes.items() if count and not trains.classes.get(name)]
            found += [Finding("unseen_class", name, f"in {split.name}, not in {trains.name}") for name in lacking]
    return found
