"""Quantities that grow by a constant with every block of a stage: layers and receptive field.

Both are read off :func:`otoyol.ops.lower`, once with every stage one block deep and once more for each stage two
blocks deep; any depths follow exactly, for one design or an array of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from otoyol.ops import Ops, lower
from otoyol.spec import Spec, edit

Ints = NDArray[np.int64]


class Linear(NamedTuple):
    """value(depths) = base + Σ per_block · (depths - 1)."""

    base: int
    per_block: Ints  # (stages,)

    def __call__(self, depths: Ints) -> Ints:
        """depths: (..., stages) → (...)."""
        return self.base + (np.asarray(depths) - 1) @ self.per_block


def layers(spec: Spec) -> Linear:
    """Layers on the longest way from input to output, see :attr:`otoyol.ops.Ops.layers`."""
    return _linear(spec, lambda lowered: lowered.layers)


def receptive_field(spec: Spec) -> Linear:
    """Receptive field of the last tap along an axis, in input pixels."""
    return _linear(spec, lambda lowered: lowered.taps[-1].receptive_field)


def _linear(spec: Spec, measure: Callable[[Ops], int]) -> Linear:
    stages = len(spec.stages)

    def at(depths: list[int]) -> int:
        return measure(lower(edit(spec, {"depths": "-".join(map(str, depths))})))

    ones = [1] * stages
    base = at(ones)
    steps = [at([2 if i == stage else 1 for i in range(stages)]) - base for stage in range(stages)]
    return Linear(base, np.array(steps, dtype=np.int64))
