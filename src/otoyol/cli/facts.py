"""What several verbs say about one design, as plain data with units in its names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otoyol.cli.inputs import label

if TYPE_CHECKING:
    from otoyol.cost import Count
    from otoyol.ops import Op
    from otoyol.spec import Spec

PLAIN = "paper"  # the convention of convolutions and classifier alone, in MACs


def stage_facts(spec: Spec) -> list[dict[str, Any]]:
    """One row a stage: its block, numbers and output shape."""
    from otoyol.ops import lower
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
    from otoyol.ops import lower

    return [{key: value for key, value in tap._asdict().items() if key != "op"} for tap in lower(spec).taps]


def count_facts(count: Count) -> dict[str, Any]:
    """A count with FLOPs by operator class, without the batch and dtype that it is for."""
    facts = {key: value for key, value in count._asdict().items() if key not in ("batch", "dtype")}
    for direction in ("forward_flops", "backward_flops"):
        facts[direction] = facts[direction]._asdict()
    return {**facts, "flops_per_byte": count.flops_per_byte}


def cost_facts(spec: Spec, convention: str, batch: int = 1, dtype: str = "float32") -> dict[str, Any]:
    """The whole of ``otoyol cost --json``.

    ``macs`` are the convention's: what the tool prints where it prints MACs, half of it where it prints FLOPs.
    """
    from otoyol.cost import by, count
    from otoyol.cost.conventions import figures_as

    parts = by(spec, "stage", batch=batch, dtype=dtype)
    told = figures_as(spec, convention)
    facts = count_facts(count(spec, batch=batch, dtype=dtype))
    facts["macs"] = batch * (told.operations if told.unit == "MACs" else told.operations // 2)
    return {
        "spec": label(spec),
        "family": spec.family,
        "input": [spec.input.channels, spec.input.height, spec.input.width],
        "batch": batch,
        "dtype": dtype,
        "convention": convention,
        "told": told._asdict(),
        **facts,
        "stages": [{**row, **count_facts(parts[f"stages.{row['stage'] - 1}"])} for row in stage_facts(spec)],
        "outside": {name: count_facts(part) for name, part in parts.items() if not name.startswith("stages.")},
    }
