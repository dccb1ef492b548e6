"""What a network of any depth shows at the price of two blocks a stage: blocks behind the second repeat it."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from otoyol.errors import SpecError
from otoyol.ops.block import lower_block, strided
from otoyol.ops.network import block_groups, lower_and_view
from otoyol.ops.op import Op, Ops
from otoyol.ops.receptive import View
from otoyol.spec.model import Spec


class TapView(NamedTuple):
    """A tap as in :class:`otoyol.ops.Tap`, but for the operator's index."""

    name: str
    channels: int
    height: int
    width: int
    stride: int
    receptive_field: int
    offset: int


def lower_one(spec: Spec, stage: int, block: int) -> list[Op]:
    """One block's operators as ``lower(spec)`` names them, inputs counted within the block (INPUT is its x).

    Raises SpecError where the design has no such block.
    """
    depths = [plan.depth for plan in spec.plan]
    if not 0 <= stage < len(depths):
        raise SpecError("stage", stage, f"0 to {len(depths) - 1}")
    if not 0 <= block < depths[stage]:
        raise SpecError("block", block, f"0 to {depths[stage] - 1} in stage {stage}")
    h, w = spec.input.height, spec.input.width
    strides = [*spec.stem.strides, *([] if spec.stem.pool == "none" else [2])]
    for stride in [*strides, *(plan.stride for plan in spec.plan[:stage])]:
        h, w = strided(h, stride), strided(w, stride)
    group = list(block_groups(spec, spec.plan[stage], stage, h, w))[min(block, 1)]
    return lower_block(spec.plan[stage].form, group.place, group.sizes, f"stages.{stage}.{block}.", stage, block)


def shallow(spec: Spec) -> Ops:
    """The network with at most two blocks a stage."""
    return _shallow(spec)[0]


@lru_cache(maxsize=8)
def _shallow(spec: Spec) -> tuple[Ops, list[View]]:
    stages = tuple(stage.model_copy(update={"depth": min(2, stage.depth)}) for stage in spec.stages)
    return lower_and_view(spec.model_copy(update={"stages": stages}))


def tap_views(spec: Spec) -> tuple[TapView, ...]:
    """The taps of ``lower(spec)``. Every block behind the second widens a view by what the second added: it has the
    same operators at stride 1."""
    network, views = _shallow(spec)
    ends = {(op.stage, op.block): i for i, op in enumerate(network.ops)}
    size = start = 0  # what the blocks left out of the stages so far would have added
    found = []
    for index, tap in enumerate(network.taps):
        if index:  # C1 is the stem's
            more = spec.stages[index - 1].depth - 2
            if more > 0:
                first, second = (views[ends[index - 1, block]] for block in (0, 1))
                size += more * (second.size - first.size)
                start += more * (second.start - first.start)
        found.append(
            TapView(tap.name, tap.channels, tap.height, tap.width, tap.stride, tap.receptive_field + size,
                    tap.offset + start)
        )  # fmt: skip
    return tuple(found)
