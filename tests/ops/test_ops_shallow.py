"""Two blocks a stage tell of all: single blocks and taps agree with the whole network's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import specs

import otoyol
from otoyol.audit import highway
from otoyol.audit.highway import audit_block, is_pure
from otoyol.ops import INPUT, lower
from otoyol.ops.network import stage_places
from otoyol.ops.shallow import lower_one, lower_outside, tap_views


@given(specs(max_depth=5), st.data())
def test_a_block_alone_is_the_networks(spec: otoyol.Spec, data: st.DataObject) -> None:
    stage = data.draw(st.integers(0, len(spec.plan) - 1))
    block = data.draw(st.integers(0, spec.plan[stage].depth - 1))
    ops, network = lower_one(spec, stage, block), lower(spec).ops
    here = [i for i, op in enumerate(network) if (op.stage, op.block) == (stage, block)]
    for op, i in zip(ops, here, strict=True):
        inputs = tuple(source - here[0] if source >= here[0] else INPUT for source in network[i].inputs)
        assert op == network[i]._replace(inputs=inputs)
    whole = next(b for b in highway(spec).blocks if (b.stage, b.block) == (stage, block))
    assert audit_block(spec, ops) == whole


@given(specs(max_depth=4))
def test_what_stands_outside_of_the_stages(spec: otoyol.Spec) -> None:
    whole = [op for op in lower(spec).ops if op.stage < 0]
    alone = lower_outside(spec)
    assert [op._replace(inputs=()) for op in alone] == [op._replace(inputs=()) for op in whole]


def test_taps_of_sums_have_norms_of_their_own() -> None:
    spec = otoyol.parse("resnetv2_50@head=0,head.pool=none,taps=postact")
    names = [op.name for op in lower_outside(spec) if op.slot == "tap"]
    assert names == [f"taps.C{stage}.{op}" for stage in (2, 3, 4) for op in ("norm1", "act1")]


@given(specs(max_depth=4))
def test_purity_needs_no_widths(spec: otoyol.Spec) -> None:
    for block in highway(spec).blocks:
        form, place = spec.plan[block.stage].form, stage_places(spec, block.stage)[min(block.block, 1)]
        assert is_pure(form, place, spec.stages[block.stage].shortcut or spec.shortcut) == block.pure


@given(specs(max_depth=6))
def test_taps_of_deep_networks(spec: otoyol.Spec) -> None:
    for short, tap in zip(tap_views(spec), lower(spec).taps, strict=True):
        assert short == (tap.name, tap.channels, tap.height, tap.width, tap.stride, tap.receptive_field, tap.offset)


def test_resnet50s_receptive_field_by_hand() -> None:
    """Stem 7 and 3 at strides 2 and 2: 11; then 3×3 convolutions at 4, 8, 16 and 32 pixels, the strided ones at the
    stride before them: 11 + 2·(3·4 + (4 + 3·8) + (8 + 5·16) + (16 + 2·32)) = 427."""
    assert 11 + 2 * (3 * 4 + (4 + 3 * 8) + (8 + 5 * 16) + (16 + 2 * 32)) == 427
    assert tap_views(otoyol.parse("resnet50"))[-1].receptive_field == 427


@pytest.mark.parametrize(("stage", "block", "field"), [(4, 0, "stage"), (-1, 0, "stage"), (3, 3, "block")])
def test_there_is_no_such_block(stage: int, block: int, field: str) -> None:
    with pytest.raises(otoyol.SpecError, match=field):
        lower_one(otoyol.parse("resnet50"), stage, block)
