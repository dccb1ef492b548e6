"""The recipe from training to record, small; and the demonstration's look at what was reached."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["recipe.epochs=null", "recipe.steps=4", "run.workers=0", "run.evaluate_every=4"]


def test_the_recipe_records_what_the_run_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "recipes"))
    import digits

    monkeypatch.setattr(digits, "EVIDENCE", tmp_path)
    command = ["--out", str(tmp_path / "run"), "--record", *(word for s in SMALL for word in ("--set", s))]
    assert digits.main(command) == 0
    record = json.loads((tmp_path / "digits.json").read_text())
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    right = sum(round(of["recall"] * of["samples"]) for of in result["classes"])
    assert record["figures"]["accuracy"] == right / 360 and record["figures"]["steps"] == 4
    assert record["figures"]["seconds"] == result["seconds"]
    assert record["figures"]["cores"] == record["machine"]["cores"]
    assert record["command"].startswith("python recipes/digits.py --out")
    stamp = (tmp_path / "run" / "last.safetensors").stat().st_mtime_ns
    assert digits.main(command) == 0 and stamp == (tmp_path / "run" / "last.safetensors").stat().st_mtime_ns
    kept = (tmp_path / "digits.json").read_text()
    assert digits.main([*command, "--set", "recipe.batch=9"]) == 2  # a done run is not recorded as another command's
    assert "digits: recipe.batch: got 9; allowed: " in capsys.readouterr().err
    assert (tmp_path / "digits.json").read_text() == kept
    assert digits.main(["--out", str(tmp_path / "new"), "--set", "recipe.batch=0"]) == 2
    assert "digits: recipe.batch" in capsys.readouterr().err


@pytest.mark.parametrize(("accuracy", "status"), [(0.985, 0), (0.9849, 1)])
def test_the_demonstration_looks_at_the_accuracy(
    accuracy: float, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "recipes"))
    import demo

    (result := tmp_path / "result.json").write_text(json.dumps({"metrics": {"accuracy": accuracy}}))
    learnt = demo.steps(tmp_path)[-1]
    assert learnt.command[:2] == ("otoyol", "train") and learnt.check is not demo.Step("", ()).check
    step = demo.Step("digits", ("otoyol", "families"), (), lambda: demo.missed(result))
    monkeypatch.setattr(demo, "steps", lambda out: [step])
    monkeypatch.setattr(sys, "argv", ["demo.py", "--out", str(tmp_path)])
    assert demo.main() == status
    told = capsys.readouterr()
    assert ("accuracy: got 0.9849; allowed: 0.985 or more" in told.err) is bool(status)
    assert told.out.rstrip().endswith("s in all")
