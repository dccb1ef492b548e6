"""Numbers that remember how they were computed: polynomials with whole coefficients.

Tracing the formulas with symbols instead of integers gives, for every quantity, one polynomial in the block's
channels and sizes, with like terms collected; :mod:`otoyol.cost.source` prints a set of them as a function. What is no
polynomial (a floor division, a comparison) becomes an atom: a factor known by its own source text.
"""

from __future__ import annotations

from math import gcd
from typing import Any

Monomial = tuple[str, ...]  # atoms, sorted; a square is an atom twice


class Symbol:
    """An immutable polynomial: {monomial: coefficient}. ``+ - * // >= ==`` give symbols; atoms are whole and ≥ 0."""

    __slots__ = ("terms",)

    def __init__(self, terms: dict[Monomial, int]) -> None:
        self.terms = terms

    @staticmethod
    def named(name: str) -> Symbol:
        return Symbol({(name,): 1})

    def __add__(self, other: Any) -> Symbol:
        terms = dict(self.terms)
        for monomial, coefficient in symbol(other).terms.items():
            total = terms.get(monomial, 0) + coefficient
            if total:
                terms[monomial] = total
            else:
                terms.pop(monomial, None)
        return Symbol(terms)

    __radd__ = __add__

    def __mul__(self, other: Any) -> Symbol:
        if isinstance(other, int):
            return Symbol({m: c * other for m, c in self.terms.items()} if other else {})
        terms: dict[Monomial, int] = {}
        for m1, c1 in self.terms.items():
            for m2, c2 in symbol(other).terms.items():
                monomial = tuple(sorted(m1 + m2))
                terms[monomial] = terms.get(monomial, 0) + c1 * c2
        return Symbol({m: c for m, c in terms.items() if c})

    __rmul__ = __mul__

    def __sub__(self, other: Any) -> Symbol:
        return self + symbol(other) * -1

    def __rsub__(self, other: Any) -> Symbol:
        return self * -1 + other

    def __floordiv__(self, other: Any) -> Symbol:
        divisor = symbol(other)
        if divisor.terms == {(): 1}:
            return self
        if divisor.terms == self.terms:
            return symbol(1)
        return Symbol.named(f"({self}) // ({divisor})")

    def __rfloordiv__(self, other: Any) -> Symbol:
        return symbol(other) // self

    def __ge__(self, other: Any) -> Symbol:
        return Symbol.named(f"({self}) >= ({symbol(other)})")

    def __eq__(self, other: object) -> Symbol:  # type: ignore[override]
        return Symbol.named(f"({self}) == ({symbol(other)})")

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        return bool(self.terms)

    def __str__(self) -> str:
        """As Python source."""
        if not self.terms:
            return "0"
        parts = []
        for monomial, coefficient in sorted(self.terms.items()):
            factors = [str(coefficient)] if coefficient != 1 or not monomial else []
            parts.append(" * ".join([*factors, *(atom if atom.isidentifier() else f"({atom})" for atom in monomial)]))
        return " + ".join(parts)

    def dominates(self, other: Symbol) -> bool:
        """Whether self ≥ other for all values of the atoms, as far as the coefficients tell."""
        return all(coefficient >= 0 for coefficient in (self - other).terms.values())

    def content(self) -> int:
        """The greatest common divisor of the coefficients."""
        return gcd(*self.terms.values())


def symbol(value: Any) -> Symbol:
    """A symbol from a symbol or an integer."""
    return value if isinstance(value, Symbol) else Symbol({(): value} if value else {})
