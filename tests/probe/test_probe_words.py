"""The verdict claims what was measured, in both languages; tables, JSON and pictures of the command."""

from __future__ import annotations

import dataclasses
import json
import re
from xml.etree import ElementTree

import pytest
from _tiny import SCALED, V1, V2
from PIL import Image

import otoyol
from otoyol.cli.main import run as command
from otoyol.draw import curves
from otoyol.draw.curves import spread_over
from otoyol.explain import text
from otoyol.explain.text import catalogue
from otoyol.probe import DeadChannels, Problem, plots, probe, summary, verdict
from otoyol.probe.summary import Spread, by_design, gradient_ratio, late_loss

FAST = {"steps": 3, "batch": 8, "jacobian_steps": 2, "test_images": 24, "lesion": True}


@pytest.fixture(scope="module")
def runs():
    return [probe(design, seed=seed, **FAST) for design in (V1, V2) for seed in (0, 1)]


def test_a_run_is_reproducible_and_what_it_says(runs):
    again = probe(V1, seed=0, **FAST)
    assert again == runs[0]
    assert (again.steps, again.batch, again.seed, again.data, len(again.losses)) == (3, 8, 0, "digits", 3)
    assert [snapshot.step for snapshot in again.snapshots] == [0, 3]
    assert again.losses[0] == pytest.approx(again.snapshots[0].loss)  # the first batch is the measured one
    assert [run.lesion.images for run in runs] == [24] * 4
    assert [bool(run.stretches) for run in runs] == [False, False, True, True]
    assert runs[0].losses != runs[1].losses


@pytest.mark.parametrize("lang", ["en", "tr"])
def test_the_verdict_carries_the_figures(runs, lang):
    said = verdict(runs, lang)
    assert len(said) == 5  # done, two designs, what sets them apart, what is left open
    for figure in ("8", "3", "2", "digits"):
        assert re.search(rf"\b{figure}\b", said[0])
    for name, paragraph in zip(by_design(runs), said[1:3], strict=True):
        ratios = [gradient_ratio(run.snapshots[0]) for run in by_design(runs)[name]]
        for value in (min(ratios), max(ratios), sum(ratios) / 2):
            assert text.number(value, lang) in paragraph
    losses = [late_loss(run) for run in runs]
    overlap = max(losses[:2]) >= min(losses[2:]) and max(losses[2:]) >= min(losses[:2])
    sentence = text.say("probe.not_apart" if overlap else "probe.apart", lang, seeds=2)
    assert sentence in said[3]


def test_one_seed_claims_nothing(runs):
    alone = [runs[0], runs[2]]
    said = verdict(alone)
    assert "nothing is known of the spread" in said[0]
    assert said[3].count("With one seed a difference shows nothing.") == 2
    assert "ranges" not in " ".join(said)


def test_a_network_that_has_learned_nothing_is_not_interpreted(runs):
    study = dataclasses.replace(runs[0].lesion, images=100, intact=0.18, constant=0.12)  # standard error 3.8%
    for accuracy, told in ((0.18, "say nothing"), (0.50, "two standard errors")):
        one = dataclasses.replace(runs[0], lesion=dataclasses.replace(study, intact=accuracy))
        assert told in verdict([one])[1]


def test_spread_over_seeds_by_hand():
    assert spread_over("a", [(1.0, None, 4.0), (3.0, None, None)]) == (
        "a", (2.0, None, 4.0), (1.0, None, 4.0), (3.0, None, 4.0),
    )  # fmt: skip
    assert spread_over("a", [(1.0, 2.0)]) == ("a", (1.0, 2.0), (), ())


def test_ranges_that_touch_are_not_apart():
    assert not Spread(2, 1, 3).apart(Spread(4, 3, 5))
    assert Spread(2, 1, 3).apart(Spread(4, 3.1, 5)) and Spread(4, 3.1, 5).apart(Spread(2, 1, 3))


@pytest.mark.parametrize(("lang", "at"), [("en", "At step {}"), ("tr", "Adım {}:")])
def test_dead_blocks_are_named_with_their_step_before_and_after_training(runs, lang, at):
    def killed(snapshot, name):
        return dataclasses.replace(snapshot, blocks=tuple(
            dataclasses.replace(block, silent=block.name == name, dead=block.name == name) for block in snapshot.blocks
        ))  # fmt: skip

    start, end = runs[0].snapshots
    for names in (("stages.0.1", "stages.1.0"), ("stages.0.1", None), (None, "stages.1.0")):
        changed = killed(start, names[0]), killed(end, names[1])
        said = verdict([dataclasses.replace(runs[0], snapshots=changed, lesion=None)], lang)[1].splitlines()
        told = [line.strip() for line in said if "dead" in line or "ölü" in line]
        assert len(told) == sum(name is not None for name in names)
        wanted = [(step, name) for step, name in zip((0, 3), names, strict=True) if name]
        for line, (step, name) in zip(told, wanted, strict=True):
            assert line.startswith(at.format(step)) and name in line


