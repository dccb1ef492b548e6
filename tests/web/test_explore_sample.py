"""Sampling a space for the page: every figure is that of the design it stands beside, and nothing is unbounded."""

from __future__ import annotations

import json

import numpy as np
import pytest

import otoyol
from otoyol.errors import SpecError
from otoyol.search.linear import layers, receptive_field
from otoyol.web.explore import (
    MAX_DESIGNS,
    MAX_MARKS,
    MAX_OPENED,
    MAX_STRUCTURES,
    SPACES,
    Ready,
    around,
    budgets,
    ready,
    sample,
    space_of,
    space_text,
)

SMALL = """
base: cifar_resnet20
choices: {block: [basic, bottleneck], shortcut: [A, B]}
depths: {low: 1, high: 3}
widths: {low: 8, high: 32, multiple: 8}
"""


def text_of(drawn: dict[str, object], row: int) -> str:
    """A design's text as the page puts it together."""
    structure, *numbers = drawn["designs"][row]  # type: ignore[index]
    half = len(numbers) // 2
    depths, widths = ("-".join(map(str, part)) for part in (numbers[:half], numbers[half:]))
    return f"{drawn['structures'][structure]}depths={depths},widths={widths}"  # type: ignore[index]


@pytest.mark.parametrize("kind", SPACES)
def test_figures_are_those_of_the_design(kind: str) -> None:
    design = "resnet50@input=3x64x64,stem=deep,attention=se"
    found = ready(space_of(kind, design, SMALL))
    drawn = sample(found, count=140, seed=3, batch=4, dtype="bfloat16")
    assert 0 < len(drawn["designs"]) <= 140
    for row in range(0, len(drawn["designs"]), 29):
        spec = otoyol.parse(text_of(drawn, row))
        count = otoyol.cost.count(spec, batch=4, dtype="bfloat16")
        for name in ("params", "macs", "activations", "train_bytes", "train_bytes_lean", "peak_inference_bytes"):
            assert drawn["values"][name][row] == getattr(count, name)
        depths = np.array([stage.depth for stage in spec.stages])
        assert drawn["values"]["depth"][row] == layers(spec)(depths)
        assert drawn["values"]["receptive_field"][row] == receptive_field(spec)(depths)
        assert spec.input.text == ("3x32x32" if kind == "text" else "3x64x64")
    json.dumps(drawn, allow_nan=False)


def test_a_seed_is_a_sample() -> None:
    found = ready(space_of("around", "cifar_resnet20"))
    first, again, other = (sample(found, count=60, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first["designs"] != other["designs"]


def test_around_a_design_are_designs_like_it() -> None:
    spec = otoyol.parse("resnetv2_50@widths=60-120-240-480,attention=eca")
    drawn = sample(ready(around(spec)), count=200, seed=0)
    kinds = set()
    for row in range(0, 200, 7):
        found = otoyol.parse(text_of(drawn, row))
        kinds.add((found.block, found.shortcut.kind, found.attention.kind))
        for own, stage in zip(spec.stages, found.stages, strict=True):
            assert own.depth / 2 - 1 < stage.depth <= 2 * own.depth
            assert stage.width % 4 == 0
    assert len(kinds) > 4
    assert {attention for _, _, attention in kinds} == {"eca", "none", "se"}


def test_what_cannot_be_built_says_why() -> None:
    # Zero-padding cannot take channels away, which rows of widths do; place 24 stands behind no branch of two convs.
    space = space_of("text", "", SMALL.replace("[A, B]", "[A, B], attention: [se], attention.place: [end, 24]"))
    drawn = sample(ready(space), count=400, seed=0)
    assert drawn["seen"] > len(drawn["designs"])
    refused = [row for row in drawn["refused"] if row["choices"]["attention.place"] == "24"]
    assert refused and all("attention.place" in row["reason"] for row in refused)
    assert drawn["impossible"]
    for row in drawn["impossible"]:
        with pytest.raises(SpecError) as caught:
            otoyol.parse(row["design"])
        # The same rule, whichever words name the place.
        assert str(caught.value).split("allowed:")[1].strip()[:20] in row["reason"]


def test_a_space_goes_to_text_and_back() -> None:
    for kind in ("classification", "detection", "around"):
        space = space_of(kind, "resnetv2_50@input=3x64x64")
        assert space_of("text", "", space_text(space)) == space
    assert space_of("text", "", json.dumps({"base": "resnet18", "choices": {"attention": ["se"]}})).base == "resnet18"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1, 2]", "space: got list"),
        ("", "space: got NoneType"),
        ("base: resnet50\nbudget: 3", "space.budget"),
        ("base: nothing", "family"),
        ("base: resnet50\nchoices: {block: [basic], widths: [8-16-32-64]}\nwidths: {low: 1, high: 8}", "space.widths"),
        ("{" + '"a":{' * 40, "file"),
        ("[" * 40, "nested too deeply"),
        ("[" * 100, "at most 60"),
        ("a: " + "x" * 5_000, "at most 4096"),
        ("[" + "1," * 500, "at most 300"),
        ("base: *anchor", "aliases"),
        ("base: !!python/object:os.system x", "tags"),
        ("base: resnet50\ndepths: {low: 1, high: .nan}", "space.depths"),
        ("base: resnet50\ndepths: {low: 1, high: 1000000000}", "space.depths"),
    ],
)
def test_malformed_spaces_are_refused(text: str, said: str) -> None:
    with pytest.raises(SpecError, match=said.replace("[", r"\[")):
        ready(space_of("text", "", text))


