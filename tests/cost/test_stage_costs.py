"""Costs by stage: the quick way agrees with the sum over operators."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import specs

import otoyol
from otoyol.cost import by, count
from otoyol.cost.stages import stage_costs
from otoyol.ops import lower

QUANTITIES = ("params", "macs", "activations", "train_bytes")


@given(specs(), st.sampled_from((1, 3)), st.sampled_from(("float32", "float16")))
def test_parts_agree_with_operators_and_outputs_with_shapes(spec: otoyol.Spec, batch: int, dtype: str) -> None:
    costs = by(spec, "stage", batch=batch, dtype=dtype)
    parts = stage_costs(spec, batch=batch, dtype=dtype)
    ops = [op for op in lower(spec).ops if op.slot != "tap"]
    for part in parts:
        if part.kind == "head":
            here = [cost for key, cost in costs.items() if key != "stem" and not key.startswith("stages.")]
            last = ops[-1]
        else:
            here = [costs["stem" if part.kind == "stem" else f"stages.{part.stage}"]]
            last = [op for op in ops if (op.slot == "stem" if part.kind == "stem" else op.stage == part.stage)][-1]
        for name in QUANTITIES:
            assert getattr(part, name) == sum(getattr(cost, name) for cost in here), (part.kind, name)
        assert part.output == (last.c_out, last.h_out, last.w_out)
    total = count(spec, batch=batch, dtype=dtype)
    for name in QUANTITIES:
        assert sum(getattr(part, name) for part in parts) == getattr(total, name)
    has_head = any(key in costs for key in ("head", "final", "tap"))
    assert (parts[-1].kind == "head") == has_head


def test_resnet50_by_hand() -> None:
    """The stem's 7×7 over 3 channels and its norm; the classifier; 16 blocks."""
    parts = stage_costs(otoyol.parse("resnet50"))
    assert [part.blocks for part in parts] == [0, 3, 4, 6, 3, 0]
    assert parts[0].params == 7 * 7 * 3 * 64 + 2 * 64
    assert parts[0].macs == 7 * 7 * 3 * 64 * 112 * 112
    assert parts[-1].params == 2048 * 1000 + 1000
    assert parts[-1].output == (1000, 1, 1)


def test_a_batch_that_cannot_be_is_refused() -> None:
    with pytest.raises(otoyol.SpecError, match="batch"):
        stage_costs(otoyol.parse("resnet18"), batch=0)
