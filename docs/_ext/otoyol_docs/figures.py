"""What a figure in a sentence may be computed from. Specs are given in their text form."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import otoyol
from otoyol.cost import formulas
from otoyol.ops import Op, Ops, Tap
from otoyol_docs.published import published


@cache
def count(text: str, **choices: Any) -> Any:
    """The whole cost of a design (:func:`otoyol.cost.count`)."""
    return otoyol.cost.count(otoyol.parse(text), **choices)


@cache
def lower(text: str) -> Ops:
    return otoyol.lower(otoyol.parse(text))


def ops(text: str, prefix: str = "", kind: str = "") -> list[Op]:
    """The operators whose module path begins with ``prefix``."""
    return [op for op in lower(text).ops if op.name.startswith(prefix) and op.kind.startswith(kind)]


def weights(chosen: Sequence[Op]) -> int:
    """Weights of the convolutions and linear layers among ``chosen``, without biases."""
    return sum(map(formulas.weights, chosen))


def macs(chosen: Sequence[Op]) -> int:
    """Multiply-accumulates of the convolutions and linear layers among ``chosen``, for one image."""
    return sum(map(formulas.macs, chosen))


def tap(text: str, name: str) -> Tap:
    """A feature map, C1 to C5."""
    return next(tap for tap in lower(text).taps if tap.name == name)


@cache
def highway(text: str) -> Any:
    return otoyol.audit.highway(otoyol.parse(text))


_NAMES = {
    "count": count, "highway": highway, "len": len, "lower": lower, "macs": macs, "ops": ops, "otoyol": otoyol,
    "published": published, "round": round, "sum": sum, "tap": tap, "weights": weights,
}  # fmt: skip


def value(expression: str) -> Any:
    """The value of a Python expression over the functions of this module."""
    return eval(expression, {"__builtins__": {}}, dict(_NAMES))
