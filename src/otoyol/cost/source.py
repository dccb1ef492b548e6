"""Prints polynomials as one straight-line Python function.

Each polynomial is factored (a greedy multivariate Horner scheme), equal factors are shared, and atoms that always
occur together (height and width) are multiplied once. The same expressions serve integers and numpy arrays; only
maxima are written differently.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import gcd

from otoyol.cost.symbols import Monomial, Symbol


class Printer:
    """A graph of shared operations. Nodes are equal to nodes of the same operation on the same nodes."""

    def __init__(self, arrays: bool) -> None:
        self.arrays = arrays
        self.nodes: list[tuple[str, tuple[int, ...]]] = []
        self._index: dict[tuple[str, tuple[int, ...]], int] = {}
        self._known: dict[frozenset[tuple[Monomial, int]], int] = {}

    def node(self, operation: str, *inputs: int) -> int:
        key = (operation, inputs)
        if key not in self._index:
            self._index[key] = len(self.nodes)
            self.nodes.append(key)
        return self._index[key]

    def polynomial(self, terms: dict[Monomial, int]) -> int:
        """The node of a polynomial."""
        key = frozenset(terms.items())
        if key not in self._known:
            self._known[key] = self._factor(terms)
        return self._known[key]

    def _factor(self, terms: dict[Monomial, int]) -> int:
        if not terms:
            return self.node("0")
        divisor = gcd(*terms.values())
        if divisor > 1:
            inner = {monomial: coefficient // divisor for monomial, coefficient in terms.items()}
            number = self.node(str(divisor))
            return number if inner == {(): 1} else self.node("*", number, self.polynomial(inner))
        counts = Counter(atom for monomial in terms for atom in set(monomial))
        if not counts:
            return self.node(str(terms[()]))
        atom = max(sorted(counts), key=lambda name: counts[name])
        within: dict[Monomial, int] = {}
        without: dict[Monomial, int] = {}
        for monomial, coefficient in terms.items():
            if atom in monomial:
                at = monomial.index(atom)
                within[monomial[:at] + monomial[at + 1 :]] = coefficient
            else:
                without[monomial] = coefficient
        factor = self.node(atom)
        product = factor if within == {(): 1} else self.node("*", self.polynomial(within), factor)
        return self.node("+", product, self.polynomial(without)) if without else product

    def maximum(self, candidates: Sequence[dict[Monomial, int]]) -> int:
        """The node of the largest of several polynomials; what all have in common is multiplied last."""
        monomials = [Counter(monomial) for terms in candidates for monomial in terms]
        common = monomials[0]
        for monomial in monomials:
            common = common & monomial
        stripped = [
            {tuple(sorted((Counter(m) - common).elements())): c for m, c in terms.items()} for terms in candidates
        ]
        best = self.polynomial(stripped[0])
        for terms in stripped[1:]:
            best = self.node("max", best, self.polynomial(terms))
        for atom in sorted(common.elements()):
            best = self.node("*", best, self.node(atom))
        return best

    def lines(self, outputs: Sequence[int]) -> tuple[list[str], list[str]]:
        """(assignments of what is used more than once, one expression an output)."""
        used = Counter(outputs)
        order = sorted(self._reachable(outputs))
        for index in order:
            operation, inputs = self.nodes[index]
            used.update(inputs * 2 if operation == "max" else inputs)  # a maximum is written with its inputs twice
        written: dict[int, str] = {}
        lines: list[str] = []
        for index in order:
            operation, inputs = self.nodes[index]
            text = self._text(operation, [written[i] for i in inputs])
            simple = not inputs and (text.isidentifier() or text.isdigit())
            if not simple and (used[index] > 1 or operation == "max" or not inputs):
                lines.append(f"t{len(lines)} = {text}")
                text = f"t{len(lines) - 1}"
            written[index] = text
        return lines, [written[index] for index in outputs]

    def _text(self, operation: str, inputs: list[str]) -> str:
        if operation == "max":
            a, b = inputs
            return f"maximum({a}, {b})" if self.arrays else f"{a} if {a} > {b} else {b}"
        return f"({inputs[0]} {operation} {inputs[1]})" if inputs else operation

    def _reachable(self, outputs: Sequence[int]) -> set[int]:
        found: set[int] = set()
        stack = list(outputs)
        while stack:
            index = stack.pop()
            if index not in found:
                found.add(index)
                stack += self.nodes[index][1]
        return found


def merged(polynomials: Sequence[Symbol]) -> list[dict[Monomial, int]]:
    """The polynomials with atoms that always occur together written as one product."""
    where: dict[str, list[tuple[int, int]]] = {}
    position = 0
    for polynomial in polynomials:
        for monomial in polynomial.terms:
            for atom, power in Counter(monomial).items():
                where.setdefault(atom, []).append((position, power))
            position += 1
    together: dict[tuple[tuple[int, int], ...], list[str]] = {}
    for atom in sorted(where):
        together.setdefault(tuple(where[atom]), []).append(atom)
    name: dict[str, str] = {}
    for atoms in together.values():
        for i, atom in enumerate(atoms):
            name[atom] = "" if i else " * ".join(a if a.isidentifier() or len(atoms) == 1 else f"({a})" for a in atoms)
    return [
        {tuple(sorted(name[atom] for atom in monomial if name[atom])): c for monomial, c in polynomial.terms.items()}
        for polynomial in polynomials
    ]


def undominated(candidates: Sequence[Symbol]) -> list[Symbol]:
    """The candidates that may be the largest."""
    kept: list[Symbol] = []
    for candidate in candidates:
        if not any(other.dominates(candidate) for other in kept):
            kept = [other for other in kept if not candidate.dominates(other)] + [candidate]
    return kept


def function_source(
    name: str, arguments: Sequence[str], sums: Mapping[int, Symbol], maxima: Sequence[Symbol], arrays: bool
) -> str:
    """Source of ``name(total, *arguments)``, which adds ``sums`` to ``total``, by position, and returns the largest of
    ``maxima`` (0 where there are none)."""
    printer = Printer(arrays)
    wanted = {position: value for position, value in sums.items() if value.terms}
    candidates = undominated(maxima)
    terms = merged([*wanted.values(), *candidates])
    nodes = [printer.polynomial(t) for t in terms[: len(wanted)]]
    if candidates:
        nodes.append(printer.maximum(terms[len(wanted) :]))
    body, expressions = printer.lines(nodes)
    body += [f"total[{position}] += {text}" for position, text in zip(wanted, expressions, strict=False)]
    body.append(f"return {expressions[-1] if candidates else 0}")
    return f"def {name}(total, {', '.join(arguments)}):\n" + "".join(f"    {line}\n" for line in body)
