"""What several verbs say about one design, as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otoyol.ops import lower

if TYPE_CHECKING:
    from otoyol.ops import Op
    from otoyol.spec import Spec


def stage_facts(spec: Spec) -> list[dict[str, Any]]:
    """One row a stage: its block, numbers and output shape."""
    from otoyol.spec import block_text

    last: dict[int, Op] = {op.stage: op for op in lower(spec).ops}
    return [
        {
            "stage": index + 1,
            "block": block_text(stage.block or spec.block),
            "depth": plan.depth,
            "channels_in": plan.c_in,
            "inner_width": plan.mid_rest if plan.depth > 1 else plan.mid,
            "channels": plan.out,
            "stride": plan.stride,
            "dilation": plan.dilation,
            "groups": plan.groups,
            "output": [last[index].c_out, last[index].h_out, last[index].w_out],
        }
        for index, (stage, plan) in enumerate(zip(spec.stages, spec.plan, strict=True))
    ]


def tap_facts(spec: Spec) -> list[dict[str, Any]]:
    """One row a tap: name, channels, size, stride, receptive field and its offset, in input pixels."""
    return [{key: value for key, value in tap._asdict().items() if key != "op"} for tap in lower(spec).taps]
