"""What the BCCD recipe keeps of an earlier record, and what it refuses to record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def bccd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "recipes"))
    import bccd

    monkeypatch.setattr(bccd, "EVIDENCE", tmp_path)
    monkeypatch.setattr(bccd, "IMAGES", tmp_path / "images")
    (tmp_path / "images").mkdir()
    for name in ("v2", "v1"):
        (tmp_path / "out" / name).mkdir(parents=True)
        for stem in ("precision_recall", "curves"):
            (tmp_path / "out" / name / f"{stem}.svg").write_text(name)
    return bccd


def found(**ap: float) -> dict[str, Any]:
    return {"data": "BCCD", "runs": {name: {"ap": value} for name, value in ap.items()}}


def test_a_run_that_was_not_done_again_stays_with_its_own_origin(bccd: Any, tmp_path: Path) -> None:
    bccd.record(found(v2=0.5, v1=0.4), tmp_path / "out", ["--set", "run.threads=2", "--record"])
    first = json.loads((tmp_path / "bccd.json").read_text())
    (tmp_path / "images" / "bccd-v1-curves.svg").write_text("as it was")
    again = ["--backbones", "v2", "--record", "--set", "run.threads=2"]
    for _ in range(2):
        bccd.record(found(v2=0.6), tmp_path / "out", again)
        record = json.loads((tmp_path / "bccd.json").read_text())
        assert list(record["figures"]["runs"]) == ["v2", "v1"] and record["figures"]["runs"]["v2"] == {"ap": 0.6}
        kept = record["figures"]["runs"]["v1"]
        assert kept == {"ap": 0.4, **{key: first[key] for key in ("command", "date", "commit", "machine")}}
    assert (tmp_path / "images" / "bccd-v1-curves.svg").read_text() == "as it was"
    bccd.record(found(v1=0.7), tmp_path / "out", ["--backbones", "v1", "--set", "run.threads=1"])  # another recipe
    assert list(json.loads((tmp_path / "bccd.json").read_text())["figures"]["runs"]) == ["v1"]


def test_what_a_recorded_command_changed(bccd: Any) -> None:
    command = "python recipes/bccd.py --out o --set recipe.precision=bf16-mixed --record"
    assert bccd.changes(command) == {"recipe.precision=bf16-mixed"}
    assert bccd.changes("python x.py --set a={b: c, d: e} --set f=1") == {"a={b: c, d: e}", "f=1"}
    assert bccd.changes("") == set()


def test_another_command_s_run_is_not_recorded(
    bccd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from otoyol.errors import SpecError

    def refused(config: Any, folder: Path) -> bool:
        raise SpecError("recipe.batch", config.recipe.batch, "8, which the run began with")

    monkeypatch.setattr(bccd, "finished", refused)
    command = ["--data", str(tmp_path), "--out", str(tmp_path / "out"), "--record", "--set", "recipe.batch=3"]
    assert bccd.main(command) == 2
    assert "bccd: recipe.batch: got 3" in capsys.readouterr().err
    assert not (tmp_path / "bccd.json").exists()
