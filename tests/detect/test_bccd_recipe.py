"""The recipe from data to record, small; and, where it lies beside the checkout, the real data."""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
from _detect_small import V1, V2, voc
from PIL import Image, ImageDraw

from otoyol.data.box_source import load_boxes

ROOT = Path(__file__).resolve().parents[2]
ARCHIVE = ROOT.parent / "shared" / "data" / "bccd-voc.tar.gz"
CLASSES = ("RBC", "WBC", "Platelets")
SMALL = [
    "recipe.epochs=20", "recipe.batch=4", "recipe.optimiser.lr=0.01", "recipe.schedule.warmup=0.1", "recipe.ema=null",
    "run.threads=1", "run.evaluate_every=100",
    "detector={kind: fcos, channels: 16, extra: none, head_convs: 1, head_norm: {kind: group, groups: 4}, "
    "min_size: 60, max_size: 80, score: 0.01}", "augment={hflip: 0.5}",
]  # fmt: skip


def squares(root: Path) -> Path:
    """A folder in BCCD's layout: one bright square on each image, its shade its class."""
    rng = np.random.default_rng(0)
    names = [f"B{number}" for number in range(10)]
    objects: dict[str, list[tuple[str, tuple[float, ...]]]] = {}
    for number, name in enumerate(names):
        x, y = (int(value) for value in rng.integers(1, 16, 2))
        objects[name] = [(CLASSES[number % 3], (x, y, x + 13, y + 13))]
    voc(root, {"trainval": names[:8], "test": names[6:]}, objects)
    for name, ((kind, box),) in objects.items():
        picture = Image.new("RGB", (40, 30), "black")
        ImageDraw.Draw(picture).rectangle(box, fill=["red", "white", "blue"][CLASSES.index(kind)])
        picture.save(root / "JPEGImages" / f"{name}.png")
    return root


def test_the_recipe_trains_both_backbones_and_judges_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("lightning_fabric")
    monkeypatch.syspath_prepend(str(ROOT / "recipes"))
    import bccd

    monkeypatch.setattr(bccd, "BACKBONES", {"v2": V2, "v1": V1})
    monkeypatch.setattr(bccd, "EVIDENCE", tmp_path)
    monkeypatch.setattr(bccd, "IMAGES", tmp_path)
    data, out = squares(tmp_path / "data"), tmp_path / "out"
    command = ["--data", str(data), "--out", str(out), "--record", *(word for s in SMALL for word in ("--set", s))]
    assert bccd.main(command) == 0
    figures = json.loads((tmp_path / "bccd.json").read_text())["figures"]
    assert figures == json.loads((out / "summary.json").read_text())
    for name in ("v2", "v1"):
        run = figures["runs"][name]
        result = json.loads((out / name / "result.json").read_text())
        assert run["ap50"] == pytest.approx(result["metrics"]["ap50"], abs=5e-3) and run["steps"] == 40
        assert (tmp_path / f"bccd-{name}-precision_recall.svg").exists()
    assert figures["runs"]["v1"]["backbone_macs"] == figures["runs"]["v2"]["backbone_macs"]
    stamps = [(out / name / "last.safetensors").stat().st_mtime_ns for name in ("v2", "v1")]
    assert bccd.main(command) == 0  # what is done is not done again
    assert stamps == [(out / name / "last.safetensors").stat().st_mtime_ns for name in ("v2", "v1")]
    assert bccd.main(["--data", str(tmp_path / "nowhere"), "--out", str(tmp_path / "new")]) == 2
    assert "Pascal-VOC" in capsys.readouterr().err


def test_the_recipe_file_is_a_configuration(tmp_path: Path) -> None:
    from otoyol.train.files import read_config

    found = read_config(ROOT / "recipes" / "train" / "bccd.yaml", [f"data.source={tmp_path}"])
    assert found.detector.kind == "fcos" and found.data.judge == "test"  # type: ignore[attr-defined]
    assert found.augment.canvas == (found.detector.min_size, found.detector.max_size)  # type: ignore[attr-defined]


@pytest.mark.shared
@pytest.mark.skipif(not ARCHIVE.exists(), reason="the data is not beside this checkout")
def test_bccd_is_read_whole(tmp_path: Path) -> None:
    """Counts by a regular expression over the archive's XML are the oracle; images stay packed."""
    counts, corners = dict.fromkeys(CLASSES, 0), []
    (tmp_path / "JPEGImages").mkdir()
    with tarfile.open(ARCHIVE) as file:
        for member in file:
            path = Path(member.name)
            if path.suffix in (".xml", ".txt") and member.isfile():
                text = file.extractfile(member).read().decode()  # type: ignore[union-attr]
                place = tmp_path.joinpath(*path.parts[path.parts.index("BCCD") + 1 :])
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(text)
                for kind in re.findall(r"<name>(\w+)</name>", text):
                    counts[kind] += 1
                corners += [int(value) for value in re.findall(r"<[xy]m(?:in|ax)>(\d+)<", text)]
            elif path.suffix == ".jpg":
                (tmp_path / "JPEGImages" / path.name).touch()
    sets = [load_boxes(str(tmp_path), split, classes=CLASSES) for split in ("trainval", "test")]
    assert [len(images) for images in sets] == [292, 72]
    assert [sum(pair) for pair in zip(*(images.boxes_by_class() for images in sets), strict=True)] == list(
        counts.values()
    )
    boxes = np.concatenate([one.boxes for images in sets for one in images.annotations])
    assert len(boxes) * 4 == len(corners) and not any(images.clipped for images in sets)
    assert boxes.sum() == sum(corners) - 2 * len(boxes)  # x and y of the first corner one less
