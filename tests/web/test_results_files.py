"""Runs on disk: listed and read, and nothing beside them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from otoyol.errors import SpecError
from otoyol.web import results


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two runs, and files and links that are none of the page's business."""
    root = tmp_path / "runs"
    (root / "koşu 1" / "deep").mkdir(parents=True)
    (root / "koşu 1" / "result.json").write_text('{"accuracy": 0.5}')
    (root / "koşu 1" / "metrics.csv").write_text("step,loss\n1,2.0\n")
    (root / "koşu 1" / "secret.txt").write_text("no")
    (root / "koşu 1" / "deep" / "probe.json").write_text('{"runs": []}')
    (tmp_path / "result.json").write_text("outside")
    (root / "linked").symlink_to(tmp_path)
    (root / "link").mkdir()
    (root / "link" / "result.json").symlink_to(tmp_path / "result.json")
    return root


def test_runs_are_listed_and_read(runs: Path) -> None:
    os.utime(runs / "koşu 1" / "metrics.csv", (2_000_000_000, 2_000_000_000))
    found = results.listing(runs)
    assert not found.more
    assert next(file["name"] for file in found.files) == "koşu 1/metrics.csv"
    assert {file["name"] for file in found.files} == {
        "koşu 1/metrics.csv", "koşu 1/result.json", "koşu 1/deep/probe.json"
    }  # fmt: skip
    assert found.files[0] == {"name": "koşu 1/metrics.csv", "bytes": 16, "changed": 2_000_000_000}
    for file in found.files:
        assert results.read(runs, file["name"]) == (runs / file["name"]).read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        "", "/", "..", "../result.json", "koşu 1/../../result.json", "/etc/passwd", "koşu 1/secret.txt", "koşu 1",
        "koşu 1//result.json", "./result.json", "koşu 1\\..\\result.json", "result.json\0", "link/result.json",
        "linked/result.json", "linked/runs/koşu 1/result.json", "a/b/c/d/result.json", "x" * 5_000 + "/result.json",
        "missing/result.json", "result.json",
    ],
)  # fmt: skip
def test_no_other_file_is_read(runs: Path, name: str) -> None:
    with pytest.raises(SpecError, match="name"):
        results.read(runs, name)


def test_pipes_folders_and_large_files_are_refused(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(runs / "result.json")
    (runs / "link" / "probe.json").mkdir()
    for name in ("result.json", "link/probe.json"):
        with pytest.raises(SpecError, match=r"allowed: a (readable )?file"):
            results.read(runs, name)
    monkeypatch.setattr(results, "MAX_BYTES", 15)
    with pytest.raises(SpecError, match="at most 15 bytes"):
        results.read(runs, "koşu 1/metrics.csv")


def test_a_listing_has_bounds(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = runs / "a" / "b" / "c" / "d"
    deep.mkdir(parents=True)
    (deep / "result.json").write_text("{}")
    assert not [file for file in results.listing(runs).files if file["name"].startswith("a/")]
    monkeypatch.setattr(results, "MAX_LISTED", 2)
    assert len(results.listing(runs).files) == 2 and results.listing(runs).more
    monkeypatch.setattr(results, "MAX_VISITED", 3)
    assert results.listing(runs).more


def test_runs_are_a_folder(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="runs"):
        results.check_folder(tmp_path / "none")
    assert results.check_folder(tmp_path) == tmp_path.resolve()
