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
