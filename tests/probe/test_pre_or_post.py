"""The recipe: runs are kept one by one and taken up again, and what is recorded follows from them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from _tiny import V1, V2

ROOT = Path(__file__).parents[2]

ARGUMENTS = ["--steps", "12", "--batch", "4", "--seeds", "2", "--test-images", "8"]


@pytest.fixture(scope="module")
def recipe(script):
    return script("recipes/pre_or_post.py")


@pytest.fixture
def small(recipe, monkeypatch, tmp_path):
    """Two designs of eight by eight pixels in place of the plan."""
    designs = {"v1": V1.replace("1x8x8", "3x32x32"), "v2": V2.replace("1x8x8", "3x32x32")}
    jobs = [recipe.Job(10, name, spec, seed, 12, 4) for seed in (0, 1) for name, spec in designs.items()]
    monkeypatch.setattr(recipe, "plan", lambda *choices: jobs)
    monkeypatch.setattr(recipe, "EVIDENCE", tmp_path)
    monkeypatch.setattr(recipe, "IMAGES", tmp_path)
    return tmp_path


def test_what_was_done_is_not_done_again(recipe, small, capsys, monkeypatch):
    out = small / "out"
    arguments = [*ARGUMENTS, "--out", str(out)]
    assert recipe.main([*arguments, "--minutes", "0"]) == 0
    assert "minutes are over" in capsys.readouterr().out and not (out / "runs.jsonl").exists()
    assert recipe.main([*arguments, "--record"]) == 0
    kept = (out / "runs.jsonl").read_text()
    assert len(kept.splitlines()) == 4
    (out / "runs.jsonl").write_text(kept[:-30])  # the power went while the last run was written
    capsys.readouterr()
    monkeypatch.setattr(recipe, "pictures", lambda *_: [])  # once is enough
    assert recipe.main(arguments) == 0
    assert capsys.readouterr().out.count("loss") == 1  # that run alone
    rows = recipe.done(out / "runs.jsonl")
    assert [rows[key]["losses"] for key in rows] == [json.loads(line)["losses"] for line in kept.splitlines()]
    made = json.loads((small / "pre_or_post.json").read_text())
    assert made["command"].endswith("--record") and {"date", "machine", "commit", "figures"} <= set(made)
    late = [[sum(row["losses"][-2:]) / 2 for row in rows.values() if row["variant"] == name] for name in ("v1", "v2")]
    differences = [a - b for a, b in zip(*late, strict=True)]
    pair = made["figures"]["pairs"]["10"]
    expected = [sum(differences) / 2, min(differences), max(differences)]
    assert pair["loss_v1_minus_v2"] == pytest.approx(expected, rel=1e-3, abs=1e-4)
    assert {path.name for path in small.glob("*.svg")} == {
        "pre_or_post-gradient_by_depth.svg", "pre_or_post-loss_by_depth.svg",
    }  # fmt: skip


def test_the_plan_covers_what_the_paper_compares(recipe):
    jobs = list(recipe.plan(100, 16, 3, [20, 56, 110, 164, 1001]))
    assert len({job.key for job in jobs}) == len(jobs)
    first = [(job.depth, job.variant, job.seed) for job in jobs[:12]]
    assert set(first) == {
        (depth, variant, seed) for depth in (20, 110) for variant in ("v1", "v2") for seed in range(3)
    }
    assert {job.depth for job in jobs} == {20, 56, 110, 164, 1001}
    assert {job.variant for job in jobs if job.depth == 110} == {*recipe.ORDERINGS, *recipe.SHORTCUTS}
    specs = {job.spec for job in jobs}
    assert all(recipe.otoyol.parse(spec).head.classes == 10 for spec in specs)


def test_the_page_says_who_is_ahead_only_where_every_seed_agrees(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "_ext"))
    from otoyol_docs.experiment import _told

    assert (
        _told([0.2, 0.1, 0.3], "v1", "v2", "lower", "en")
        == "lower for v2 in every seed, by 0.200 on average (0.100 to 0.300)"
    )
    assert _told([-0.2, -0.3, -0.1], "v1", "v2", "lower", "en").startswith("lower for v1 in every seed, by 0.200")
    assert _told([0.1, -0.1, 0.3], "v1", "v2", "lower", "en").startswith("not ordered")
