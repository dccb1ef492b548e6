"""Equal budget: what is reached is what torch counts, within 1%, and nothing else has changed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otoyol.cost import count
from otoyol.errors import SpecError
from otoyol.search import EQUAL, match
from otoyol.search.match import _distinct
from otoyol.spec import edit, parse

CHANGES = [{"block": "basic"}, {"block": "bottleneck-v2"}, {"expansion": "6"}, {"attention": "se"}, {"shortcut": "C"}]


@pytest.mark.parametrize("equal", ["macs", "params", "activations", "train_bytes"])
@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_resnet50_matched(change, equal):
    baseline = parse("resnet50")
    found = match(baseline, change, equal=equal)
    assert found.within
    assert abs(getattr(count(found.spec), equal) / getattr(count(baseline), equal) - 1) <= 0.01
    assert found.reached == getattr(count(found.spec), equal)
    assert all(stage.width % 8 == 0 for stage in found.spec.stages)
    unscaled = edit(found.spec, {"widths": "64-128-256-512"})
    assert unscaled == edit(baseline, change)


def test_params_are_torchs():
    from otoyol.nn import build

    found = match(parse("cifar_resnet56"), {"block": "bottleneck-v2", "shortcut": "B"}, equal="params", multiple=4)
    torchs = sum(p.numel() for p in build(found.spec).parameters())
    assert torchs == found.reached
    assert abs(torchs / 853_018 - 1) <= 0.01  # He et al. 2015, ResNet-56 with option A, from the papers' record


def test_no_change_changes_nothing():
    baseline = parse("resnet50")
    for equal in EQUAL:
        assert match(baseline, {}, equal=equal).spec == baseline


def test_depths():
    found = match(parse("cifar_resnet110"), {"block": "basic-v2", "shortcut": "B"}, vary="depths")
    assert found.within
    assert [stage.width for stage in found.spec.stages] == [16, 32, 64]


def test_what_cannot_be_matched_says_why_and_how_near():
    coarse = match(parse("resnet18"), {"block": "bottleneck"}, vary="depths")
    assert not coarse.within
    assert "coarse" in coarse.reason
    assert f"{coarse.reached}" in coarse.reason
    tiny = match(parse("cifar_resnet20"), {"widths": "512-512-512"}, multiple=512)
    assert not tiny.within
    assert "even the smallest widths" in tiny.reason


def test_both_meet_at_every_depth_and_width():
    """A law, depth × width² over stages, whose answer is found by hand. 3-3-3 blocks of 16-32-64 cost
    3·(16² + 32² + 64²) = 16,128 exactly, d blocks of 8k-16k-32k cost d·k²·1,344. d·k² = 12 has two answers: from
    12-12-12 blocks of 16-32-64, (3, 2) quarters the depths and leaves the widths, (12, 1) leaves the depths and halves
    the widths: there the two factors are nearer to each other."""

    def law(spec, depths, widths):
        return (depths * widths.astype(float) ** 2).sum(axis=1)

    baseline = parse("cifar_resnet20@shortcut=B")
    found = match(baseline, {"depths": "12-12-12"}, equal="toy_ms", scorer=law, vary="both", tolerance=1e-12)
    assert found.wanted == found.reached == 16_128
    assert found.spec == edit(baseline, {"depths": "12-12-12", "widths": "8-16-32"})


@pytest.mark.parametrize(
    ("name", "change", "vary", "there"),
    [
        ("resnet50", {"depths": "1-1-1-1"}, "both", "resnet50@depths=1-1-1-1,widths=112-224-440-880"),
        ("cifar_resnet20", {"depths": "200-200-200"}, "both", "cifar_resnet20"),
        ("resnet18", {"depths": "400-400-400-400"}, "depths", "resnet18"),
        ("resnet18", {"widths": "2000-2000-2000-2000"}, "widths", "resnet18@widths=112-104-104-104"),
    ],
)  # fmt: skip
def test_what_some_design_can_meet_is_met(name, change, vary, there):
    """``there`` is a design of what may vary that meets the budget: shown here by count() alone."""
    baseline = parse(name)
    wanted = count(baseline).macs
    assert abs(count(parse(there)).macs / wanted - 1) <= 0.01
    found = match(baseline, change, vary=vary)
    assert found.within and abs(count(found.spec).macs / wanted - 1) <= 0.01


@given(st.integers(1, 2000), st.integers(1, 60), st.sampled_from([1, 8, 64]))
def test_the_smallest_is_one_step_and_one_block(width, depth, multiple):
    """A budget that nothing can meet: what is left is one block a stage and every width one step."""
    baseline = parse("cifar_resnet20@depths=1-1-1,widths=1-1-1,shortcut=B,head=2,stem.widths=1")
    change = {"depths": f"{depth}-{depth}-{depth}", "widths": f"{width}-{width}-{width}", "stem.widths": "64"}
    found = match(baseline, change, vary="both", multiple=multiple)
    assert not found.within
    assert "even the smallest depths and widths" in found.reason
    assert [(stage.depth, stage.width) for stage in found.spec.stages] == [(1, multiple)] * 3


@given(st.integers(1, 16), st.sampled_from([3, 2_000, 2**20]), st.integers(0, 2**32 - 1))
def test_rows_are_distinct_as_numpy_has_them(columns, most, seed):
    """Sixteen columns of a million values are more than one number can tell apart at a time."""
    rows = np.random.default_rng(seed).integers(1, most, (60, columns), endpoint=True)
    rows = np.concatenate([rows, rows[::2], rows[::3] + np.eye(1, columns, columns - 1, dtype=np.int64)])
    assert np.array_equal(_distinct(rows), np.unique(rows, axis=0))


def test_training_bytes_are_train_bytes():
    found = match(parse("resnet18"), {"attention": "se"}, equal="training_bytes")
    assert found == match(parse("resnet18"), {"attention": "se"}, equal="train_bytes")
    assert found.quantity == "train_bytes"


def test_widths_keep_groups_whole():
    found = match(parse("resnet50"), {"groups": "24", "widths": "96-192-384-768"}, multiple=8)
    assert all(stage.width % 24 == 0 for stage in found.spec.stages)
    assert found.within


@pytest.mark.parametrize(("arguments", "field"), [({"equal": "flops"}, "equal"), ({"multiple": 0}, "multiple")])
def test_refusals(arguments, field):
    with pytest.raises(SpecError) as error:
        match(parse("resnet18"), {}, **arguments)
    assert error.value.field == field


@settings(max_examples=6)
@given(st.sampled_from(["resnet18", "resnet34", "resnetv2_50", "wrn_28_10", "resnext50_32x4d"]), st.sampled_from(EQUAL))
def test_reached_is_counted(name, equal):
    found = match(parse(name), {"attention": "eca"}, equal=equal)
    assert found.reached == getattr(count(found.spec), equal)
    assert found.within == (abs(found.difference) <= 0.01)
    assert found.within == (not found.reason)


@pytest.mark.parametrize("equal", ["train_bytes", "peak_inference_bytes"])
def test_what_is_counted_for_is_said(equal):
    baseline, held = parse("resnet50"), {"batch": 64, "dtype": "float16"}
    found = match(baseline, {"block": "bottleneck-v2"}, equal=equal, **held)
    assert found.wanted == getattr(count(baseline, **held), equal)
    assert found.reached == getattr(count(found.spec, **held), equal)
    assert found.within
    assert found.wanted != getattr(count(baseline, batch=64), equal)


def test_an_unknown_number_type_is_refused():
    with pytest.raises(SpecError, match="dtype"):
        match(parse("resnet18"), {}, dtype="float8")


def test_a_quantity_that_a_scorer_supplies():
    """A toy law, depth × width² summed over stages; designs with an odd depth have no figure and are never taken."""

    def law(spec, depths, widths):
        figure = (depths * widths.astype(float) ** 2).sum(axis=1) * 1e-3
        return np.where((depths % 2 == 0).all(axis=1), figure, np.nan)

    def of(spec):
        return sum(stage.depth * stage.width**2 for stage in spec.stages) * 1e-3

    baseline = parse("resnet18")  # 2-2-2-2 blocks of 64-128-256-512: 2·(64² + 128² + 256² + 512²)/1000 = 696.32
    found = match(baseline, {"block": "basic-v2", "depths": "4-4-4-4"}, equal="toy_ms", scorer=law)
    assert found.wanted == pytest.approx(696.32)
    assert found.within and found.quantity == "toy_ms"
    assert of(found.spec) == pytest.approx(found.reached) == pytest.approx(696.32, rel=0.01)
    # At even depths a multiple of 2·(64² + 128² + 256² + 512²) is all that depths alone can reach in proportion.
    deep = match(baseline, {"block": "basic-v2"}, equal="toy_ms", scorer=law, vary="depths")
    assert all(stage.depth % 2 == 0 for stage in deep.spec.stages)
    coarse = match(baseline, {"widths": "512-512-512-512"}, equal="toy_ms", scorer=law, multiple=512)
    assert not coarse.within and "2097 toy_ms" in coarse.reason  # 4·2·512² / 1000 is the smallest
    with pytest.raises(SpecError, match="multiples"):
        match(baseline, {"depths": "1-1-1-1"}, equal="toy_ms", scorer=law)