def test_norms_and_dead_channels_block_by_block_by_hand(runs):
    start = runs[0].snapshots[0]
    norms = [
        dataclasses.replace(start.norms[0], name=name, batch_var=var, stored_var=stored)
        for name, var, stored in (
            ("stem.norm1", 9.0, 9.0), ("stages.0.1.branch.norm1", 1.0, 2.0), ("stages.0.1.branch.norm2", 4.0, None),
            ("stages.0.10.branch.norm1", 7.0, 7.0), ("stages.1.1.branch.norm1", 3.0, None),
        )
    ]  # fmt: skip
    dead = [DeadChannels("stages.0.0.branch.act1", 4, 1), DeadChannels("stages.0.0.post.act1", 12, 3),
            DeadChannels("stages.1.0.post.act1", 8, 0), DeadChannels("final.act1", 8, 8)]  # fmt: skip
    made = dataclasses.replace(start, norms=tuple(norms), dead=tuple(dead))
    assert [block.name for block in made.blocks] == ["stages.0.0", "stages.0.1", "stages.1.0", "stages.1.1"]
    assert summary.each_norm(lambda norm: norm.batch_var)(made) == [None, 2.5, None, 3.0]
    assert summary.each_norm(lambda norm: norm.stored_var)(made) == [None, 2.0, None, None]
    assert summary.dead_share(made) == [0.25, None, 0.0, None]  # (1 + 3) / (4 + 12), and not a mean of shares
    curve = summary.block_curve("a", [made, start], summary.dead_share)
    assert curve.values[0] == 0.125 and (curve.low[0], curve.high[0]) == (0.0, 0.25)  # none is dead in the fresh one


def test_designs_that_begin_alike_keep_their_lines_and_names(monkeypatch, tmp_path):
    names = ["custom@" + "x" * 70 + end for end in ("basic", "basic-v2")]
    drawn = []
    monkeypatch.setattr(curves, "save", lambda figure, folder, stem: drawn.append(figure))
    panel = curves.Panel("zeros", "block", tuple(curves.Curve(name, (0.0, 0.0)) for name in names), unit=".1%")
    curves.curves_plot([panel], tmp_path, "both")
    (legend,), (axes,) = drawn[0].legends, drawn[0].axes
    lines = legend.get_lines()
    assert [line.get_color() for line in lines] == [line.get_color() for line in axes.get_lines()]
    assert lines[0].get_color() != lines[1].get_color()
    written = [text.get_text() for text in legend.get_texts()]
    assert written[0].endswith("xbasic") and written[1].endswith("xbasic-v2")
    assert all(len(text) <= curves.NAME for text in written)
    assert 0 > axes.get_ylim()[0] > -0.1  # no share is far below zero


