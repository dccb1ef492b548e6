"""What an engineer should know about a design before training it: each finding derived from its operators."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import gcd
from typing import Any

from otoyol.audit.highway import BlockAudit, blocks_of
from otoyol.ops import Op, Ops
from otoyol.spec import Spec

NON_NEGATIVE = {"relu", "relu6"}


@dataclass(frozen=True)
class Finding:
    """``code`` names the sentence (``audit.warn.<code>`` in the catalogue), ``facts`` its figures, ``blocks`` the
    blocks concerned as (stage, block), counted from 0."""

    code: str
    facts: dict[str, Any] = field(default_factory=dict)
    blocks: tuple[tuple[int, int], ...] = ()


def warnings(spec: Spec, network: Ops, audits: Sequence[BlockAudit]) -> tuple[Finding, ...]:
    """Every finding, the gravest for the highway first."""
    blocks = [ops for _, ops in blocks_of(network.ops)]
    found: list[Finding] = []
    found += _highway(spec, audits)
    found += _skipped_positions(blocks)
    found += _branch_ends(spec, blocks)
    found += _gridding(blocks)
    found += _tail(spec, network)
    return tuple(found)


def _highway(spec: Spec, audits: Sequence[BlockAudit]) -> Iterator[Finding]:
    def having(what: str) -> tuple[tuple[int, int], ...]:
        return tuple((a.stage, a.block) for a in audits if any(o.what == what for o in a.obstacles))

    for what in ("absent", "gate", "dropout"):
        if at := having(what):
            yield Finding(what, {"blocks": len(at)}, at)
    if at := having("scale"):
        product = 1.0
        for stage, _ in at:
            product *= (spec.stages[stage].shortcut or spec.shortcut).scale
        yield Finding("scale", {"blocks": len(at), "product": product}, at)
    idle = [a for a in audits if not a.changes_shape and any(o.what == "conv" for o in a.obstacles)]
    if idle:
        yield Finding("needless_projection", {"blocks": len(idle)}, tuple((a.stage, a.block) for a in idle))


def _skipped_positions(blocks: list[list[Op]]) -> Iterator[Finding]:
    """Strided operators whose window is smaller than their stride never look at some positions."""
    for slot, code in (("branch", "strided_branch"), ("shortcut", "strided_shortcut")):
        found = [
            op
            for block in blocks
            for op in block
            if op.slot == slot and op.stride > op.kernel and not op.name.endswith(".gate")
        ]
        if found:
            unread = max(1 - (op.kernel / op.stride) ** 2 for op in found)
            yield Finding(code, {"blocks": len(found), "unread": unread}, tuple((op.stage, op.block) for op in found))


def _branch_ends(spec: Spec, blocks: list[list[Op]]) -> Iterator[Finding]:
    """How F ends decides what it can add, and how it starts."""
    ends = [[op for op in block if op.slot == "branch" and op.kind in ("conv", "norm", "act")][-1] for block in blocks]
    rectified = [op for op in ends if op.kind == "act" and op.detail in NON_NEGATIVE]
    if rectified:
        yield Finding("rectified_branch", {"blocks": len(rectified)}, tuple((op.stage, op.block) for op in rectified))
    normed = [op for op in ends if op.kind == "norm"]
    if normed and not spec.zero_init:
        yield Finding("no_zero_init", {"blocks": len(normed)}, tuple((op.stage, op.block) for op in normed))
    if spec.zero_init and not normed:
        yield Finding("idle_zero_init", {"blocks": len(ends)})


def _gridding(blocks: list[list[Op]]) -> Iterator[Finding]:
    """Spatial convolutions in a row whose dilations share a factor d leave d² grids of positions that never meet
    (Yu et al. 2017, 1705.09914, Fig. 4; Wang et al. 2018, 1702.08502, section 3.2)."""
    run: list[Op] = []
    factor = 0
    spatial = [op for block in blocks for op in block if op.slot == "branch" and op.kind == "conv" and op.kernel > 1]
    for op in [*spatial, None]:
        joint = gcd(factor, op.dilation) if op is not None and op.stride == 1 else 1
        if op is not None and joint > 1:
            factor = joint
            run.append(op)
            continue
        if len(run) > 1:
            at = tuple(dict.fromkeys((o.stage, o.block) for o in run))
            yield Finding("gridding", {"convolutions": len(run), "dilation": factor, "grids": factor**2}, at)
        starts = op is not None and op.stride == 1 and op.dilation > 1
        run, factor = ([op], op.dilation) if op is not None and starts else ([], 0)


def _tail(spec: Spec, network: Ops) -> Iterator[Finding]:
    last = max(i for i, op in enumerate(network.ops) if op.slot in ("join", "post", "branch", "final"))
    op = network.ops[last]
    if op.kind != "act":
        yield Finding("unactivated_end", {"op": op.name, "kind": op.kind})
    tap = network.taps[-1]
    side = min(spec.input.height, spec.input.width)
    if tap.receptive_field < side:
        yield Finding("small_view", {"receptive_field": tap.receptive_field, "side": side, "tap": tap.name})
