"""load_boxes(DIR | FILE.json): images with boxes, from a Pascal-VOC folder or a COCO file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from otoyol.data.annotate import Notes
from otoyol.data.boxes import BoxImages
from otoyol.data.coco import find_json, is_coco, read_coco
from otoyol.data.images import Unreadable
from otoyol.data.voc import is_voc, read_voc
from otoyol.errors import SpecError

KINDS = "a Pascal-VOC folder (Annotations, JPEGImages, ImageSets/Main), a folder with COCO's annotations/*.json, or a "
KINDS += "COCO file"


def load_boxes(
    source: str, split: str, *, classes: Sequence[str] | None = None, images: str | None = None,
    broken: Unreadable = "stop",
) -> BoxImages:  # fmt: skip
    """The images of a split with their boxes.

    ``source``: a VOC folder, whose ``split`` is a list in ImageSets/Main; a folder with COCO's
    ``annotations/instances_<split>.json``; or one COCO file, for which ``split`` is not read. ``classes``: names of
    the labels 1, 2, …, by default all of VOC's names, sorted, or COCO's categories by their ids. ``images``: the
    folder of a COCO file's images, by default looked for beside it. ``broken``: whether files that cannot be read,
    missing images, boxes without area and unknown classes stop the reader or are left out and told
    (:attr:`BoxImages.left_out`).

    Raises OtoyolError naming the file, SpecError for another source, split or choice.
    """
    if broken not in get_args(Unreadable):
        raise SpecError("broken", broken, " or ".join(get_args(Unreadable)))
    if classes is not None and (not classes or len(set(classes)) < len(classes)):
        raise SpecError("classes", list(classes), "one or more names, each once")
    root, notes = Path(source), Notes(broken)
    if is_voc(root):
        if images is not None:
            raise SpecError("images", images, "only with a COCO file: VOC's images are in JPEGImages")
        found, known = read_voc(root, split, classes, notes)
    elif is_coco(root) and root.exists():
        found, known = read_coco(find_json(root, split), Path(images) if images else None, root, classes, notes)
    else:
        raise SpecError("data", source, KINDS)
    return BoxImages(found, known, unreadable=broken, left_out=notes.left_out, clipped=notes.clipped)
