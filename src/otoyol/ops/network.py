"""lower(spec): the whole network as a flat list of facts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from otoyol.ops.block import Place, Sizes, Tape, Tensor, lower_block, strided
from otoyol.ops.op import INPUT, Op, Ops, Tap
from otoyol.ops.receptive import View, through
from otoyol.spec.model import Spec
from otoyol.spec.plan import Form, StagePlan


class BlockGroup(NamedTuple):
    """``repeat`` consecutive blocks of one stage that have the same operators and shapes."""

    stage: int
    first: int  # index of the first of them in its stage
    repeat: int
    place: Place
    sizes: Sizes


def places(
    form: Form, projected: bool, strided: bool, dilated: bool, drop: bool, opens: bool, stem_activated: bool
) -> tuple[Place, Place]:
    """The places of a stage's first block and of its other blocks. ``opens``: the stage is the network's first.

    The first block after an activated stem has no preact slot; stochastic depth's linear rule gives the network's
    first block rate 0.
    """
    preact = bool(form.preact)
    first = Place(projected, strided, dilated, preact and not (opens and stem_activated), drop and not opens, True)
    return first, Place(False, False, dilated, preact, drop, False)


def stage_places(spec: Spec, stage: int) -> tuple[Place, Place]:
    """:func:`places` of one of the design's stages."""
    plan = spec.plan[stage]
    return places(
        plan.form, plan.stride != 1 or plan.c_in != plan.out, plan.stride != 1, plan.dilation > 1,
        spec.drop_path > 0, stage == 0, spec.stem.activated,
    )  # fmt: skip


def block_groups(spec: Spec, plan: StagePlan, stage: int, h: int, w: int) -> Iterator[BlockGroup]:
    """The stage's blocks, grouped: the first, then the rest."""
    first, rest = stage_places(spec, stage)
    here = Sizes(plan.c_in, plan.mid, plan.out, h, w, plan.stride, plan.first_dilation, plan.dilation, plan.groups)
    yield BlockGroup(stage, 0, 1, first, here)
    if plan.depth > 1:
        h, w = strided(h, plan.stride), strided(w, plan.stride)
        there = Sizes(plan.out, plan.mid_rest, plan.out, h, w, 1, plan.dilation, plan.dilation, plan.groups_rest)
        yield BlockGroup(stage, 1, plan.depth - 1, rest, there)


def lower_stem(spec: Spec) -> list[Op]:
    """The stem's operators; inputs as in :func:`otoyol.ops.block.lower_block`."""
    tape = Tape("stem.", -1, -1)
    stem, x = spec.stem, Tensor(INPUT, spec.input.channels, spec.input.height, spec.input.width)
    for i, (kernel, width, stride) in enumerate(zip(stem.kernels, stem.widths, stem.strides, strict=True), 1):
        x = tape.conv(f"conv{i}", "stem", x, width, kernel, stride)
        if stem.activated or i < len(stem.kernels):
            x = tape.add(f"norm{i}", "norm", "stem", x, detail=spec.norm.kind)
            x = tape.add(f"act{i}", "act", "stem", x, detail=spec.act)
    if stem.pool == "max":
        tape.add("pool", "maxpool", "stem", x, h=strided(x.h, 2), w=strided(x.w, 2), kernel=3, stride=2)
    return tape.ops


def lower_tail(spec: Spec, c: int, h: int, w: int) -> list[Op]:
    """What follows the last stage: the closing preact of a pre-activation network, pool, classifier."""
    tape = Tape("", -1, -1)
    form = spec.plan[-1].form
    x = tape.pointwise(form.preact, "final", Tensor(INPUT, c, h, w), form)
    if spec.head.pool == "avg":
        x = tape.add("head.pool", "mean", "head", x, h=1, w=1)
        if spec.head.dropout:
            x = tape.add("head.dropout", "dropout", "head", x)
        if spec.head.classes:
            tape.add("head.fc", "linear", "head", x, c=spec.head.classes, bias=True)
    return tape.ops


def stage_activated(plan: StagePlan) -> bool:
    """Whether a stage's output leaves an activation, so that a tap needs nothing more."""
    return bool(plan.form.post) and plan.form.post[-1] == "act"


def tap_needs_norm(spec: Spec, stage: int) -> bool:
    """Whether the tap of a stage has a norm and act of its own (``taps: postact`` on sums that are not activated)."""
    return spec.taps == "postact" and spec.head.pool == "none" and not stage_activated(spec.plan[stage])


