"""What training refuses for want of a class, `otoyol data check` has told before."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from otoyol.cli.main import run
from otoyol.data import load
from otoyol.data.check import check_data
from otoyol.errors import OtoyolError
from otoyol.spec import Input

SPEC = "resnet18@depths=1-1-1-1,widths=8-8-16-16,stem.widths=8"


def picture(path: Path) -> None:
    """Noise of its own at each place, so that no two pictures are the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = [ord(letter) for letter in "/".join(path.parts[-3:])]
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (30, 40, 3), np.uint8)).save(path)


def flat(root: Path) -> Callable[[], object]:
    for kind in ("cat", "dog"):
        for number in range(3):
            picture(root / kind / f"{number}.png")
    return lambda: load(str(root), Input(channels=3, height=8, width=8), "train")


def split(root: Path, judged: str = "test") -> Callable[[], object]:
    for name in ("train", judged):
        flat(root / name)
    return lambda: [load(str(root), Input(channels=3, height=8, width=8), name) for name in ("train", "test")]


def boxes(root: Path, categories: list[str], crowds: tuple[int, ...] = ()) -> Callable[[], object]:
    """A COCO file for each of two splits, with a box of each of the first two categories on each image."""
    from otoyol.train.detection import DetectionConfig

    for name in ("train", "val"):
        images = [{"id": number, "file_name": f"{number}.png", "width": 40, "height": 30} for number in (1, 2)]
        rows = [{"id": 10 * number + kind, "image_id": number, "category_id": kind, "bbox": [2, 3, 10, 12],
                 "iscrowd": int(kind in crowds)} for number in (1, 2) for kind in (1, 2)]  # fmt: skip
        for number in (1, 2):
            picture(root / name / f"{number}.png")
        named = [{"id": number, "name": kind} for number, kind in enumerate(categories, 1)]
        (root / "annotations").mkdir(exist_ok=True)
        (root / "annotations" / f"instances_{name}.json").write_text(
            json.dumps({"images": images, "annotations": rows, "categories": named})
        )
    return lambda: DetectionConfig(spec=SPEC, data={"source": str(root)}, recipe={"steps": 1}).open().train


def voc(root: Path, unlisted: str) -> Callable[[], object]:
    from otoyol.train.detection import DetectionConfig

    corners = "<xmin>3</xmin><ymin>3</ymin><xmax>20</xmax><ymax>20</ymax>"
    for number, kind in enumerate(("cat", "cat", unlisted)):
        picture(root / "JPEGImages" / f"{number}.png")
        (root / "Annotations").mkdir(exist_ok=True)
        (root / "Annotations" / f"{number}.xml").write_text(
            "<annotation><size><width>40</width><height>30</height></size>"
            f"<object><name>{kind}</name><bndbox>{corners}</bndbox></object></annotation>"
        )
    (root / "ImageSets" / "Main").mkdir(parents=True)
    for number, name in enumerate(("train", "val")):
        (root / "ImageSets" / "Main" / f"{name}.txt").write_text(f"{number}\n")
    return lambda: DetectionConfig(spec=SPEC, data={"source": str(root)}, recipe={"steps": 1}).open().train


def without(root: Path, *names: str, make: Callable[[Path], Callable[[], object]] = flat) -> Callable[[], object]:
    opens = make(root)
    for name in names:
        (root / name).unlink()
    return opens


PLANTED: dict[str, tuple[Callable[[Path], Callable[[], object]], str]] = {
    "flat, none": (lambda r: without(r, *(f"dog/{n}.png" for n in range(3))), "dog"),
    "flat, one": (lambda r: without(r, "dog/0.png", "dog/1.png"), "dog"),
    "train, none": (lambda r: without(r, *(f"train/cat/{n}.png" for n in range(3)), make=split), "train/cat"),
    "test, none": (lambda r: without(r, *(f"test/cat/{n}.png" for n in range(3)), make=split), "test/cat"),
    "val, none": (
        lambda r: without(r, *(f"val/cat/{n}.png" for n in range(3)), make=lambda r: split(r, "val")), "val/cat",
    ),
    "COCO": (lambda r: boxes(r, ["cat", "dog", "cow"]), "cow"),
    "COCO, crowds": (lambda r: boxes(r, ["cat", "dog"], crowds=(2,)), "dog"),
    "VOC, unlisted": (lambda r: voc(r, "cow"), "cow"),
}  # fmt: skip
SOUND: dict[str, Callable[[Path], Callable[[], object]]] = {
    "flat": lambda r: without(r, "dog/0.png"),
    "train and test, one": lambda r: without(r, "test/cat/0.png", "test/cat/1.png", make=split),
    "COCO": lambda r: boxes(r, ["cat", "dog"]),
    "VOC": lambda r: voc(r, "cat"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_class_that_training_refuses_is_an_error(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plant, where = PLANTED[name]
    opens = plant(tmp_path)
    with pytest.raises(OtoyolError, match=r"no box to train on|has one image|has no image"):
        opens()
    found = check_data(str(tmp_path))
    (one,) = [finding for finding in found.findings if finding.kind == "empty_class"]
    assert one.where.endswith(where) and not found.ok
    for lang, words in (("en", "Classes that training refuses"), ("tr", "eğitimin kabul etmediği sınıflar")):
        assert run(["data", "check", str(tmp_path), "--lang", lang]) == 1
        assert words in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("name", SOUND)
def test_what_training_takes_is_none(name: str, tmp_path: Path) -> None:
    opens = SOUND[name](tmp_path)
    assert opens()
    assert "empty_class" not in check_data(str(tmp_path)).counts()


def test_a_split_that_training_does_not_read_may_lack_a_class(tmp_path: Path) -> None:
    """Where there are test and val, test judges."""
    opens = split(tmp_path)
    flat(tmp_path / "val")
    for number in range(3):
        (tmp_path / "val" / "dog" / f"{number}.png").unlink()
    assert opens()
    assert "empty_class" not in check_data(str(tmp_path)).counts()
