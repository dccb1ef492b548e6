"""The peak of a training step, by memory mode: forward, backward and optimizer, operator by operator.

A step is played through as torch's autograd runs it (engine order, gradients passed on or added up, saved tensors
dropped once their operator has run), with counters in place of tensors. What an operator needs besides its saved
tensors, its gradients and its weights' gradients (scratch memory inside kernels) is not seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Literal, NamedTuple, get_args

from otoyol.cost import formulas
from otoyol.cost.count import ITEM_BYTES, item_bytes
from otoyol.cost.memory import Held, held, roots
from otoyol.cost.moments import Ledger, Line
from otoyol.errors import SpecError
from otoyol.ops.network import lower
from otoyol.ops.op import INPUT, Op
from otoyol.ops.recompute import INDEX_BYTES, MODES, recomputed, segment_length
from otoyol.spec.model import Spec

Optimizer = Literal["sgd", "momentum", "adamw"]
STATES: dict[str, int] = {"sgd": 0, "momentum": 1, "adamw": 2}  # vectors as long as the weights that it keeps


class Training(NamedTuple):
    """A training step in one memory mode.

    ``peak_bytes``: the most bytes of tensors alive at once, from the second step on: weights, buffers, optimizer state,
    images, what is held for backward, and gradients as they come (they start at None). The loss is left out.
    ``held_bytes``: between forward and backward, as in ``Count.train_bytes``. ``again_macs``: MACs computed again in
    backward; ``again_flops``: FLOPs of all operators computed again, convolutions' included.
    """

    mode: str
    peak_bytes: int
    held_bytes: int
    again_macs: int
    again_flops: int
    work: float  # FLOPs of all operators in a step, over those of a standard step
    batch: int
    dtype: str
    optimizer: str


def training(
    spec: Spec, mode: str = "standard", *, batch: int = 1, dtype: str = "float32", optimizer: str = "momentum",
    watched: bool = False,
) -> Training:  # fmt: skip
    """A training step of ``batch`` images. ``optimizer``: ``sgd`` without state, with ``momentum``, or ``adamw``.

    ``watched``: as a dispatch mode such as torch's MemTracker sees the step. While one watches, autograd adds
    gradients up in new tensors, otherwise in place. Raises SpecError.
    """
    size = item_bytes(batch, dtype)
    play = _checked(spec, mode, dtype, optimizer, watched)
    peak = max(line.at(batch) for line in play.lines) + _states(play, optimizer) * size
    step = play.flops + play.again_flops
    return Training(
        mode, peak, play.held.at(batch), play.again_macs * batch, play.again_flops * batch, step / play.flops,
        batch, dtype, optimizer,
    )  # fmt: skip


def largest_batch(
    spec: Spec, mode: str, available_bytes: int, *, dtype: str = "float32", optimizer: str = "momentum"
) -> int:
    """The most images whose step fits into so many bytes; 0 where none does. Raises SpecError."""
    play = _checked(spec, mode, dtype, optimizer)
    left = available_bytes - _states(play, optimizer) * ITEM_BYTES[dtype]
    return max(0, min((left - line.fixed) // line.per_image for line in play.lines if line.per_image))


class _Play(NamedTuple):
    lines: tuple[Line, ...]
    held: Line
    params: int
    flops: int  # of a standard step, one image
    again_macs: int
    again_flops: int


class _Part(NamedTuple):
    """Operators ``start`` to ``end``; with ``again`` they are run again in backward."""

    start: int
    end: int
    again: bool


def _states(play: _Play, optimizer: str) -> int:
    return STATES[optimizer] * play.params


def _checked(spec: Spec, mode: str, dtype: str, optimizer: str, watched: bool = False) -> _Play:
    if mode not in MODES:
        raise SpecError("mode", mode, ", ".join(MODES))
    if optimizer not in STATES:
        raise SpecError("optimizer", optimizer, ", ".join(get_args(Optimizer)))
    return _play(spec, mode, item_bytes(1, dtype), watched)


@lru_cache(4)
def _ops(spec: Spec) -> list[Op]:
    """What a training step runs; every mode asks for the same."""
    return [op for op in lower(spec).ops if op.slot != "tap"]


class _Structure(NamedTuple):
    """What modes share that differ in segments only. Operators of a training step with their FLOPs (ahead, back);
    ``elements`` of their outputs, and last, where INPUT finds it, of the image; ``fresh``: elements of the weights
    whose gradient an operator's backward is the first to make; ``root``: whose storage each one's output is;
    ``rows``: what each holds for backward, and by ``plain`` autograd;
    ``remade``: the storages that lean training makes again, with their first and last reader in backward."""

    ops: list[Op]
    flops: list[tuple[int, int]]
    elements: list[int]
    fresh: list[int]
    root: list[int]
    rows: list[Held]
    plain: list[Held]
    remade: dict[int, tuple[int, int]]


@lru_cache(4)
def _structure(spec: Spec, lean: bool) -> _Structure:
    ops = _ops(spec)
    norm_groups = spec.norm.groups if spec.norm.kind == "group" else 0
    if not lean:
        rows = held(ops, norm_groups, False, again=(False,) * len(ops))
        image = spec.input.channels * spec.input.height * spec.input.width
        first = {op.name: i for i, op in enumerate(ops)}  # of operators that share weights, backward meets the last
        return _Structure(
            ops, [formulas.flops(op) for op in ops], [*map(formulas.elements_out, ops), image],
            [formulas.params(op) if first[op.name] == i else 0 for i, op in enumerate(ops)],
            roots(ops, training=True), rows, rows, {},
        )  # fmt: skip
    plain = _structure(spec, False)
    again: list[bool] = []
    for start, end in _units(ops):
        again += recomputed(
            [op._replace(inputs=tuple(max(INPUT, t - start) for t in op.inputs)) for op in ops[start:end]]
        )
    rows = held(ops, norm_groups, True, again=again)
    return plain._replace(rows=rows, remade=_remade(ops, rows, plain.rows, again))


def _remade(
    ops: Sequence[Op], rows: Sequence[Held], plain: Sequence[Held], again: Sequence[bool]
) -> dict[int, tuple[int, int]]:
    """Which storages lean training makes again, and between which operators they are alive."""
    remade: dict[int, tuple[int, int]] = {}
    for i, (row, whole) in enumerate(zip(rows, plain, strict=True)):
        if ops[i].kind == "maxpool":  # of its input, only the shape is wanted
            continue
        for storage in whole.storages - row.storages:
            if storage != INPUT and again[storage]:
                first, last = remade.get(storage, (i, i))
                remade[storage] = (max(first, i), min(last, i))
    for storage in sorted(remade, reverse=True):  # an act's source is made, and stays for the act
        source = ops[storage].inputs[0]
        if source in remade and ops[storage].kind == "act":
            first, last = remade[source]
            remade[source] = (max(first, remade[storage][0]), last)
    return remade


@lru_cache(64)
def _play(spec: Spec, mode: str, size: int, watched: bool) -> _Play:
    lean, segments = MODES[mode]
    found = _structure(spec, lean)
    ops, flops = found.ops, found.flops
    parts = list(_parts(ops, segment_length(sum(plan.depth for plan in spec.plan), segments)))
    step = _Step(found, size, parts, not watched)
    step.run()
    again = {i for part in parts if part.again for i in range(part.start, part.end)}
    once_more = again | set(step.remade)
    return _Play(
        step.ledger.highest(), step.held_line, step.params,
        sum(ahead + back for ahead, back in flops),
        sum(formulas.macs(ops[i]) for i in again),
        # What a lean segment makes again while it is run again is made a third time.
        sum(flops[i][0] for i in once_more) + sum(flops[i][0] for i in again & set(step.remade)),
    )  # fmt: skip


def _parts(ops: Sequence[Op], length: int) -> Iterator[_Part]:
    if not length:
        yield _Part(0, len(ops), False)
        return
    position = 0
    for (stage, _), group in groupby(ops, lambda op: (op.stage, op.block // length)):
        start, position = position, position + len(list(group))
        yield _Part(start, position, stage >= 0)


class _Step:
    """One step. Storages are named by the operator that made them, gradients by the operator whose output it was."""

    def __init__(self, found: _Structure, size: int, parts: Sequence[_Part], sums_in_place: bool) -> None:
        self.size, self.parts, self.sums_in_place = size, parts, sums_in_place
        self.ops, self.root, self.rows, self.plain, self.remade = (
            found.ops, found.root, found.rows, found.plain, found.remade
        )  # fmt: skip
        self.ledger = Ledger()
        self.params = sum(found.fresh)
        self.fresh = found.fresh
        self.bytes = [elements * size for elements in found.elements]  # of storages and of gradients
        self.remade_at: dict[int, list[int]] = {}  # by operator, the storages that its backward is the first to read
        self.gone_at: dict[int, list[int]] = {}  # and those that it is the last to read
        for storage, (first, last) in self.remade.items():
            self.remade_at.setdefault(first, []).append(storage)
            self.gone_at.setdefault(last, []).append(storage)
        self.pending: dict[int, tuple[int, int]] = {}  # gradients: by tensor, the storage's number and bytes
        self.owners: dict[int, int] = {}  # how many tensors share a gradient's storage
        self.numbers = 0
        self.held_line = Line(0, 0)

    def run(self) -> None:
        buffers = sum(formulas.buffers(op) for op in self.ops if not op.name.startswith("attention")) * self.size
        self.ledger.add(0, self.params * self.size + buffers)
        self.ledger.add(self.bytes[INPUT], 0)
        base = self.ledger.now
        savers: dict[int, int] = {}  # by storage, the operator whose backward drops it
        for part in self.parts:
            if part.again:
                self._forward(part, kept=False)
                source = self.root[self.ops[part.start].inputs[0]]
                if source != INPUT and source not in savers:
                    self.ledger.add(self.bytes[source], 0)
                savers[source] = part.start
            else:
                self._forward(part, kept=True, savers=savers)
        self.held_line = self.ledger.now.less(base).plus(self.bytes[INPUT], 0)
        self.pending[len(self.ops) - 1] = self._gradient(self.bytes[len(self.ops) - 1])
        for part in reversed(self.parts):
            whole = self.pending[part.end - 1]
            if part.again:
                self._forward(part, kept=True, savers=savers)
                self.owners[whole[0]] += 1  # the outer step holds it until the segment is through
            for i in reversed(range(part.start, part.end)):
                self._backward(i, savers)
            if part.again:
                self._let_go(whole)
        self.ledger.mark()

    def _forward(self, part: _Part, kept: bool, savers: dict[int, int] | None = None) -> None:
        """Run a part; with ``kept`` autograd holds what its operators save."""
        last: dict[int, int] = {}
        for i in range(part.start, part.end):
            last[self.root[i]] = max(i, last.get(self.root[i], 0))
            for source in self.ops[i].inputs:
                last[self.root[source]] = i
        alive: set[int] = set()
        for i in range(part.start, part.end):
            storage = self.root[i]
            held_here = savers is not None and storage in savers and not (part.again and storage >= part.start)
            if storage != INPUT and storage >= part.start and storage not in alive and not held_here:
                self.ledger.add(self.bytes[storage], 0)
                alive.add(storage)
            if kept and savers is not None:
                row = self.rows[i]
                self.ledger.add(row.per_image * self.size + row.index_bytes, row.per_step * self.size)
                for saved in row.storages:
                    if saved not in savers or (part.again and saved >= part.start and saved not in alive):
                        if saved != INPUT and saved not in alive:
                            self.ledger.add(self.bytes[saved], 0)
                        savers[saved] = i
                    savers[saved] = min(savers[saved], i)
            self.ledger.mark()
            for gone in [s for s in alive if last[s] <= i]:
                alive.discard(gone)
                if savers is None or not kept or gone not in savers:
                    self.ledger.add(-self.bytes[gone], 0)
        for gone in alive:
            if savers is None or not kept or gone not in savers:
                self.ledger.add(-self.bytes[gone], 0)

    def _gradient(self, size: int) -> tuple[int, int]:
        self.numbers += 1
        self.owners[self.numbers] = 1
        self.ledger.add(size, 0)
        return self.numbers, size

    def _let_go(self, gradient: tuple[int, int]) -> None:
        self.owners[gradient[0]] -= 1
        if not self.owners[gradient[0]]:
            self.ledger.add(-gradient[1], 0)

    def _backward(self, i: int, savers: dict[int, int]) -> None:
        op = self.ops[i]
        for storage in self.remade_at.get(i, ()):
            self.ledger.add(self.bytes[storage], 0)
        grad = self.pending.pop(i, None)
        if grad is not None:
            made = self._gradients(op, grad)
            self.ledger.add(0, self.fresh[i] * self.size)
            scratch = self._scratch(op, i)
            self.ledger.add(scratch, 0)
            self.ledger.mark()
            self.ledger.add(-scratch, 0)
            self._let_go(grad)
        self._drop(i, savers)
        if grad is not None:
            for source, value in made:
                self._accumulate(source, value)

    def _gradients(self, op: Op, grad: tuple[int, int]) -> list[tuple[int, tuple[int, int]]]:
        """The gradients of the operator's inputs; an addition hands its own on."""
        made = []
        for source in op.inputs:
            if source == INPUT:
                continue
            if op.kind == "add":
                self.owners[grad[0]] += 1
                made.append((source, grad))
            else:
                made.append((source, self._gradient(self.bytes[source])))
        return made

    def _accumulate(self, source: int, value: tuple[int, int]) -> None:
        """Autograd adds to a gradient in place where nobody else has it (and no dispatch mode watches)."""
        old = self.pending.get(source)
        if old is None:
            self.pending[source] = value
            return
        if self.owners[old[0]] > 1 or not self.sums_in_place:
            self.pending[source] = self._gradient(old[1])
            self.ledger.mark()
            self._let_go(old)
        self._let_go(value)

    def _scratch(self, op: Op, i: int) -> int:
        """What an operator makes and drops within its backward."""
        if op.kind == "mul" and op.slot == "attention":  # the gate's gradient before it is summed
            return self.bytes[i]
        if op.kind == "maxpool" and self.rows[i].index_bytes != self.plain[i].index_bytes:
            return self.bytes[op.inputs[0]] + INDEX_BYTES[False] * formulas.elements_out(op)
        return 0

    def _drop(self, i: int, savers: dict[int, int]) -> None:
        row = self.rows[i]
        self.ledger.add(-(row.per_image * self.size + row.index_bytes), -row.per_step * self.size)
        for storage in [*row.storages, self.root[self.ops[i].inputs[0]]]:
            if savers.get(storage) == i:
                del savers[storage]
                if storage != INPUT:
                    self.ledger.add(-self.bytes[storage], 0)
        for storage in self.gone_at.get(i, ()):
            self.ledger.add(-self.bytes[storage], 0)


def _units(ops: Sequence[Op]) -> Iterator[tuple[int, int]]:
    position = 0
    for _, group in groupby(ops, lambda op: (op.stage, op.block)):
        start, position = position, position + len(list(group))
        yield start, position
