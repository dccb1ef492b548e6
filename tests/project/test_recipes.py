"""Recipes do what they say, on their own small designs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import otoyol
from otoyol.train.files import config_of, config_text, read_config

RECIPES = Path(__file__).parents[2] / "recipes"
SPECS = sorted(RECIPES.glob("specs/*"))


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.name)
def test_specs_are_specs(path: Path) -> None:
    assert otoyol.load(path).family == path.stem


@pytest.mark.parametrize("path", sorted(RECIPES.glob("train/*")), ids=lambda path: path.name)
def test_training_recipes_are_configurations(path: Path) -> None:
    chosen = read_config(path)
    assert config_of(yaml.safe_load(config_text(chosen))) == chosen


def test_the_street_camera_keeps_its_motorway_open() -> None:
    audit = otoyol.audit.highway(otoyol.load(RECIPES / "specs" / "street.yaml"))
    assert audit.pure == 2 + 3 + 4 + 2 - 4  # every block but the first of each stage, which changes shape


def test_taps_on_a_photograph() -> None:
    command = [sys.executable, str(RECIPES / "taps.py"), str(RECIPES / "specs" / "cifar.toml")]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines[0] == "photograph 640x427 → input (1, 3, 32, 32)"
    # Three stages of three basic blocks: 3; + 6·2 = 15; + 2 + 5·4 = 37; + 4 + 5·8 = 81.
    assert lines[1:5] == [
        "C1  (1, 16, 32, 32)  stride 1  sees 3 pixels",
        "C2  (1, 16, 32, 32)  stride 1  sees 15 pixels",
        "C3  (1, 32, 16, 16)  stride 2  sees 37 pixels",
        "C4  (1, 64, 8, 8)  stride 4  sees 81 pixels",
    ]
    assert lines[5].startswith("scores (1, 10)")
    assert lines[5].endswith("272,474 parameters")  # He et al. 2015, Table 6: 0.27M, here with projections


def test_the_demonstration_tells_of_its_failures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(RECIPES))
    import demo

    good = demo.Step("good", ("otoyol", "show", "resnet18"))
    bad = demo.Step("bad", ("otoyol", "show", "resnet18@groups=3"))
    idle = demo.Step("idle", ("otoyol", "show", "resnet18"), (tmp_path / "promised.svg",))
    assert [demo.run(step)[0] for step in (good, bad, idle)] == [True, False, False]
    monkeypatch.setattr(demo, "steps", lambda out: [good, bad])
    monkeypatch.setattr(sys, "argv", ["demo.py", "--out", str(tmp_path)])
    assert demo.main() == 1
