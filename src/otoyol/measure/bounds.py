"""What was measured as bounds of what a law tells, so that the two together never fall where channels grow.

A law never falls, nor does what was measured in truth; but the two differ by some percent, so that a measured operator
could stand above a larger one that is told by the law. Hence nothing is told below a measured operator that is nowhere
larger, or above one that is nowhere smaller. Measured seconds stay as they are, save where two contradict each other
(the larger one took less): those move to the geometric middle, by the smallest factor that makes them agree.

Compared are operators of one sort at one place: equal in all but channels, those of a group and kernel, and alike in
whether channels are multiples of 8, which decides how fast a kernel is more than a few channels do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from otoyol.measure.features import Floats, aligned

Columns = dict[str, NDArray[Any]]
Ints = NDArray[np.int64]
FIXED = ("h_in", "w_in", "h_out", "w_out", "stride", "dilation")
LARGEST_GRID = 1 << 20  # cells; beyond it every other measured operator is left to the law


class Bounds:
    """Those of operators that differ in nothing but numbers."""

    def __init__(self, columns: Columns, seconds: Floats) -> None:
        places, points = hashes(_places(columns)), _points(columns)
        self.grids = {
            place: Grid(points[places == place], seconds[places == place]) for place in np.unique(places).tolist()
        }

    def __call__(self, columns: Columns, told: Floats) -> Floats:
        """``told`` (n,), within the bounds."""
        places, points, found = hashes(_places(columns)), _points(columns), told.copy()
        alike = bool(len(places)) and (places == places[0]).all()
        for place in places[:1].tolist() if alike else np.unique(places).tolist():
            if place in self.grids:
                rows = slice(None) if alike else places == place
                found[rows] = self.grids[place](points[rows], told[rows])
        return found


class Grid:
    """Bounds at one place. points: (m, 4), all different; seconds: (m,)."""

    def __init__(self, points: Ints, seconds: Floats) -> None:
        while np.prod([float(len(np.unique(axis))) for axis in points.T]) > LARGEST_GRID:
            points, seconds = points[::2], seconds[::2]
        self.axes = [np.unique(axis) for axis in points.T]
        at = [np.searchsorted(axis, values) for axis, values in zip(self.axes, points.T, strict=True)]
        low, high = self._envelopes(at, seconds)
        below, above = low[tuple(i + 1 for i in at)], high[tuple(at)]
        agreed = np.where(below == above, seconds, np.sqrt(below * above))
        self.low, self.high = self._envelopes(at, agreed)

    def __call__(self, points: Ints, told: Floats) -> Floats:
        pairs = list(zip(self.axes, points.T, strict=True))
        low = self.low[tuple(np.searchsorted(axis, values, side="right") for axis, values in pairs)]
        high = self.high[tuple(np.searchsorted(axis, values, side="left") for axis, values in pairs)]
        return np.minimum(np.maximum(told, low), high)

    def _envelopes(self, at: Sequence[Ints], seconds: Floats) -> tuple[Floats, Floats]:
        """The most of all that is nowhere larger, with a layer of nothing before the first of each axis, and the least
        of all that is nowhere smaller, with a layer of infinity behind the last."""
        shape = [len(axis) + 1 for axis in self.axes]
        low, high = np.zeros(shape), np.full(shape, np.inf)
        low[tuple(i + 1 for i in at)] = high[tuple(at)] = seconds
        for axis in range(len(shape)):
            low = np.maximum.accumulate(low, axis=axis)
            high = np.flip(np.minimum.accumulate(np.flip(high, axis), axis=axis), axis)
        return low, high


def _places(columns: Columns) -> list[NDArray[Any]]:
    """What must be equal: sizes of maps, and what decides over kernel and law."""
    groups = columns["groups"]
    sort = (groups > 1) + 2 * (groups == columns["c_in"]) + 4 * (columns["kernel"] > 1) + 8 * aligned(columns)
    return [*(columns[name] for name in FIXED), sort]


def _points(columns: Columns) -> Ints:
    """What may grow, (n, 4): of groups the channels that each reads, for more groups of as many channels do less."""
    inside = np.where(columns["groups"] > 1, columns["c_in"] // columns["groups"], 0)
    return np.stack([columns["c_in"], columns["c_out"], inside, columns["kernel"]], axis=1).astype(np.int64)


def hashes(columns: Sequence[NDArray[Any]]) -> NDArray[np.uint64]:
    """One 64-bit number for every row of whole numbers."""
    factors = np.random.default_rng(0).integers(1, 1 << 63, len(columns), dtype=np.uint64) | np.uint64(1)
    codes = np.zeros(len(columns[0]), dtype=np.uint64)
    for values, factor in zip(columns, factors, strict=True):
        codes = (codes ^ values.astype(np.uint64)) * factor  # wraps around, as a hash should
    return codes
