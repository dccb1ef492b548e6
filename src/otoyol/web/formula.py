"""What one operator costs, as a formula with its numbers.

The formulas of :mod:`otoyol.cost.formulas` run with symbols, which gives a polynomial; the same polynomial is then
printed with letters and with numbers. So the page can show nothing but what is computed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from otoyol.cost import formulas
from otoyol.cost.symbols import Symbol, symbol
from otoyol.draw.labels import op_detail, op_name
from otoyol.ops.op import Op

# In the order in which factors are written. What is 1 or stands in no formula is left out.
LETTERS = {
    "kernel": "k", "c_in": "Cᵢₙ", "groups": "g", "c_out": "Cₒᵤₜ", "h_in": "Hᵢₙ", "w_in": "Wᵢₙ", "h_out": "Hₒᵤₜ",
    "w_out": "Wₒᵤₜ",
}  # fmt: skip
POWERS = {1: "", 2: "²", 3: "³"}


class Line(NamedTuple):
    """``quantity`` = ``letters`` = ``numbers`` = ``value``, for one image."""

    quantity: str
    letters: str
    numbers: str
    value: int


class OpCost(NamedTuple):
    """An operator's shapes, its letters' values, and a line a quantity that it has any of."""

    name: str
    what: str
    slot: str
    shape_in: tuple[int, int, int]
    shape_out: tuple[int, int, int]
    where: dict[str, int]
    lines: tuple[Line, ...]


def op_cost(op: Op, lang: str) -> OpCost:
    """One operator of ``lower(spec)`` for one image: parameters, buffers, MACs, FLOPs and output activations."""
    traced = _traced(op)
    quantities = {
        "params": formulas.params, "buffers": formulas.buffers, "macs": formulas.macs,
        "forward_flops": lambda o: formulas.flops(o)[0], "backward_flops": lambda o: formulas.flops(o)[1],
        "elements_out": formulas.elements_out,
    }  # fmt: skip
    lines = []
    for name, formula in quantities.items():
        value = formula(op)
        if value:
            lines.append(Line(name, *_written(symbol(formula(traced)), op), value))
    used = "".join(line.letters for line in lines)
    where = {letter: getattr(op, field) for field, letter in LETTERS.items() if letter in used}
    words = " · ".join(filter(None, (op_name(op, lang), op_detail(op, lang))))
    return OpCost(
        op.name, words, op.slot, (op.c_in, op.h_in, op.w_in), (op.c_out, op.h_out, op.w_out), where, tuple(lines)
    )


def _traced(op: Op) -> Op:
    """The operator with symbols for its numbers; those that are 1 and usually are stay numbers."""
    plain = {"kernel", "groups"}
    fields: dict[str, Any] = {
        name: Symbol.named(name) for name in LETTERS if name not in plain or getattr(op, name) > 1
    }
    if op.h_out == op.w_out == 1:  # a vector
        del fields["h_out"], fields["w_out"]
    if op.h_in == op.w_in == 1:
        del fields["h_in"], fields["w_in"]
    return op._replace(**fields)


def _written(polynomial: Symbol, op: Op) -> tuple[str, str]:
    """The polynomial in letters and in numbers, its largest terms first."""
    letters, numbers = [], []
    for monomial, coefficient in sorted(polynomial.terms.items(), key=lambda term: -len(term[0])):
        words, figures = [], []
        if coefficient != 1 or not monomial:
            words.append(str(coefficient))
            figures.append(str(coefficient))
        for atom in sorted(set(monomial), key=_order):
            power = POWERS[monomial.count(atom)]
            words.append(_letters(atom) + power)
            figures.append(_figures(atom, op) + power)
        letters.append(" · ".join(words))
        numbers.append(" · ".join(figures))
    return " + ".join(letters), " + ".join(numbers)


QUOTIENT = "(c_in) // (groups)"  # the only atom of these formulas that is no plain number


def _order(atom: str) -> int:
    return list(LETTERS).index("c_in" if atom == QUOTIENT else atom)


def _letters(atom: str) -> str:
    return f"({LETTERS['c_in']} / {LETTERS['groups']})" if atom == QUOTIENT else LETTERS[atom]


def _figures(atom: str, op: Op) -> str:
    return f"({op.c_in} / {op.groups})" if atom == QUOTIENT else str(getattr(op, atom))


__all__ = ["LETTERS", "Line", "OpCost", "op_cost"]
