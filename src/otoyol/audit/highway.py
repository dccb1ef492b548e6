"""What stands between a block's input and its output on the identity path.

With nothing there, x_L = x_l + sum of F (He et al. 2016, 1603.05027, Eq. 4) and the gradient reaches every depth
whole (Eq. 5). Both need the shortcut to be the identity *and* nothing after the addition.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from otoyol.ops import INPUT, Op
from otoyol.ops.block import Place, Sizes, lower_block
from otoyol.spec import Shortcut, Spec
from otoyol.spec.plan import Form


@dataclass(frozen=True)
class Obstacle:
    """One thing on the identity path. ``what``: ``conv``, ``norm``, ``act``, ``avgpool``, ``pad``, ``subsample``,
    ``gate``, ``scale``, ``dropout``, or ``absent`` where there is no shortcut at all; ``where``: ``preact`` (what a
    projection reads), ``shortcut`` or ``post`` (after the addition); ``op`` the operator's name."""

    what: str
    where: str
    op: str


@dataclass(frozen=True)
class BlockAudit:
    """One block. ``changes_shape`` by ``stride`` or ``channels`` or both: then no identity is possible."""

    stage: int
    block: int
    obstacles: tuple[Obstacle, ...]
    stride_changes: bool
    channels_change: bool
    c_in: int
    c_out: int

    @property
    def pure(self) -> bool:
        """Whether y = x + F(x) exactly."""
        return not self.obstacles

    @property
    def changes_shape(self) -> bool:
        return self.stride_changes or self.channels_change


@dataclass(frozen=True)
class Run:
    """Consecutive pure blocks: from block ``first`` of the network (counted from 0, stage and block in
    ``first_at``) on, ``length`` of them, ``share`` of all blocks. ``first`` is -1 where there is none."""

    first: int
    length: int
    share: float
    first_at: tuple[int, int]
    last_at: tuple[int, int]


def blocks_of(ops: Sequence[Op]) -> Iterator[tuple[int, list[Op]]]:
    """Each block's operators and the index of the first, in order."""
    start = 0
    while start < len(ops):
        here = (ops[start].stage, ops[start].block)
        end = start
        while end < len(ops) and (ops[end].stage, ops[end].block) == here:
            end += 1
        if here[0] >= 0:
            yield start, list(ops[start:end])
        start = end


def audit_blocks(spec: Spec, ops: Sequence[Op]) -> tuple[BlockAudit, ...]:
    """One :class:`BlockAudit` for every block."""
    return tuple(_audit_block(spec, ops, block, start - 1) for start, block in blocks_of(ops))


def audit_block(spec: Spec, block: list[Op]) -> BlockAudit:
    """One block alone, whose inputs are counted within it (:func:`otoyol.ops.shallow.lower_one`)."""
    return _audit_block(spec, block, block, INPUT)


@lru_cache(1_024)
def is_pure(form: Form, place: Place, shortcut: Shortcut) -> bool:
    """Whether y = x + F(x) exactly in blocks of this form at this place, however wide they are."""
    ops = lower_block(form, place, Sizes(1, 1, 1, 1, 1, 1, 1, 1, 1))
    return not _obstacles(ops, ops, INPUT, shortcut)


def _audit_block(spec: Spec, ops: Sequence[Op], block: list[Op], x: int) -> BlockAudit:
    """``x`` is the operator that the block reads: what the network put out last."""
    stage, index = block[0].stage, block[0].block
    # Strides are read, not sizes: over a map of one pixel a stride keeps the size and still asks for a projection.
    strides = any(op.stride > 1 for op in block if op.slot == "branch")
    c_in, c_out = block[0].c_in, block[-1].c_out  # a block's first operator reads its x
    obstacles = _obstacles(ops, block, x, spec.stages[stage].shortcut or spec.shortcut)
    return BlockAudit(stage, index, tuple(obstacles), strides, c_in != c_out, c_in, c_out)


def _obstacles(ops: Sequence[Op], block: list[Op], x: int, shortcut: Shortcut) -> list[Obstacle]:
    join = next((op for op in block if op.slot == "join"), None)
    found = [Obstacle("absent", "shortcut", "")] if join is None else _on_shortcut(ops, join.inputs[1], x, shortcut)
    return found + [Obstacle(op.kind, "post", op.name) for op in block if op.slot == "post"]


def _on_shortcut(ops: Sequence[Op], at: int, x: int, shortcut: Shortcut) -> list[Obstacle]:
    """Walk back from the addition's second input to the block's x."""
    found: list[Obstacle] = []
    while at != x:
        op = ops[at]
        what = "gate" if op.kind == "mul" else op.kind
        if not _harmless(op, shortcut):
            found.append(Obstacle(what, "preact" if op.slot == "preact" else "shortcut", op.name))
        at = op.inputs[0]
    return found[::-1]


def _harmless(op: Op, shortcut: Shortcut) -> bool:
    """A scale of one or a dropout of rate zero is written down but changes nothing."""
    return (op.kind == "scale" and shortcut.scale == 1.0) or (op.kind == "dropout" and shortcut.dropout == 0.0)


def longest_run(blocks: Sequence[BlockAudit]) -> Run:
    """The first of the longest unbroken runs of pure blocks."""
    best_first, best, first, length = -1, 0, 0, 0
    for index, block in enumerate(blocks):
        if not block.pure:
            length = 0
            continue
        first = index if length == 0 else first
        length += 1
        if length > best:
            best_first, best = first, length
    if not best:
        return Run(-1, 0, 0.0, (-1, -1), (-1, -1))
    ends = blocks[best_first], blocks[best_first + best - 1]
    (a, b) = ((block.stage, block.block) for block in ends)
    return Run(best_first, best, best / len(blocks), a, b)
