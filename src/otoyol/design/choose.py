"""Which design of a front is taken, as a pure function that can be read and overruled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from otoyol.errors import SpecError
from otoyol.search import Design, Objective


class Choice(NamedTuple):
    """``position`` of the design taken, from 0; ``distances`` of all designs; ``picked`` where the user chose."""

    position: int
    distances: tuple[float, ...]
    picked: bool


def choose(designs: Sequence[Design], objectives: Sequence[Objective], pick: int | None = None) -> Choice:
    """The design nearest to the ideal point, or number ``pick`` of the front, counted from 1.

    Every objective is put on a scale from 0, the worst on the front, to 1, the best, by the logarithm of its figure,
    since costs are compared by ratios. The ideal point is 1 everywhere; no design reaches it where objectives compete.
    The distance is Euclidean (the compromise solution of Yu 1973, Management Science 19, with p = 2); of equals the
    first is taken. Raises SpecError where the front has no number ``pick``.
    """
    figures = np.array([[max(design.values[o.key], 1e-12) for o in objectives] for design in designs])
    better = np.log(figures) * np.array([1.0 if o.maximize else -1.0 for o in objectives])
    low, high = better.min(axis=0), better.max(axis=0)
    scale = (better - low) / np.where(high > low, high - low, 1.0)
    scale[:, high <= low] = 1.0  # all alike: nothing to choose by
    distances = np.sqrt(((1.0 - scale) ** 2).sum(axis=1))
    if pick is not None and not 1 <= pick <= len(designs):
        raise SpecError("pick", pick, f"1 to {len(designs)}, the designs on the front")
    position = pick - 1 if pick is not None else int(np.argmin(np.round(distances, 12)))
    return Choice(position, tuple(float(d) for d in distances), pick is not None)
