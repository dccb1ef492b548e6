"""The text form: what it says, that it round-trips, that shells and URLs leave it alone."""

from __future__ import annotations

import shlex
from fractions import Fraction
from urllib.parse import parse_qs, quote

import pytest
from hypothesis import given, settings
from strategies import specs

import otoyol
from otoyol.spec import BLOCKS, FAMILIES, Spec, family


def test_the_example_of_the_documentation_says_what_it_says() -> None:
    spec = otoyol.parse("resnet50@block=bottleneck-v2,expansion=6,attention=se,input=3x192x192,depths=3-4-6-3")
    assert spec.block == BLOCKS["bottleneck-v2"]
    assert spec.expansion == Fraction(6)
    assert (spec.attention.kind, spec.attention.place) == ("se", "end")
    assert (spec.input.channels, spec.input.height, spec.input.width) == (3, 192, 192)
    assert [stage.depth for stage in spec.stages] == [3, 4, 6, 3]
    assert [plan.out for plan in spec.plan] == [64 * 6, 128 * 6, 256 * 6, 512 * 6]


def test_a_field_of_one_stage_leaves_the_others_alone() -> None:
    spec = otoyol.parse("resnet50@stage2.attention=eca,stage4.width=640,stage3.shortcut=D")
    assert [spec.stages[i].attention for i in (0, 2, 3)] == [None] * 3
    assert [plan.form.attention for plan in spec.plan] == ["none", "eca", "none", "none"]
    assert [plan.form.shortcut for plan in spec.plan] == ["B", "B", "D", "B"]
    assert [stage.width for stage in spec.stages] == [64, 128, 256, 640]


def test_columns_may_change_the_number_of_stages() -> None:
    assert len(otoyol.parse("resnet50@depths=1-1").stages) == 2
    five = otoyol.parse("resnet50@depths=1-1-1-1-2,widths=8-8-8-8-16")
    assert [(s.depth, s.width, s.stride) for s in five.stages][-2:] == [(1, 8, 2), (2, 16, 2)]


def test_the_primary_field_keeps_its_neighbours_and_default_clears() -> None:
    spec = otoyol.parse("resnet50@attention.reduction=4,attention=se")
    assert (spec.attention.kind, spec.attention.reduction) == ("se", 4)
    assert otoyol.parse("wide_resnet50_2@expansion=default").plan[0].out == 128 * 4  # the block's own expansion
    assert otoyol.parse("seresnet50@attention=default") == otoyol.parse("seresnet50@attention=none")


def test_an_expansion_is_an_exact_rational() -> None:
    assert otoyol.parse("resnet50@expansion=1.5").plan[0].out == 96
    assert otoyol.parse("resnet50@expansion=3/2") == otoyol.parse("resnet50@expansion=1.5")
    assert otoyol.parse("resnet50@expansion=4") == otoyol.parse("resnet50@expansion=8/2")


def test_a_block_may_be_written_out() -> None:
    written = otoyol.parse("resnet50@block=norm.act/conv1.norm.act.conv3.norm.act.conv1//x4")
    assert written == otoyol.parse("resnet50@block=bottleneck-v2")
    assert otoyol.to_text(written) == "resnet50@block=bottleneck-v2"
    odd = otoyol.parse("resnet50@block=norm/dw5.norm.act.conv1/act/input/x2")
    assert (odd.block.preact, odd.block.post, odd.block.inner, odd.block.expansion) == (("norm",), ("act",), "input", 2)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_its_own_text_form(name: str) -> None:
    spec = family(name)
    assert otoyol.to_text(spec) == name
    assert otoyol.parse(name) == spec


def test_the_shortest_form_is_written() -> None:
    assert otoyol.to_text(otoyol.parse("resnet50@attention=none,input=3x224x224,depths=3-4-6-3")) == "resnet50"
    assert otoyol.to_text(otoyol.parse("resnet50@zero_init=false,norm.eps=1e-3")) == (
        "resnet50@norm.eps=0.001,zero_init=false"
    )


@settings(max_examples=300)
@given(specs())
def test_text_round_trips_and_needs_no_quoting(spec: Spec) -> None:
    text = otoyol.to_text(spec)
    again = otoyol.parse(text)
    assert again == spec
    assert hash(again) == hash(spec)
    assert again.plan == spec.plan
    assert shlex.quote(text) == text
    assert quote(text, safe="@=,/:") == text
    assert parse_qs(f"spec={text}")["spec"] == [text]
    assert otoyol.to_text(again) == text


def test_a_spec_cannot_be_changed_and_a_changed_copy_is_checked() -> None:
    spec = family("resnet50")
    with pytest.raises(Exception, match="frozen"):
        spec.act = "gelu"  # type: ignore[misc]
    changed = spec.model_copy(update={"expansion": 2})
    assert (changed.plan[0].out, spec.plan[0].out) == (128, 256)
    with pytest.raises(otoyol.SpecError, match="expansion"):
        spec.model_copy(update={"expansion": "1/3"})


def test_a_field_of_a_stage_s_own_part() -> None:
    spec = otoyol.parse("seresnet50@stage4.attention=se,stage4.attention.reduction=8")
    assert [plan.form.attention for plan in spec.plan] == ["se"] * 4
    assert spec.stages[3].attention is not None and spec.stages[3].attention.reduction == 8


@pytest.mark.parametrize("value", [0.01 / 3, 1e-4 * 1.2345678901234567, 5e-324, 0.1 + 0.2, 1 / 3])
def test_a_number_of_many_digits_is_read_back(value: float) -> None:
    spec = otoyol.parse("resnet50").model_copy(update={"drop_path": value})
    assert otoyol.parse(otoyol.to_text(spec)).drop_path == value