def taps_with_norms(spec: Spec) -> list[int]:
    """The stages whose taps have a norm and act of their own; a final norm serves the last one."""
    stages = range(len(spec.stages) - bool(spec.plan[-1].form.preact))
    return [stage for stage in stages if tap_needs_norm(spec, stage)]


def lower(spec: Spec) -> Ops:
    """Every operator of ``spec`` in the order it runs, and the taps C1 (stem), C2 (first stage), C3, …

    Shapes are for one image of ``spec.input``. Repeated blocks are repeated operators.
    """
    ops: list[Op] = list(lower_stem(spec))
    activation = _last(ops, "act", "conv")
    marks: list[tuple[str, int]] = [("C1", activation)]
    for stage, plan in enumerate(spec.plan):
        for group in block_groups(spec, plan, stage, ops[-1].h_out, ops[-1].w_out):
            template = _template(plan.form, group.place, group.sizes)
            for index in range(group.first, group.first + group.repeat):
                start = len(ops)
                prefix = f"stages.{stage}.{index}."
                ops += [
                    Op._make(
                        (
                            prefix + op.name,
                            op.kind,
                            op.slot,
                            stage,
                            index,
                            tuple([start + i if i != INPUT else start - 1 for i in op.inputs]),
                            *op[6:],
                        )
                    )
                    for op in template
                ]  # fmt: skip  (_replace takes three times as long)
        marks.append((f"C{stage + 2}", len(ops) - 1))
    marks = _tap_marks(spec, ops, marks)
    last_stage = ops[-1]
    start = len(ops)
    ops += _moved(lower_tail(spec, last_stage.c_out, last_stage.h_out, last_stage.w_out), start, start - 1)
    if spec.taps != "raw" and spec.plan[-1].form.preact:
        final = [i for i, op in enumerate(ops) if op.slot == "final"]
        marks[-1] = (marks[-1][0], final[-1])
    ops, marks = _tap_norms(spec, ops, marks)
    views = through(ops)
    return Ops(tuple(ops), tuple(_tap(name, index, ops[index], views[index]) for name, index in marks))


@lru_cache(1_024)  # designs that are looked at one after another differ in a stage or two
def _template(form: Form, place: Place, sizes: Sizes) -> tuple[Op, ...]:
    return tuple(lower_block(form, place, sizes))


def _last(ops: list[Op], *kinds: str) -> int:
    for kind in kinds:
        for index in reversed(range(len(ops))):
            if ops[index].kind == kind and (kind != "act" or index > _last(ops, "conv")):
                return index
    return 0


def _moved(template: list[Op], start: int, source: int) -> list[Op]:
    return [op._replace(inputs=tuple(start + i if i != INPUT else source for i in op.inputs)) for op in template]


def _tap_marks(spec: Spec, ops: list[Op], marks: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Move the taps of sums that are not activated behind the next stage's preact slot, as ``taps: preact`` asks."""
    if spec.taps != "preact":
        return marks
    moved = []
    for position, (name, index) in enumerate(marks):
        stage = position  # C1 is followed by stage 0, C2 by stage 1, …
        slot = [i for i, op in enumerate(ops) if op.slot == "preact" and op.stage == stage and op.block == 0]
        moved.append((name, slot[-1] if position > 0 and slot else index))
    return moved


def lower_tap_norm(form: Form, name: str, c: int, h: int, w: int) -> list[Op]:
    """The norm and act that ``taps: postact`` gives the tap ``name`` of a sum without an activation."""
    tape = Tape(f"taps.{name}.", -1, -1)
    x = tape.add("norm1", "norm", "tap", Tensor(INPUT, c, h, w), detail=form.norm)
    tape.add("act1", "act", "tap", x, detail=form.act)
    return tape.ops


def _tap_norms(spec: Spec, ops: list[Op], marks: list[tuple[str, int]]) -> tuple[list[Op], list[tuple[str, int]]]:
    """Append the norm and act that ``taps: postact`` gives each tap without an activation (feature extractors)."""
    result = list(marks)
    for stage in taps_with_norms(spec):
        name, index = marks[stage + 1]
        tapped = ops[index]
        own = lower_tap_norm(spec.plan[stage].form, name, tapped.c_out, tapped.h_out, tapped.w_out)
        ops = ops + _moved(own, len(ops), index)
        result[stage + 1] = (name, len(ops) - 1)
    return ops, result


def _tap(name: str, index: int, op: Op, view: View) -> Tap:
    return Tap(name, index, op.c_out, op.h_out, op.w_out, view.stride, view.size, view.start)


__all__ = ["BlockGroup", "block_groups", "lower", "lower_stem", "lower_tail"]
