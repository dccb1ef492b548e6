"""One interpreter of all presets over ``lower(spec).ops``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from otoyol.cost.conventions.presets import CONVENTIONS, PLAIN, WRITINGS, Convention, Sight, Term, Writing
from otoyol.cost.conventions.quantities import GROUP, QUANTITIES, QUANTITY_WORDS, Words, in_words
from otoyol.errors import SpecError
from otoyol.ops import Op, lower
from otoyol.spec import Spec

Hidden = dict[Sight, set[str]]  # by way of seeing: names of norms that it misses


class Figures(NamedTuple):
    """What a tool reports of a design: ``operations`` in ``unit``, and None for what it does not report."""

    operations: int
    unit: str
    params: int | None
    activations: int | None


class Part(NamedTuple):
    """A part of the difference to plain conv and fc MACs: ``amount`` = ``times`` × ``elements`` of ``quantity``."""

    cause: str  # a key of CAUSES
    amount: int
    times: int
    quantity: str  # a key of QUANTITIES
    elements: int


class Row(NamedTuple):
    """One line of the difference table; ``difference`` is the sum of the parts' amounts."""

    convention: Convention
    written: Writing
    operations: int
    difference: int
    parts: tuple[Part, ...]
    params: int | None
    activations: int | None


CAUSES: Final[dict[str, Words]] = {
    "doubling": {"en": "two FLOPs a MAC", "tr": "MAC başına iki FLOP"},
    "norm": {"en": "norms", "tr": "normlar"},
    "act": {"en": "activations", "tr": "aktivasyonlar"},
    "pool": {"en": "pools", "tr": "havuzlamalar"},
    "bias": {"en": "biases", "tr": "yanlılıklar"},
}
_CAUSE_OF_KIND = {"norm": "norm", "act": "act", "relu": "act", "maxpool": "pool", "avgpool": "pool", "mean": "pool"}


def count_as(spec: Spec, name: str, *, written: str = "modules") -> int:
    """The integer that the tool prints for ``spec``: one image, forward, evaluation mode, in the convention's unit.

    ``written`` (a key of WRITINGS) says how the module that the tool looks at is written. Raises SpecError for an
    unknown name.
    """
    ops = lower(spec).ops
    return _total(ops, _convention(name).terms, _hidden(ops, _writing(written)))


def figures_as(spec: Spec, name: str, *, written: str = "modules") -> Figures:
    """All that the tool reports of ``spec``. See :func:`count_as`."""
    ops = lower(spec).ops
    return _figures(ops, _convention(name), _hidden(ops, _writing(written)))


def explain_table(spec: Spec) -> tuple[Row, ...]:
    """Every convention's figure, and of what its difference to the plain conv and fc MACs consists.

    A tool that sees less of a design as timm writes it gets a second row for that.
    """
    ops = lower(spec).ops
    plain = _total(ops, PLAIN, {})
    rows: list[Row] = []
    for convention in CONVENTIONS.values():
        row, timm = (_row(ops, convention, writing, plain) for writing in WRITINGS.values())
        rows += [row] if timm[2:] == row[2:] else [row, timm]
    return tuple(rows)


def part_text(part: Part, lang: str = "en") -> str:
    """A part in words, such as ``norms 44,455,936 (4 × 11,113,984 input elements)``."""
    cause, quantity = in_words(CAUSES[part.cause], lang), in_words(QUANTITY_WORDS[part.quantity], lang)
    amount, elements = (f"{n:,}".replace(",", in_words(GROUP, lang)) for n in (part.amount, part.elements))
    return f"{cause} {amount} ({part.times} × {elements} {quantity})"


def _convention(name: str) -> Convention:
    if name not in CONVENTIONS:
        raise SpecError("convention", name, f"one of {', '.join(CONVENTIONS)}")
    return CONVENTIONS[name]


def _writing(name: str) -> Writing:
    if name not in WRITINGS:
        raise SpecError("written", name, f"one of {', '.join(WRITINGS)}")
    return WRITINGS[name]


def _hidden(ops: tuple[Op, ...], written: Writing) -> Hidden:
    """The names of the norms that are hidden from each way of seeing."""
    preact = any(op.slot == "preact" for op in ops)
    hidden: Hidden = {}
    for hiding in written.hidden_norms:
        if hiding.preact <= preact:
            names = {
                op.name
                for op in ops
                if op.kind == "norm" and _covers(hiding.slots, op.slot) and _covers(hiding.details, op.detail)
            }
            for sight in hiding.sees:
                hidden[sight] = hidden.get(sight, set()) | names
    return hidden


def _covers(allowed: tuple[object, ...], value: object) -> bool:
    return not allowed or value in allowed


def _amounts(ops: Iterable[Op], terms: Iterable[Term], hidden: Hidden) -> Iterator[tuple[Term, Op, int]]:
    """Each term's quantity for each operator that the term covers and the tool sees."""
    by_kind: dict[str, list[Term]] = {}
    for term in terms:
        for kind in term.kinds:
            by_kind.setdefault(kind, []).append(term)
    for op in ops:
        for term in by_kind.get(op.kind, ()):
            covered = _covers(term.slots, op.slot) and _covers(term.details, op.detail)
            if covered and _covers(term.strides, op.stride) and op.name not in hidden.get(term.sees, ()):
                yield term, op, QUANTITIES[term.quantity](op)


def _total(ops: Iterable[Op], terms: Iterable[Term], hidden: Hidden) -> int:
    return sum(term.times * count for term, _, count in _amounts(ops, terms, hidden))


def _figures(ops: tuple[Op, ...], convention: Convention, hidden: Hidden) -> Figures:
    # Operators of the same name are one module that runs twice (CBAM's perceptron): its parameters count once.
    modules = {op.name: op for op in ops}.values()
    params, activations = convention.params, convention.activations
    return Figures(
        _total(ops, convention.terms, hidden),
        convention.unit,
        None if params is None else _total(modules, params, hidden),
        None if activations is None else _total(ops, activations, hidden),
    )


def _row(ops: tuple[Op, ...], convention: Convention, written: Writing, plain: int) -> Row:
    hidden = _hidden(ops, written)
    operations, _, params, activations = _figures(ops, convention, hidden)
    parts = tuple(_parts(ops, convention.terms, hidden))
    return Row(convention, written, operations, operations - plain, parts, params, activations)


def _parts(ops: Iterable[Op], terms: Iterable[Term], hidden: Hidden) -> Iterator[Part]:
    """What the terms count beyond one operation a MAC, the largest part first."""
    counts: dict[tuple[str, int, str], int] = {}
    for term, op, count in _amounts(ops, terms, hidden):
        times = term.times - 1 if term.quantity == "macs" else term.times
        if times and count:
            key = (_cause(term, op), times, term.quantity)
            counts[key] = counts.get(key, 0) + count
    parts = [Part(cause, times * n, times, quantity, n) for (cause, times, quantity), n in counts.items()]
    yield from sorted(parts, key=lambda part: -part.amount)


def _cause(term: Term, op: Op) -> str:
    if term.quantity == "macs":
        return "doubling"
    return "bias" if term.quantity.startswith("bias") else _CAUSE_OF_KIND[op.kind]
