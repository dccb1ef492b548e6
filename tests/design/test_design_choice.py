"""The choice as a function, what a task asks, what is refused and how it is told."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from _small import SPACE
from hypothesis import given
from hypothesis import strategies as st

from otoyol.cli.main import run
from otoyol.cost import count
from otoyol.design import TASKS, check_free, choose, rivals_of, space_for, unfit_for_detection, wish_for
from otoyol.errors import OtoyolError, SpecError
from otoyol.search import Design, Objective, structures
from otoyol.spec import edit, parse

DEPTH, PARAMS = Objective("depth", True), Objective("params", True)
figures = st.lists(st.tuples(st.floats(1, 1e3), st.floats(1e3, 1e8)), min_size=1, max_size=12)


def front(rows: list[tuple[float, float]]) -> list[Design]:
    return [Design("resnet18", {"depth": depth, "params": params}) for depth, params in rows]


def test_the_balanced_design_is_taken():
    # On the log scales the designs stand at (0, 1), (1/2, 1/2) and (1, 0): distances 1, √½ and 1.
    choice = choose(front([(10, 1e8), (100, 1e6), (1000, 1e4)]), [DEPTH, PARAMS])
    assert choice.position == 1
    assert choice.distances == pytest.approx((1, 0.5**0.5, 1))
    assert not choice.picked


@given(figures)
def test_one_objective_takes_its_best(rows):
    at = choose(front(rows), [PARAMS]).position
    assert rows[at][1] == pytest.approx(max(params for _, params in rows), rel=1e-6)
    at = choose(front(rows), [PARAMS._replace(maximize=False)]).position
    assert rows[at][1] == pytest.approx(min(params for _, params in rows), rel=1e-6)


@given(figures, st.floats(0.1, 10))
def test_units_do_not_matter(rows, factor):
    scaled = front([(depth, params * factor) for depth, params in rows])
    ours, theirs = choose(front(rows), [DEPTH, PARAMS]), choose(scaled, [DEPTH, PARAMS])
    assert theirs.distances == pytest.approx(ours.distances, abs=1e-3)


def test_a_pick_overrules():
    assert choose(front([(1, 2), (2, 1)]), [DEPTH, PARAMS], pick=2)[::2] == (1, True)
    with pytest.raises(SpecError, match="1 to 2"):
        choose(front([(1, 2), (2, 1)]), [DEPTH, PARAMS], pick=3)


@pytest.mark.parametrize("task", TASKS)
def test_every_design_of_the_tasks_own_spaces_can_serve(task):
    space = space_for(TASKS[task], None, "3x512x512")
    built, refused = structures(space)
    assert refused == []
    assert len(built) == len({structure.spec for structure in built}) > 50
    for structure in built:
        assert structure.spec.input.text == "3x512x512"
        assert bool(structure.spec.head.classes) == (task == "classification")
        if task == "detection":
            assert unfit_for_detection(structure.spec) == ""


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"input": "3x500x512"}, "multiples of 32"),
        ({"strides": "1-2-2-1"}, "C5 16"),
        ({"depths": "1-1-1", "widths": "64-64-64"}, "strides 4, 8, 16 and 32"),
        ({"block": "bottleneck-v2", "taps": "raw"}, "not normalised"),
        ({"shortcut.gate": "scale"}, "without gates"),
    ],
)
def test_what_a_detector_does_not_want(change, why):
    assert unfit_for_detection(edit(parse("resnet50@input=3x512x512"), {})) == ""
    assert why in unfit_for_detection(edit(parse("resnet50@input=3x512x512"), change))


def test_detection_asks_that_c5_sees_the_image():
    wish = wish_for("detection", image="3x256x512", budgets=["macs<=4G"])
    assert [budget.text for budget in wish.budgets] == ["macs<=4G", "receptive_field>=256"]
    assert [(o.quantity, o.maximize) for o in wish.objectives] == [
        ("depth", True), ("params", True), ("train_bytes", False)
    ]  # fmt: skip


def test_what_a_budget_bounds_is_not_minimised():
    def least(budgets: list[str], **more: list[str]) -> list[str]:
        wish = wish_for("detection", image="3x256x512", budgets=budgets, **more)
        return [o.key for o in wish.objectives if not o.maximize]

    assert least(["train_bytes<=100Mi"]) == []
    assert least(["train_bytes>=1Mi"]) == ["train_bytes"]
    assert least(["macs<=4G"], latencies=["ort,b1,t1"]) == ["train_bytes", "latency_ms@ort,b1,t1"]
    assert least(["latency_ms<=9@ort,b1,t1"], latencies=["ort,b1,t1"]) == ["train_bytes"]
    assert least(["train_bytes<=100Mi"], minimize=["train_bytes"]) == ["train_bytes"]


def test_a_latency_budget_alone_is_what_rivals_are_matched_by():
    wish = partial(wish_for, "classification", image="3x64x64", latencies=["ort,b1,t2"], place=lambda _: "ort,b1,t2")
    assert wish(budgets=["latency_ms<=9@ort"]).equal == "latency_ms@ort,b1,t2"
    assert wish(budgets=["latency_ms<=9@ort", "params<=9M"]).equal == "params"
    assert wish(budgets=["depth>=9"]).equal == wish().equal == "macs"


def test_rivals_are_as_quick_both_ways():
    """The law is here alone: depth times width squared, in ms; every stage of the chosen design counts as much."""

    def law(spec, depths, widths):
        return (depths * widths**2).sum(axis=1) / 1e3

    def ms(spec):
        return sum(stage.depth * stage.width**2 for stage in spec.stages) / 1e3

    chosen = parse("resnetv2_50@input=3x64x64,depths=1-2-4-1,widths=256-192-128-256,head=10")
    for rival in rivals_of(chosen, "latency_ms@ort,b1,t2", law):
        assert ms(rival.scaled.spec) == pytest.approx(ms(chosen), rel=0.01)
        assert ms(rival.ours.spec) == pytest.approx(ms(rival.spec), rel=0.01)
        assert rival.scaled.quantity == "latency_ms@ort,b1,t2"
        assert abs(count(rival.scaled.spec).macs / count(chosen).macs - 1) > 0.05


def test_nothing_fits(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "space.yaml").write_text(SPACE)
    words = ["design", "--task", "classification", "--space", str(tmp_path / "space.yaml"), "--count", "500"]
    status = run([*words, "--budget", "params<=3k", "--budget", "macs<=1G", "--out", str(tmp_path / "out")])
    assert status == 1
    told = capsys.readouterr().err
    assert told == "otoyol: no design fits: of 500 designs params<=3k excludes all, macs<=1G excludes 0\n"
    assert [path.name for path in tmp_path.iterdir()] == ["space.yaml"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--input", "3x500x500"], "multiples of 32"),
        (["--budget", "macs<4G"], "macs<=4.1e9"),
        (["--budget", "latency_ms<=60@ort,b1,t2"], "table"),
        (["--space", "absent.yaml"], "readable file"),
        (["--maximize", "beauty"], "beauty"),
        (["--trials", "absent.json"], "readable file"),
        (["--budget", "macs<=1G", "--budget", "macs>=2G"], "some design can meet"),
    ],
)
def test_bad_input(words, told, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run(["design", "--task", "detection", "--out", str(tmp_path / "out"), "--count", "100", *words]) == 2
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_only_what_is_ours_is_replaced(tmp_path: Path):
    check_free(tmp_path / "new", {"spec.yaml"}, False)
    (tmp_path / "spec.yaml").write_text("")
    with pytest.raises(SpecError, match="--force"):
        check_free(tmp_path, {"spec.yaml"}, False)
    check_free(tmp_path, {"spec.yaml"}, True)
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(SpecError, match=r"thesis\.tex"):
        check_free(tmp_path, {"spec.yaml"}, True)
    with pytest.raises(OtoyolError, match="is no folder"):
        check_free(tmp_path / "absent" / "new", set(), False)
