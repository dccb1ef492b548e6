"""What is left out of annotations when a trained detector is judged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from otoyol.cli.main import run

pytest.importorskip("lightning_fabric")
CONFIG: dict[str, Any] = {
    "task": "detection",
    "spec": "resnet18@depths=1-1-1-1,widths=8-8-16-16,stem.widths=8",
    "detector": {"kind": "fcos", "channels": 8, "extra": "none", "head_convs": 1, "min_size": 32, "max_size": 48,
                 "head_norm": {"kind": "group", "groups": 4}},
    "recipe": {"steps": 1, "batch": 2},
    "run": {"tensorboard": False, "threads": 1},
}  # fmt: skip


def annotation(*boxes: tuple[int, int, int, int]) -> str:
    corners = ("xmin", "ymin", "xmax", "ymax")
    objects = "".join(
        "<object><name>cat</name><bndbox>"
        + "".join(f"<{corner}>{value}</{corner}>" for corner, value in zip(corners, box, strict=True))
        + "</bndbox></object>"
        for box in boxes
    )
    return f"<annotation><size><width>40</width><height>30</height></size>{objects}</annotation>"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four photographs of one cat each: two to learn from, two to judge by."""
    root = tmp_path / "data"
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for number in range(4):
        Image.new("RGB", (40, 30), (60 * number, 0, 0)).save(root / "JPEGImages" / f"c{number}.png")
        (root / "Annotations" / f"c{number}.xml").write_text(annotation((5, 5, 25, 25)))
    (root / "ImageSets" / "Main" / "train.txt").write_text("c0\nc1\n")
    (root / "ImageSets" / "Main" / "val.txt").write_text("c2\nc3\n")
    return root


def test_skipping_reaches_annotations(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A box that was sound when the run was trained has lost its area since; no setting of the run says to skip."""
    (file := tmp_path / "cats.yaml").write_text(yaml.safe_dump({**CONFIG, "data": {"source": str(data)}}))
    out = str(tmp_path / "run")
    assert run(["train", str(file), "--out", out]) == 0
    (data / "Annotations" / "c3.xml").write_text(annotation((5, 5, 25, 25), (9, 9, 5, 12)))
    capsys.readouterr()
    assert run(["evaluate", out]) == 2
    assert "c3.png: box 2" in capsys.readouterr().err
    assert run(["evaluate", out, "--on-error", "skip", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["samples"] == 2 and found["left_out"] == []
    (line,) = found["annotations_left_out"]
    assert line.startswith("c3.png: box 2")
    assert run(["evaluate", out, "--on-error", "skip"]) == 0
    assert "1 entry was left out of the annotations" in capsys.readouterr().out


def coco(file: Path, categories: list[str], boxes: list[list[float]]) -> Path:
    """A COCO file of the images 0.png, 1.png, …, one box of the first category on each."""
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 40, "height": 30} for i in range(len(boxes))],
        "annotations": [{"id": i, "image_id": i, "category_id": 1, "bbox": box} for i, box in enumerate(boxes)],
        "categories": [{"id": i, "name": name} for i, name in enumerate(categories, 1)],
    }
    if len(categories) > 1:  # each learns from something
        content["annotations"].append({"id": 99, "image_id": 0, "category_id": 2, "bbox": [2, 2, 9, 9]})
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))
    return file


def test_another_source_brings_its_own_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a run whose images lay in a folder that was named; the other source lacks one of the run's classes, and with
    --out as without it nothing that the run has learnt from need be there."""
    for place, size in (("photographs", (40, 30)), ("other", (40, 30))):
        (tmp_path / place).mkdir()
        for number in range(2):
            Image.new("RGB", size, (90 * number, 0, 0)).save(tmp_path / place / f"{number}.png")
    first = coco(tmp_path / "lists" / "first.json", ["cat", "dog"], [[5, 5, 20, 20]] * 2)
    data = {"source": str(first), "images": str(tmp_path / "photographs")}
    (file := tmp_path / "cats.yaml").write_text(yaml.safe_dump({**CONFIG, "data": data}))
    out = str(tmp_path / "run")
    assert run(["train", str(file), "--out", out]) == 0
    other = coco(tmp_path / "other" / "other.json", ["cat"], [[5, 5, 20, 20]] * 2)
    (tmp_path / "photographs").rename(tmp_path / "gone")
    first.unlink()
    capsys.readouterr()
    for more in ([], ["--out", str(tmp_path / "seen")]):
        assert run(["evaluate", out, "--data", str(other), "--json", *more]) == 0, capsys.readouterr().err
        assert json.loads(capsys.readouterr().out)["samples"] == 2
    assert json.loads((tmp_path / "seen" / "evaluation.json").read_text())["annotations_left_out"] == []
