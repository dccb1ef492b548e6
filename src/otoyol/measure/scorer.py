"""Predicted latency of many designs at once: block by block, each block's time looked up by the widths around it.

Designs that share a structure differ in depths and widths only, so a network's time is the stem's, plus for every stage
its first block's (which depends on two widths) and its others' (on one), plus the tail's. The tables of blocks fill as
widths occur, within a limit of memory (:mod:`otoyol.measure.remembered`). Equal to :meth:`Predictor.predict` design by
design, but for a reorder more or less where channels are no multiples of 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from otoyol.cost.columns import columns
from otoyol.cost.planning import plan_columns
from otoyol.measure.features import NUMBERS, Floats, tail_code
from otoyol.measure.fused import FusedOp, Group, Rules, fuse
from otoyol.measure.predict import Predictor, without_numbers
from otoyol.measure.remembered import LARGEST_TABLE, MOST_BYTES, Remembered
from otoyol.ops import Op, lower
from otoyol.ops.attention import squeezed
from otoyol.ops.block import Sizes, lower_block
from otoyol.ops.network import block_groups, lower_tail
from otoyol.spec import Spec, edit
from otoyol.spec.plan import StagePlan

Ints = NDArray[np.int64]
FIRST, SECOND, LATER, LAST, TAIL = range(5)  # LATER stands for all between the second and the last
ROWS = 65_536  # that are evaluated at a time
MOST_PROGRAMS = 4_096  # of a structure; they are made anew when they are forgotten
MOST_STRUCTURES = 4_096


class Piece(NamedTuple):
    """A fused operator of a block: what it is, and where its numbers are, as indices into the block's operators.
    ``members`` is empty for a reorder, whose tensor is ``tensor`` (-1: the block's input)."""

    op: FusedOp
    members: tuple[int, ...]
    tensor: int


class Key(NamedTuple):
    """What can stand at a place of the network."""

    stage: int
    position: int
    pieces: tuple[Piece, ...]


class Program(NamedTuple):
    """The fused operators of rows that are built alike. ``blocks`` (stages, 5): what stands at each place, by its
    number among the structure's keys; ``seconds`` and the number of ``others``, which depend on neither depths nor
    widths."""

    blocks: Ints
    seconds: float
    others: int


class Known(NamedTuple):
    """A block's seconds by the codes of pairs of widths: of every code where it has a table, otherwise of ``codes``."""

    codes: Ints | None
    seconds: Floats

    def at(self, codes: Ints) -> Ints:
        """Where the seconds of codes are."""
        return codes if self.codes is None else np.searchsorted(self.codes, codes)


class Spot(NamedTuple):
    """Rows with one block at one place: its number, the codes of the widths around it, how many there are of such."""

    number: int
    rows: Ints
    codes: Ints
    times: Ints


class Scorer:
    """Called as ``scorer(structure, depths, widths)`` with integer arrays (N, stages): milliseconds (N,), NaN where a
    design is impossible. What it remembers of blocks takes at most ``most_bytes``, whatever the spaces, in tables of at
    most ``largest_table`` entries; what has no room is evaluated anew each time, with equal results."""

    def __init__(
        self, predictor: Predictor, largest_table: int = LARGEST_TABLE, most_bytes: int = MOST_BYTES
    ) -> None:  # fmt: skip
        self.predictor, self.remembered = predictor, Remembered(largest_table, most_bytes)
        self.of: dict[Spec, _Structure] = {}

    @cached_property
    def identity(self) -> str:
        """Equal for equal tables, so that a saved search is not gone on with by another's figures."""
        return blake2b(self.predictor.table.dumps().encode(), digest_size=8).hexdigest()

    def __call__(self, structure: Spec, depths: Ints, widths: Ints) -> Floats:
        if structure not in self.of:
            if len(self.of) >= MOST_STRUCTURES:
                del self.of[next(iter(self.of))]
            self.of[structure] = _Structure(self.predictor, structure, self.remembered)
        return self.of[structure](depths, widths) * 1e3

    @property
    def table_bytes(self) -> int:
        """What the tables of all structures take."""
        return self.remembered.bytes


class _Structure:
    def __init__(self, predictor: Predictor, spec: Spec, remembered: Remembered) -> None:
        self.predictor, self.spec, self.remembered = predictor, spec, remembered
        self.programs: dict[int, Program] = {}
        self.keys: list[Key] = []  # by their numbers: a key is long, and few differ
        self.numbers: dict[Key, int] = {}

    def __call__(self, depths: Ints, widths: Ints) -> Floats:
        cells = columns(self.spec, {"depths": depths, "widths": widths})
        plans, possible = plan_columns(self.spec, cells)
        result = np.full(len(depths), np.nan)
        rows = np.flatnonzero(np.broadcast_to(possible, len(depths)))
        if len(rows):
            signs = self._signatures(plans, depths, len(depths))[rows]
            result[rows] = self._score(signs, depths[rows], widths[rows])
        return result

    def _score(self, signs: Ints, depths: Ints, widths: Ints) -> Floats:
        """Seconds of possible rows, whose signatures are ``signs``."""
        distinct, first, which = np.unique(signs, return_index=True, return_inverse=True)
        new = sum(sign not in self.programs for sign in distinct.tolist())
        if new and len(self.programs) + new > MOST_PROGRAMS:
            self._forget()
        programs = [self._program(sign, depths[i], widths[i]) for sign, i in zip(distinct.tolist(), first, strict=True)]
        total = np.array([program.seconds for program in programs])[which]
        count = np.array([program.others for program in programs], dtype=np.float64)[which]
        spots = list(self._spots(np.stack([program.blocks for program in programs]), which, depths, widths))
        known = self._fill(spots)
        for number, rows, codes, times in spots:
            block = known[number]
            total[rows] += block.seconds[block.at(codes)] * times
            count[rows] += len(self.keys[number].pieces) * times
        return self.predictor.overhead(total, count)

    def _spots(self, blocks: Ints, which: Ints, depths: Ints, widths: Ints) -> Iterator[Spot]:
        """blocks: (programs, stages, 5); which: (N,), each row's program."""
        ids = [self.remembered.number(column) for column in widths.T]
        side, once, nothing = self.remembered.side, np.ones(len(widths), dtype=np.int64), np.zeros_like(ids[0])
        for stage, own in enumerate(ids):
            depth = depths[:, stage]
            later = ((SECOND, depth > 2), (LATER, np.maximum(depth - 3, 0)), (LAST, depth > 1))
            tail = ((TAIL, once),) if stage == len(ids) - 1 else ()
            for position, times in ((FIRST, once), *later, *tail):
                codes = (ids[stage - 1] if stage and position == FIRST else nothing) * side + own
                numbers = np.where(times > 0, blocks[:, stage, position][which], -1)
                for number in np.flatnonzero(np.bincount(numbers + 1)[1:]).tolist():
                    rows = np.flatnonzero(numbers == number)
                    yield Spot(number, rows, codes[rows], times[rows].astype(np.int64))

    def _signatures(self, plans: Sequence[StagePlan], depths: Ints, size: int) -> Ints:
        """Rows of one number have the same operators, fused and laid out alike."""
        bits: list[Any] = []
        rules = self.predictor.rules
        block = rules.blocked
        for stage, plan in enumerate(plans):
            if plan.stride == 1:  # otherwise the shape changes in any case
                bits.append(np.asarray(plan.c_in != plan.out))
            if merges_across(rules):
                bits.append(depths[:, stage] > 1)
            if not block:
                continue
            for channels in (plan.mid, plan.mid_rest, plan.out):
                bits += [channels < block, channels % 4 == 0, channels % block == 0]
            if plan.form.attention in ("se", "cbam"):
                for channels in (plan.c_in, plan.mid, plan.mid_rest, plan.out):
                    inside = squeezed(channels, plan.form.reduction, plan.form.divisor)
                    bits.append((inside < block) | (inside % 4 == 0))
            for groups, through in (
                (plan.groups, (plan.c_in, plan.mid)),
                (plan.groups_rest, (plan.out, plan.mid_rest)),
            ):
                if not isinstance(groups, int) or groups > 1:
                    bits += [(groups == c) | (c // groups % block == 0) for c in (*through, plan.out)]
        if not bits or size == 0:
            return np.zeros(size, dtype=np.int64)
        # Bits are hashed, so that the number means the same in every chunk, whatever varies in it.
        weights = np.random.default_rng(0).integers(1, 1 << 62, len(bits))
        codes = np.zeros(size, dtype=np.int64)
        for bit, weight in zip(bits, weights, strict=True):
            codes += np.where(bit, weight, 0)  # wraps around, which is as good
        return codes

    def _program(self, sign: int, depths: Ints, widths: Ints) -> Program:
        if sign not in self.programs:
            self.programs[sign] = self._prepare(depths, widths)
        return self.programs[sign]

    def _forget(self) -> None:
        """Programs, and where they have left too many blocks behind, these too."""
        self.programs.clear()
        if len(self.keys) > MOST_PROGRAMS:
            self.keys.clear()
            self.numbers.clear()
            self.remembered.forget(self)

    def _number(self, key: Key) -> int:
        if key not in self.numbers:
            self.numbers[key] = len(self.keys)
            self.keys.append(key)
        return self.numbers[key]

    def _fill(self, spots: Sequence[Spot]) -> dict[int, Known]:
        """What all spots need, evaluated at once where tables lack it: few questions to each law, not one for each
        block."""
        known: dict[int, Known] = {}
        met: dict[int, list[Ints]] = {}
        for number, _, codes, _ in spots:
            if number not in met:
                key = self.keys[number]
                pairs = key.position == FIRST and key.stage > 0
                met[number], table = [], self.remembered.table(self, number, pairs)
                if table is not None:
                    known[number] = Known(None, table.reshape(-1))
            met[number].append(codes[np.isnan(known[number].seconds[codes])] if number in known else codes)
        lacking = {number: np.unique(np.concatenate(parts)) for number, parts in met.items()}
        known |= {n: Known(codes, np.zeros(len(codes))) for n, codes in lacking.items() if n not in known}
        for number, rows, seconds in self._evaluated(lacking):
            codes = lacking[number][rows]
            known[number].seconds[known[number].at(codes)] = seconds
        return known

    def _evaluated(self, lacking: dict[int, Ints]) -> Iterator[tuple[int, slice, Floats]]:
        """Seconds of blocks for the codes of pairs of widths, about ``ROWS`` codes at a time."""
        batch: list[tuple[int, slice]] = []
        size = 0
        for number, codes in lacking.items():
            for start in range(0, len(codes), ROWS):
                batch.append((number, slice(start, start + ROWS)))
                size += len(codes[batch[-1][1]])
                if size >= ROWS:
                    yield from self._told(batch, lacking)
                    batch, size = [], 0
        yield from self._told(batch, lacking)

    def _told(
        self, batch: Sequence[tuple[int, slice]], lacking: dict[int, Ints]
    ) -> Iterator[tuple[int, slice, Floats]]:
        side, asked = self.remembered.side, []
        for number, rows in batch:
            codes = lacking[number][rows]
            asked += self._asked(self.keys[number], codes // side, codes % side)
        told = iter(self.predictor.model.several(asked))
        for number, rows in batch:
            nothing = np.zeros(len(lacking[number][rows]))
            yield number, rows, sum((next(told) for _ in self.keys[number].pieces), nothing)

    def _asked(self, key: Key, before: Ints, ids: Ints) -> list[tuple[FusedOp, dict[str, NDArray[Any]]]]:
        """A block's operators with columns for their numbers, for pairs of widths, given by their numbers."""
        stage, position, pieces = key
        by_number = self.remembered.widths
        widths = np.tile(np.array([s.width for s in self.spec.stages], dtype=np.int64), (len(ids), 1))
        widths[:, stage] = by_number[ids]
        if stage and position == FIRST:
            widths[:, stage - 1] = by_number[before]
        ops, x = self._lowered(stage, position, widths)
        return [(piece.op, self._piece(piece, ops, x, len(ids))) for piece in pieces]

    def _piece(
        self, piece: Piece, ops: Sequence[Op], x: tuple[Any, Any, Any], size: int
    ) -> dict[str, NDArray[Any]]:  # fmt: skip
        if not piece.members:
            shape = x if piece.tensor < 0 else _output(ops[piece.tensor])
            numbers: tuple[Any, ...] = (*shape, *shape, 1, 1, 1, 1)
        else:
            first, last = ops[piece.members[0]], ops[piece.members[-1]]
            numbers = (first.c_in, first.h_in, first.w_in, last.c_out, last.h_out, last.w_out,
                       first.kernel, first.stride, first.dilation, first.groups)  # fmt: skip
        named = {
            name: np.broadcast_to(np.asarray(value, dtype=np.int64), size)
            for name, value in zip(NUMBERS, numbers, strict=True)
        }
        named["tail"] = np.full(size, tail_code(piece.op.tail), dtype=np.int64)
        return named

    def _lowered(self, stage: int, position: int, widths: Ints) -> tuple[list[Op], tuple[Any, Any, Any]]:
        """A block's operators with columns for numbers, and the shape of what enters it."""
        cells = columns(self.spec, {"widths": widths})
        plans, _ = plan_columns(self.spec, cells)
        plan = plans[stage]
        maps = self._maps()
        if position == TAIL:
            h, w = maps[stage + 1]
            return lower_tail(self.spec, plan.out, h, w), (plan.out, h, w)
        h, w = maps[stage + (position != FIRST)]
        base = self.spec.plan[stage]._replace(depth=3, c_in=-1, out=-2)  # shapes change; places do not depend on sizes
        group = list(block_groups(self.spec, base, stage, *maps[stage]))[position != FIRST]
        place = group.place
        if position == FIRST:
            changes = np.asarray(plan.c_in != plan.out)
            place = place._replace(projected=bool(plan.stride != 1 or changes.all()))
            c_in, mid, groups, dilation, stride = plan.c_in, plan.mid, plan.groups, plan.first_dilation, plan.stride
        else:
            c_in, mid, groups, dilation, stride = plan.out, plan.mid_rest, plan.groups_rest, plan.dilation, 1
        sizes = Sizes(c_in, mid, plan.out, h, w, stride, dilation, plan.dilation, groups)
        return lower_block(plan.form, place, sizes), (c_in, h, w)

    def _maps(self) -> list[tuple[int, int]]:
        """Height and width of what enters each stage, and of what leaves the last."""
        from otoyol.ops.block import strided
        from otoyol.ops.network import lower_stem

        last = lower_stem(self.spec)[-1]
        maps = [(last.h_out, last.w_out)]
        for plan in self.spec.plan:
            h, w = maps[-1]
            maps.append((strided(h, plan.stride), strided(w, plan.stride)))
        return maps

    def _prepare(self, depths: Ints, widths: Ints) -> Program:
        """The program of all rows of one signature, from one of them, four blocks deep where it is deeper than one."""
        alone = merges_across(self.predictor.rules)
        deep = "-".join("1" if alone and depth == 1 else "4" for depth in depths.tolist())
        spec = edit(self.spec, {"depths": deep, "widths": "-".join(map(str, widths.tolist()))})
        ops = lower(spec).ops
        groups = fuse(ops, self.predictor.rules)
        programs: dict[tuple[int, int], list[Piece]] = {}
        start: dict[tuple[int, int], int] = {}
        for i, op in enumerate(ops):
            start.setdefault((op.stage, op.block), i) if op.stage >= 0 else None
        tail_start = next((i for i, op in enumerate(ops) if op.slot in ("final", "head")), len(ops))
        fixed: list[FusedOp] = []
        for place, group in _placed(groups, ops):
            if place is None:
                fixed.append(group.op)
                continue
            base = tail_start if place[1] == TAIL else start[place]
            reorder = group.op.kind.startswith("reorder")
            # An activation of the next block may be merged into this one's sum: it changes no shape.
            here = (ops[group.members[0]].stage, ops[group.members[0]].block)
            relative = tuple(i - base for i in group.members if reorder or (ops[i].stage, ops[i].block) == here)
            piece = Piece(
                without_numbers(group.op), () if reorder else relative, max(relative[-1], -1) if reorder else 0
            )
            programs.setdefault(place, []).append(piece)
        seconds = float(self.predictor.model(fixed).sum()) if fixed else 0.0
        blocks = [
            [
                self._number(Key(stage, position, tuple(programs.get((stage, position), ()))))
                for position in range(TAIL + 1)
            ]
            for stage in range(len(self.spec.stages))
        ]
        return Program(np.array(blocks), seconds, len(fixed))


def merges_across(rules: Rules) -> bool:
    """Whether what a block is fused to can depend on its neighbours, so that a stage of one block stands for itself."""
    return bool(rules.blocked) or rules.pointwise


def _output(op: Op) -> tuple[Any, Any, Any]:
    return op.c_out, op.h_out, op.w_out


def _placed(groups: Sequence[Group], ops: Sequence[Op]) -> list[tuple[tuple[int, int] | None, Group]]:
    """Every group with its (stage, block), (last stage, TAIL), or None in the stem. A reorder belongs to what follows
    it, at the very end to what precedes it."""
    placed: list[tuple[tuple[int, int] | None, Group]] = []
    stages = max(op.stage for op in ops) + 1
    place: tuple[int, int] | None = (stages - 1, TAIL)
    for group in reversed(groups):
        if not group.op.kind.startswith("reorder"):
            op = ops[group.members[0]]
            if op.stage >= 0:
                place = (op.stage, op.block)
            else:
                place = (stages - 1, TAIL) if op.slot in ("final", "head") else None
        placed.append((place, group))
    return placed[::-1]