def test_what_one_request_may_cost_is_bounded() -> None:
    choices = {"drop_path": [i / 1000 for i in range(MAX_STRUCTURES + 1)]}
    with pytest.raises(SpecError, match=f"at most {MAX_STRUCTURES}"):
        ready(otoyol.search.space_from({"base": "resnet18", "choices": choices}))
    with pytest.raises(SpecError, match="at most 8"):
        ready(
            around(otoyol.parse("resnet50@depths=1-1-1-1-1-1-1-1-1,widths=8-8-8-8-8-8-8-8-8,strides=1-1-1-1-1-1-1-1-1"))
        )
    found = ready(space_of("text", "", SMALL))
    for wrong in ({"count": MAX_DESIGNS + 1}, {"count": 0}, {"seed": -1}, {"seed": 1 << 40}):
        with pytest.raises(SpecError, match=next(iter(wrong))):
            sample(found, **{"count": 10, "seed": 0, **wrong})
    with pytest.raises(SpecError, match="space"):
        space_of("everything", "resnet50")


def test_predicted_latency_is_a_column() -> None:
    def scorer(spec: otoyol.Spec, depths: np.ndarray, widths: np.ndarray) -> np.ndarray:
        told = depths.sum(axis=1) * 1.5
        told[0] = np.nan
        return told

    found: Ready = ready(space_of("text", "", SMALL))
    drawn = sample(found, count=40, seed=0, scorers={"latency_ms@ort,b1,t1": scorer})
    column = drawn["values"]["latency_ms@ort,b1,t1"]
    assert None in column
    for design, told in zip(drawn["designs"], column, strict=True):
        assert told is None or told == 1.5 * sum(design[1:4])


def test_budgets_are_read_once_and_for_all() -> None:
    known = ("macs", "params", "latency_ms@ort,b1,t1")
    assert budgets(["macs<=4.1e9", "params>=2M", "latency_ms<=60"], known) == [
        {"text": "macs<=4.1e9", "quantity": "macs", "at_least": False, "limit": 4.1e9},
        {"text": "params>=2M", "quantity": "params", "at_least": True, "limit": 2e6},
        {"text": "latency_ms<=60", "quantity": "latency_ms@ort,b1,t1", "at_least": False, "limit": 60.0},
    ]
    for wrong in (["macs<4"], ["flops<=4"], ["depth<=4"], ["macs<=1", "macs>=2"], ["macs<=1"] * 13, ["macs<=nan"]):
        with pytest.raises(SpecError, match="budget"):
            budgets(wrong, known)


def test_shipped_spaces_are_far_from_the_bounds_of_text() -> None:
    for kind in ("classification", "detection", "around"):
        text = space_text(space_of(kind, "resnet50"))
        assert sum(map(text.count, ",:-\n[{")) < MAX_MARKS / 2
        assert text.count("[") + text.count("{") < MAX_OPENED / 2
