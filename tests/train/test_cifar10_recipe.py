"""The CIFAR-10 recipe on a small folder: each contestant in seconds, recorded one at a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Ten classes of 20 and 8 plain squares, each class of its own brightness."""
    for split, count in (("train", 20), ("test", 8)):
        for label in range(10):
            folder = tmp_path / "images" / split / f"class{label}"
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = np.full((32, 32, 3), 20 + 20 * label + number % 4, dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "images"


def test_contestants_are_recorded_one_at_a_time(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "recipes"))
    import cifar10

    depths = {"resnet20": "1-1-1-2", "resnet18": "1-1-1-1"}
    spec = "resnet18@input=3x32x32,widths=8-8-8-8,stem.widths=8,depths="
    small = {name: ("cifar10.yaml", spec + value) for name, value in depths.items()}
    monkeypatch.setattr(cifar10, "CONTESTANTS", small)
    monkeypatch.setattr(cifar10, "EVIDENCE", tmp_path)
    monkeypatch.setattr(cifar10, "IMAGES", tmp_path)
    monkeypatch.setattr(cifar10, "steps_within", lambda *_: 20)
    command = ["--data", str(images), "--out", str(tmp_path / "out"), "--record", "--only"]
    assert cifar10.main([*command, "resnet18"]) == 0
    first = json.loads((tmp_path / "cifar10.json").read_text())["figures"]
    assert list(first["runs"]) == ["resnet18"]
    assert cifar10.main([*command, "resnet20"]) == 0
    both = json.loads((tmp_path / "cifar10.json").read_text())["figures"]
    assert list(both["runs"]) == ["resnet20", "resnet18"]
    assert both["runs"]["resnet18"] == first["runs"]["resnet18"]
    run = both["runs"]["resnet20"]
    assert run["steps"] == 20 and len(run["minutes_and_accuracy"]) == 20
    assert run["accuracy"] == run["minutes_and_accuracy"][-1][1]
    assert run["core_minutes"] > 0
    assert run["machine"]["cores"] >= 1 and "commit" in run and run["date"].endswith("+00:00")
    assert (tmp_path / "cifar10-curves.svg").read_text().count("resnet") >= 2
    assert cifar10.main([*command, "resnet18", "--minutes", "30"]) == 0  # another race: the others were not in it
    assert list(json.loads((tmp_path / "cifar10.json").read_text())["figures"]["runs"]) == ["resnet18"]
    real = cifar10.fit

    def killed(*given: Any, **how: Any) -> None:
        """Right after the run's end, before what it spent is written down."""
        real(*given, **how)
        raise KeyboardInterrupt

    late = ["--data", str(images), "--out", str(tmp_path / "late"), "--only", "resnet18"]
    with monkeypatch.context() as patched:
        patched.setattr(cifar10, "fit", killed)
        with pytest.raises(KeyboardInterrupt):
            cifar10.main(late)
    for harm in ("a kill", "an earlier release"):
        assert cifar10.main(late) == 0
        run = json.loads((tmp_path / "late" / "summary.json").read_text())["runs"]["resnet18"]
        assert run["core_minutes"] is None and run["steps"] == 20, harm
        (tmp_path / "late" / "resnet18-spent.json").unlink(missing_ok=True)
