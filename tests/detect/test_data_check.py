"""otoyol data check finds each fault that was planted, and nothing in a data set without one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from _detect_small import coco, picture, voc, voc_xml
from PIL import Image

from otoyol.cli.main import run
from otoyol.data.check import check_data
from otoyol.data.check.findings import LEVELS
from otoyol.data.check.pictures import Seen, alike
from otoyol.errors import SpecError

NAMES = [f"{letter}{number}" for letter in "tv" for number in range(4)]
OBJECTS = {name: [("cat", (1, 1, 20, 20)), ("dog", (11, 6, 40, 30))] for name in NAMES}


def whole(root: Path) -> Path:
    return voc(root, {"train": NAMES[:4], "test": NAMES[4:]}, OBJECTS)


def image(root: Path, name: str) -> Path:
    return root / "JPEGImages" / f"{name}.png"


def annotation(root: Path, name: str) -> Path:
    return root / "Annotations" / f"{name}.xml"


def brightened(source: Path, other: Path) -> None:
    """The same picture, a little brighter and stored with losses."""
    pixels = np.asarray(Image.open(source)).astype(np.float64) * 0.9 + 20
    Image.fromarray(pixels.astype(np.uint8)).save(other, "PNG")


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "unreadable": (lambda r: image(r, "t1").write_bytes(image(r, "t1").read_bytes()[:200]), "t1.png"),
    "annotation": (lambda r: annotation(r, "t1").write_text("<annotation>"), "t1.xml"),
    "missing_image": (lambda r: image(r, "v0").unlink(), "v0"),
    "size": (lambda r: picture(image(r, "t2"), 44, 34, seed=50), "t2.png"),
    "degenerate": (lambda r: annotation(r, "t2").write_text(voc_xml([("cat", (9, 9, 5, 12))])), "t2.png"),
    "leak": (lambda r: shutil.copy(image(r, "t0"), image(r, "v3")), "v3.png"),
    "unseen_class": (lambda r: annotation(r, "v1").write_text(voc_xml([("cow", (1, 1, 5, 5))])), "cow"),
    "outside": (lambda r: annotation(r, "t2").write_text(voc_xml([("cat", (9, 9, 50, 12))])), "t2.png"),
    "no_boxes": (lambda r: annotation(r, "t3").write_text(voc_xml([])), "t3.png"),
    "unlisted": (lambda r: picture(image(r, "more"), seed=70), "more.png"),
    "imbalance": (lambda r: annotation(r, "t3").write_text(voc_xml([("cat", (1, 1, 9, 9))] * 200)), "dog"),
    "duplicate": (lambda r: shutil.copy(image(r, "t0"), image(r, "t3")), "t0.png"),
    "near_leak": (lambda r: brightened(image(r, "t0"), image(r, "v3")), "v3.png"),
    "empty_split": (lambda r: (r / "ImageSets" / "Main" / "val.txt").write_text("\n"), "val"),
}


def test_nothing_is_found_where_nothing_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = check_data(str(whole(tmp_path)))
    assert found.ok and not found.findings and found.layout == "voc"
    assert [(s.name, s.images, s.boxes, s.classes) for s in found.splits] == [
        ("test", 4, 8, {"cat": 4, "dog": 4}), ("train", 4, 8, {"cat": 4, "dog": 4}),
    ]  # fmt: skip
    assert run(["data", "check", str(tmp_path)]) == 0
    assert "nothing is wrong" in " ".join(capsys.readouterr().out.split())  # a long path breaks the line


@pytest.mark.parametrize("kind", FAULTS)
def test_each_fault_is_found(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    plant, where = FAULTS[kind]
    plant(whole(tmp_path))
    found = check_data(str(tmp_path))
    assert found.counts() == {kind: 1}
    assert found.findings[0].where.endswith(where) and found.ok is (LEVELS[kind] == "warning")
    assert run(["data", "check", str(tmp_path), "--json"]) == (0 if found.ok else 1)
    told = json.loads(capsys.readouterr().out)
    assert told["findings"][0]["kind"] == kind and told["ok"] is found.ok
    assert run(["data", "check", str(tmp_path), "--lang", "tr"]) == (0 if found.ok else 1)
    assert where in capsys.readouterr().out


def test_trainval_is_not_a_split_beside_train_and_val(tmp_path: Path) -> None:
    root = whole(tmp_path)
    for split, names in (("train", NAMES[:2]), ("val", NAMES[2:4]), ("trainval", NAMES[:4])):
        (root / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(names))
    found = check_data(str(root))
    assert not found.findings and {split.name for split in found.splits} == {"train", "val", "test"}


def test_coco_s_faults(tmp_path: Path) -> None:
    rows = [{"id": i, "image_id": 7, "category_id": 1, "bbox": [1, 1, 9, 9]} for i in (1, 2)]
    rows += [{"id": 3, "image_id": 8, "category_id": 3, "bbox": [1, 1, -1, 9]},
             {"id": 4, "image_id": 8, "category_id": 5, "bbox": [1, 1, 9, 9]},
             {"id": 5, "image_id": 8, "category_id": 3, "bbox": ["x", 1, 9, 9]}]  # fmt: skip
    coco(tmp_path, "train", rows)
    coco(tmp_path, "val", [{"id": 1, "image_id": 7, "category_id": 3, "bbox": [1, 1, 9, 9]}], count=3)
    (tmp_path / "val" / "2.png").unlink()
    (tmp_path / "annotations" / "instances_test.json").write_text("{")
    found = check_data(str(tmp_path))
    assert found.layout == "coco" and found.counts() == {
        "annotation": 3, "missing_image": 1, "degenerate": 1, "leak": 2, "no_boxes": 1, "empty_split": 1,
    }  # fmt: skip


@pytest.mark.parametrize("missing", ["0.png", "1.png"])
def test_a_missing_image_is_one_finding_wherever_it_stands(missing: str, tmp_path: Path) -> None:
    rows = [{"id": i, "image_id": 7 + i, "category_id": c, "bbox": [1, 1, 9, 9]} for i, c in ((0, 1), (1, 3))]
    rows.append({"id": 2, "image_id": 7, "category_id": 3, "bbox": [1, 1, 9, 9]})
    rows.append({"id": 3, "image_id": 8, "category_id": 1, "bbox": [1, 1, 9, 9]})
    coco(tmp_path, "train", rows)
    (tmp_path / "train" / missing).unlink()
    assert check_data(str(tmp_path)).counts() == {"missing_image": 1}


@pytest.mark.parametrize("suffix", ["png", "pgm", "tiff"])
def test_sixteen_bits_are_not_cut(suffix: str, tmp_path: Path) -> None:
    """All their values lie above 255, and the first two differ in the lower eight bits alone."""
    for name, value in (("a/1", 0x8000), ("b/1", 0x8001), ("a/2", 0x4000), ("b/2", 0x2000)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((8, 8), value, dtype=np.uint16)).save(tmp_path / f"{name}.{suffix}")
    assert not check_data(str(tmp_path)).findings


def test_a_folder_s_faults(tmp_path: Path) -> None:
    places = [tmp_path / split / kind for split in ("train", "test") for kind in ("cat", "dog")]
    for seed in range(12):
        picture(places[seed % 4] / f"{seed // 4}.png", seed=seed)
    assert not check_data(str(tmp_path)).findings
    for number in range(2):  # plain pictures look alike and are not the same
        Image.new("RGB", (20, 20), (number, 0, 0)).save(tmp_path / ["train", "test"][number] / "cat" / "plain.png")
    assert not check_data(str(tmp_path)).findings
    shutil.copy(tmp_path / "train" / "cat" / "0.png", tmp_path / "train" / "dog" / "copy.png")
    shutil.copy(tmp_path / "train" / "cat" / "1.png", tmp_path / "test" / "cat" / "copy.png")
    (tmp_path / "train" / "cat" / "notes.txt").write_text("by hand")
    picture(tmp_path / "test" / "cow" / "0.png", seed=2000)
    found = check_data(str(tmp_path))
    assert found.counts() == {"leak": 1, "conflict": 1, "unseen_class": 1, "unlisted": 1, "duplicate": 1}


def test_paths_that_are_no_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SpecError, match="a folder of images by class"):
        check_data(str(tmp_path / "nowhere"))
    assert run(["data", "check", str(tmp_path / "nowhere")]) == 2
    assert run(["data", "clean", str(tmp_path)]) == 2
    (tmp_path / "empty").mkdir()
    assert check_data(str(tmp_path / "empty")).counts() == {"empty_split": 1}


def test_looks_are_compared_as_bits_are_counted() -> None:
    """Random looks, some of them changed in up to five bits, against counting the bits of every pair."""
    rng = np.random.default_rng(0)
    values = [int(value) for value in rng.integers(0, 1 << 63, 60)]
    for value in values[:30]:
        changed = value
        for bit in rng.choice(64, rng.integers(0, 6), replace=False):
            changed ^= 1 << int(bit)
        values.append(changed)
    seen = [
        Seen(Path(str(i)), ["train", "test"][i % 2 if i < 60 else (i + 1) % 2], "", 1, 1, bytes([i]), value)
        for i, value in enumerate(values)
    ]
    expected = {}
    for i, one in enumerate(seen):
        near = [j for j in range(i + 1, len(seen)) if (values[i] ^ values[j]).bit_count() <= 2]
        if other := [j for j in near if seen[j].split != one.split]:
            expected[i] = other[0]
    assert 5 < len(expected) < 30
    assert {int(a.path.name): int(b.path.name) for a, b in alike(seen)} == expected
    same = [one._replace(digest=b"") for one in seen]  # pixels that are the same are told of elsewhere
    assert not list(alike(same))
