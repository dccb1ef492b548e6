"""Pascal VOC and COCO as they are read: coordinates, labels, splits, and every way in which a file can be wrong."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from _detect_small import coco, picture, voc, voc_xml
from PIL import Image
from torchvision import tv_tensors

from otoyol.data.box_source import load_boxes
from otoyol.data.coco import parse_json
from otoyol.errors import OtoyolError, SpecError

OBJECTS = {"one": [("cat", (1, 1, 40, 30)), ("dog", (11, 6, 20, 15))], "two": [("dog", (21, 1, 21, 1))], "three": []}
ROWS = [
    {"id": 1, "image_id": 7, "category_id": 3, "bbox": [10, 5, 10, 10], "area": 77, "iscrowd": 0},
    {"id": 2, "image_id": 7, "category_id": 1, "bbox": [0.5, 0, 39.5, 30], "iscrowd": 1, "segmentation": [[0, 1, 2]]},
]


def test_voc_s_pixels_become_continuous_coordinates(tmp_path: Path) -> None:
    """VOC counts pixels from 1, the last one included: pixel 21 alone is the box from 20 to 21."""
    images = load_boxes(str(voc(tmp_path, {"train": ["two", "one", "three"]}, OBJECTS)), "train")
    assert images.classes == ("cat", "dog") and images.boxes_by_class() == (1, 2)
    assert [Path(name).stem for name in images.names] == ["two", "one", "three"]  # the list's order
    assert images[0][1]["boxes"].tolist() == [[20, 0, 21, 1]]
    image, target = images[1]
    assert isinstance(image, tv_tensors.Image) and image.dtype == torch.uint8 and image.shape == (3, 30, 40)
    assert torch.equal(image, torch.from_numpy(np.array(Image.open(images.names[1]))).permute(2, 0, 1))
    assert target["boxes"].tolist() == [[0, 0, 40, 30], [10, 5, 20, 15]] and target["boxes"].canvas_size == (30, 40)
    assert target["labels"].tolist() == [1, 2] and target["labels"].dtype == torch.int64
    assert target["area"].tolist() == [1200, 100]
    assert images[2][1]["boxes"].shape == (0, 4)
    assert torch.equal(pickle.loads(pickle.dumps(images))[1][0], image)  # it crosses to other processes


def test_difficult_objects_and_given_classes(tmp_path: Path) -> None:
    root = voc(tmp_path, {"train": ["one"]}, OBJECTS)
    (root / "Annotations" / "one.xml").write_text(voc_xml([("dog", (1, 1, 5, 5))], difficult=1))
    images = load_boxes(str(root), "train", classes=["horse", "dog"])
    assert images[0][1]["difficult"].tolist() == [True] and images[0][1]["labels"].tolist() == [2]


def test_coco_s_categories_become_labels_without_gaps(tmp_path: Path) -> None:
    coco(tmp_path, "train2017", ROWS)
    for source, split in ((tmp_path, "train2017"), (tmp_path, "train"),
                          (tmp_path / "annotations" / "instances_train2017.json", "anything")):  # fmt: skip
        images = load_boxes(str(source), split)
        assert images.classes == ("cat", "dog") and len(images) == 2
        _, target = images[0]
        assert target["boxes"].tolist() == [[10, 5, 20, 15], [0.5, 0, 40, 30]]
        assert target["labels"].tolist() == [2, 1] and target["iscrowd"].tolist() == [False, True]
        assert target["area"].tolist() == [77, 39.5 * 30] and target["image_id"] == 7
        assert images.boxes_by_class() == (0, 1)  # crowds are not counted
    with pytest.raises(OtoyolError, match="category 1"):
        load_boxes(str(tmp_path), "train", classes=["dog"])


def test_what_is_not_needed_of_a_json_file_is_not_kept(tmp_path: Path) -> None:
    path = coco(tmp_path, "train", ROWS)
    assert "segmentation" in path.read_text() and "segmentation" not in str(parse_json(path))


def test_boxes_are_cut_at_the_edge_and_counted(tmp_path: Path) -> None:
    objects = {"one": [("a", (-3, 0, 50, 20)), ("b", (1, 1, 40, 30))]}
    images = load_boxes(str(voc(tmp_path, {"train": ["one"]}, objects)), "train")
    assert images[0][1]["boxes"].tolist() == [[0, 0, 40, 20], [0, 0, 40, 30]] and images.clipped == 1


def broken_voc(root: Path) -> dict[str, Callable[[], Any]]:
    """What is said → how to break it."""
    xml = root / "Annotations" / "one.xml"
    return {
        "is no XML": lambda: xml.write_text("<annotation><object>"),
        "document type": lambda: xml.write_text('<!DOCTYPE a [<!ENTITY b "c">]><annotation/>'),
        "bndbox/xmin: got 'nine'": lambda: xml.write_text(voc_xml([("a", ("nine", 1, 2, 3))])),  # type: ignore[list-item]
        "without a name": lambda: xml.write_text(voc_xml([(" ", (1, 1, 2, 3))])),
        "no area inside 40x30": lambda: xml.write_text(voc_xml([("cat", (5, 5, 4, 9))])),
        "nan": lambda: xml.write_text(voc_xml([("cat", (5, 5, float("nan"), 9))])),
        r"\(40, 4, 45, 9\) has no area": lambda: xml.write_text(voc_xml([("cat", (41, 5, 45, 9))])),
        "none of cat, dog": lambda: xml.write_text(voc_xml([("cow", (1, 1, 5, 5))])),
        "readable file": xml.unlink,
        "has no image one": (root / "JPEGImages" / "one.png").unlink,
    }


@pytest.mark.parametrize("number", range(10))
def test_a_broken_voc_folder_stops_or_is_told(tmp_path: Path, number: int) -> None:
    root = voc(tmp_path, {"train": ["one", "two"]}, OBJECTS)
    words, break_it = list(broken_voc(root).items())[number]
    break_it()
    with pytest.raises(OtoyolError, match=words):
        load_boxes(str(root), "train", classes=["cat", "dog"])
    images = load_boxes(str(root), "train", classes=["cat", "dog"], broken="skip")
    assert len(images.left_out) == 1 and images.names[-1].endswith("two.png")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bbox": [1, 2, 3]}, "four numbers"),
        ({"bbox": [1, 2, 3, float("inf")]}, "four numbers"),
        ({"bbox": [1, 2, 0, 5]}, "no area"),
        ({"bbox": [100, 2, 5, 5]}, "no area"),
        ({"category_id": 9}, "category 9"),
        ({"category_id": "3"}, "category_id '3'"),
        ({"image_id": 99}, "not listed"),
        ({"id": 2}, "has the id 2 of another"),
        ({"area": "big"}, "the area 'big'"),
    ],
)
def test_a_broken_coco_row_stops_or_is_told(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    coco(tmp_path, "train", [ROWS[1], {**ROWS[0], **change}])
    with pytest.raises(OtoyolError, match=words):
        load_boxes(str(tmp_path), "train")
    images = load_boxes(str(tmp_path), "train", broken="skip")
    assert len(images.left_out) == 1 and images[0][1]["labels"].tolist() == [1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "no JSON"),
        ("[]", "not COCO"),
        ("[" * 100_000, "nested too deeply|no JSON"),
        ('{"images": {}, "annotations": [], "categories": []}', "not COCO"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}]}', "has no image"),
        ('{"images": [], "annotations": [], "categories": []}', "has no category"),
        ("\x00\xff", "no JSON"),
    ],
)
def test_a_broken_coco_file(tmp_path: Path, text: str, words: str) -> None:
    coco(tmp_path, "train", ROWS).write_bytes(text.encode("latin-1"))
    with pytest.raises(OtoyolError, match=words):
        load_boxes(str(tmp_path), "train")


def test_missing_and_broken_images(tmp_path: Path) -> None:
    path = coco(tmp_path, "train", ROWS)
    (tmp_path / "train" / "1.png").unlink()
    with pytest.raises(OtoyolError, match=r"no image 1\.png"):
        load_boxes(str(tmp_path), "train")
    assert len(load_boxes(str(tmp_path), "train", broken="skip")) == 1
    (tmp_path / "train" / "0.png").rename(tmp_path / "train" / "1.png")  # now the first one is missing
    assert len(load_boxes(str(tmp_path), "train", broken="skip")) == 1
    (tmp_path / "train" / "1.png").rename(tmp_path / "train" / "0.png")
    picture(tmp_path / "train" / "1.png", 41, 30)
    (tmp_path / "train" / "0.png").write_bytes(b"no image")
    images = load_boxes(str(path), "")
    with pytest.raises(OtoyolError, match=r"cannot read .*0\.png"):
        images[0]
    with pytest.raises(OtoyolError, match="is 41x30, its annotation says 40x30"):
        images[1]
    skipping = load_boxes(str(path), "", broken="skip")
    with pytest.raises(OtoyolError, match="cannot read"):
        skipping.__getitems__([0, 1])
    picture(tmp_path / "train" / "1.png")
    assert len(skipping.__getitems__([0, 1])) == 1 and skipping.skipped[-1].endswith("0.png")


def test_sources_and_splits_that_are_not_there(tmp_path: Path) -> None:
    root = voc(tmp_path / "voc", {"train": ["one"], "cat_train": ["one"], "void": []}, OBJECTS)
    with pytest.raises(SpecError, match="allowed: train, void"):
        load_boxes(str(root), "test")
    with pytest.raises(OtoyolError, match="lists no image"):
        load_boxes(str(root), "void")
    with pytest.raises(SpecError, match="only with a COCO file"):
        load_boxes(str(root), "train", images="elsewhere")
    with pytest.raises(SpecError, match="each once"):
        load_boxes(str(root), "train", classes=["a", "a"])
    with pytest.raises(SpecError, match="stop or skip"):
        load_boxes(str(root), "train", broken="ignore")  # type: ignore[arg-type]
    path = coco(tmp_path / "coco", "train", ROWS)
    with pytest.raises(SpecError, match="allowed: train"):
        load_boxes(str(tmp_path / "coco"), "val")
    for nowhere in (tmp_path / "nowhere", tmp_path / "nowhere.json", tmp_path):
        with pytest.raises(SpecError, match="Pascal-VOC"):
            load_boxes(str(nowhere), "train")
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "categories": [{"id": 1, "name": "a"}, {"id": 3, "name": "a"}]}))
    with pytest.raises(OtoyolError, match="two categories of one name"):
        load_boxes(str(path), "")
