"""What a control group's cpu.max says, and what follows for the service's own defaults."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from _artifacts import colours

from otoyol.cli.main import run
from otoyol.serve import cores as counting
from otoyol.serve.cores import quota, usable_cores


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("max 100000\n", math.inf),
        ("200000 100000\n", 2.0),
        ("150000 100000", 1.5),
        ("25000 50000\n", 0.5),
        ("", math.inf),
        ("100000", math.inf),
        ("0 100000", math.inf),
        ("100000 0", math.inf),
        ("-1 100000", math.inf),
        ("many 100000 more", math.inf),
    ],
)
def test_a_quota_is_read(text: str, allowed: float) -> None:
    assert quota(text) == allowed


@pytest.mark.parametrize(
    ("text", "scheduled", "usable"),
    [("max 100000", 8, 8), ("350000 100000", 8, 3), ("50000 100000", 8, 1), ("900000 100000", 8, 8), (None, 8, 8)],
)
def test_cores_are_capped_by_it(text: str | None, scheduled: int, usable: int, tmp_path: Path) -> None:
    place = tmp_path / "cpu.max"
    if text is not None:
        place.write_text(text)
    assert usable_cores(scheduled, place) == usable


def test_the_service_takes_its_defaults_from_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact, taken = colours(tmp_path / "colours.onnx"), []
    monkeypatch.setattr("otoyol.serve.serve", lambda path, host, port, limits, **_: taken.append(limits))
    monkeypatch.setattr(counting, "usable_cores", lambda scheduled: 6)
    for words in ([], ["--threads", "4"], ["--runs", "9", "--decoders", "7"]):
        assert run(["serve", str(artifact), *words]) == 0
    # Three of four threads serve every run.
    assert [(limits.runs, limits.decoders) for limits in taken] == [(6, 3), (3, 3), (9, 7)]