def test_every_sentence_can_be_reached(runs, monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr(plots, "curves_plot", lambda panels, folder, stem, lang: drawn.append(stem))
    said = set()

    class Recording(dict):
        def __getitem__(self, key):
            said.add(key)
            return super().__getitem__(key)

    real = text.chapter
    monkeypatch.setattr(text, "chapter", lambda lang, name: Recording(real(lang, name)))
    verdict(runs)
    assert plots.draw(runs, tmp_path) == drawn == [
        "gradient", "signal", "skip", "norm", "dead", "jacobian", "loss", "lesion",
    ]  # fmt: skip
    problems = [Problem(what, "stages.0.0", 2) for what in ("input", "activation", "weight", "gradient", "loss")]
    verdict([dataclasses.replace(runs[0], problem=problem) for problem in problems])
    first = runs[0].snapshots[0]
    blocks = [dataclasses.replace(b, silent=True, dead=i == 0) for i, b in enumerate(first.blocks)]
    exact = [
        dataclasses.replace(b, jacobian=dataclasses.replace(b.jacobian, method="svd")) for b in blocks
    ]  # fmt: skip
    changed = dataclasses.replace(first, blocks=tuple(exact))
    verdict([dataclasses.replace(runs[0], snapshots=(changed,), skipped=("a.png",))])
    verdict([runs[0], runs[2]])
    for intact in (0.0, 0.9):
        verdict([dataclasses.replace(run, lesion=dataclasses.replace(run.lesion, intact=intact)) for run in runs[:1]])
    # both outcomes of a comparison, whatever these short runs gave
    verdict([*runs[:2], *(dataclasses.replace(run, losses=(9.0,) * 3) for run in runs[2:])])
    verdict([*runs[:2], *(dataclasses.replace(run, spec="twin") for run in runs[:2])])
    verdict([probe(SCALED, steps=0, batch=4, jacobian_steps=0)])
    assert {key for key in catalogue("en") if key.startswith("probe.")} - said == set()


def test_the_command(tmp_path, capsys):
    out = tmp_path / "found"
    words = ["probe", V1, V2, "--steps", "2", "--batch", "8", "--jacobian", "0", "--test-images", "16", "--lesion"]
    assert command([*words, "--out", str(out), "--lang", "tr"]) == 0
    printed = " ".join(capsys.readouterr().out.split())  # lines break by their figures' lengths
    kept = json.loads((out / "probe.json").read_text())
    assert len(kept["runs"]) == 2
    for paragraph in kept["verdict"]:
        assert " ".join(paragraph.split()) in printed
    assert "kısayoldan" in printed and "tohum" in printed
    for stem in ("gradient", "signal", "skip", "norm", "dead", "loss", "lesion"):  # no Jacobian was asked for
        ElementTree.parse(out / f"{stem}.svg")
        with Image.open(out / f"{stem}.png") as picture:
            assert picture.width > 600 and len(picture.convert("RGB").getcolors(1 << 24)) > 20
    assert command(["probe", V1, "--steps", "0", "--batch", "8", "--jacobian", "0", "--json"]) == 0
    (made,) = json.loads(capsys.readouterr().out)["runs"]
    assert len(made["snapshots"]) == 1 and made["lesion"] is None and made["losses"] == []
    # what is probed is what Python gives
    assert made == json.loads(json.dumps(probe(V1, steps=0, batch=8, jacobian_steps=0).to_mapping()))


QUICK = ["--steps", "2", "--batch", "8", "--jacobian", "0", "--test-images", "16"]


def finished(steps=2):
    """What the first run alone gives."""
    run = probe(V1, steps=steps, batch=8, jacobian_steps=0, test_images=16)
    return json.loads(json.dumps(run.to_mapping()))


@pytest.mark.parametrize("lang", ["en", "tr"])
def test_ctrl_c_keeps_and_shows_what_is_finished(tmp_path, capsys, monkeypatch, lang):
    out = tmp_path / "found"
    real, seeds = probe, []

    def cut(design, source, *, seed, **options):
        if seeds:  # what is done is on the disk while the second run is at work
            assert [row["seed"] for row in json.loads((out / "probe.json").read_text())["runs"]] == seeds
            raise KeyboardInterrupt
        seeds.append(seed)
        return real(design, source, seed=seed, **options)

    monkeypatch.setattr(otoyol.probe, "probe", cut)
    assert command(["probe", V1, "--seeds", "3", *QUICK, "--out", str(out), "--lang", lang]) == 130
    printed, said = capsys.readouterr()
    kept = json.loads((out / "probe.json").read_text())
    assert kept["runs"] == [finished()]
    assert " ".join(kept["verdict"][0].split()) in " ".join(printed.split())
    assert re.search(r"Interrupted.*1 finished run of 3|kesildi.*3 koşudan biten 1", said) and said.count("\n") == 1
    assert (out / "loss.png").exists() and not list(out.glob(".*"))  # nothing temporary
    assert command(["probe", V1, *QUICK, "--lang", lang]) == 130  # before anything is finished
    printed, said = capsys.readouterr()
    assert printed == "" and re.search("Interrupted before|bitmeden", said)


def test_an_error_loses_no_run_that_is_finished(tmp_path, capsys):
    out = tmp_path / "found"
    assert command(["probe", V1, V1.replace("head=10", "head=0"), *QUICK, "--out", str(out), "--json"]) == 2
    printed, said = capsys.readouterr()
    assert "head" in said and said.count("\n") == 1
    kept = json.loads((out / "probe.json").read_text())
    assert kept["runs"] == [finished()] and json.loads(printed) == kept


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["probe"], "specs"),
        (["probe", V1, "--steps", "-1"], "steps"),
        (["probe", V1, "--data", "nowhere"], "data"),
        (["probe", V1, "--batch", "1"], "batch"),
        (["probe", V1, "--lr", "-1"], "lr"),
        (["probe", V1, "--lr", "nan"], "lr"),
        (["probe", V1, "--batch", "5000"], "batch"),
        (["probe", "resnet18@head=0"], "head"),
        (["probe", V1, "--on-error", "ignore"], "on-error"),
        (["probe", V1, "--steps", "4", "--batch", "8", "--lr", "1e30", "--jacobian", "0"], "stages."),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(words, named, capsys):
    assert command(words) == 2
    said = capsys.readouterr()
    assert said.out == "" and named in said.err.lower() and said.err.count("\n") == 1
