"""check_data: which layout a data set has, and its findings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from otoyol.data.check.boxes import check_coco, check_voc
from otoyol.data.check.findings import Checked
from otoyol.data.check.folders import check_folder
from otoyol.data.coco import is_coco
from otoyol.data.voc import is_voc
from otoyol.errors import SpecError


def check_data(source: str, progress: Callable[[int], None] | None = None) -> Checked:
    """Read every image and every box of a data set and tell what is wrong with it; nothing stops at the first fault.

    ``source``: images by class (as :func:`otoyol.data.load` reads), a Pascal-VOC folder, or COCO annotations (as
    :func:`otoyol.detect.load_boxes`). ``progress`` is called with the number of images seen so far.

    Raises SpecError where ``source`` is no folder and no COCO file.
    """
    root = Path(source)
    tell = progress or (lambda _: None)
    if is_voc(root):
        return check_voc(root, tell)
    if root.exists() and is_coco(root):
        return check_coco(root, tell)
    if root.is_dir():
        return check_folder(root, tell)
    raise SpecError("data", source, "a folder of images by class, a Pascal-VOC folder, or COCO annotations")
