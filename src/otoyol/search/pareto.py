"""The Pareto front of a stream, in bounded memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def non_dominated(values: Values) -> NDArray[np.bool_]:
    """Which rows no other row dominates; every column is to be minimised. Of equal rows all are kept.

    A row dominates another where it is nowhere larger and somewhere smaller. values: (N, objectives).
    """
    order, group = _sorted(values)
    distinct = values[order[np.diff(group, prepend=-1) > 0]]
    keep = np.ones(len(distinct), dtype=bool)
    if values.shape[1] <= 2:  # one pass: the second must fall below all before; a lone objective's least comes first
        last = distinct[:, -1]
        keep[1:] = last[1:] < np.minimum.accumulate(last)[:-1]
    else:
        for i in range(len(distinct)):  # sorted: only earlier rows can dominate later ones
            if keep[i]:
                keep[i + 1 :] &= ~(distinct[i + 1 :] >= distinct[i]).all(axis=1)
    result = np.zeros(len(values), dtype=bool)
    result[order] = keep[group]
    return result


def _sorted(values: Values) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows' order, those that came first first among equals, and which distinct row each then is, from 0."""
    order = np.lexsort(values.T[::-1])
    ordered = values[order]
    new = np.r_[False, (ordered[1:] != ordered[:-1]).any(axis=1)][: len(values)]
    return order, np.cumsum(new)


class Front:
    """The non-dominated rows seen so far, each with its payload row; at most ``capacity`` of them.

    Rows of equal values are all kept, a row that is seen again once: which rows are kept does not depend on their
    order, nor on how they are cut into chunks. Beyond capacity this ends and ``thinned`` says so: rows whose values
    another has as well go first (the least payload stays), then the most crowded (Deb et al. 2002, crowding distance;
    the extremes stay). What is kept then is still mutually non-dominated, but no longer every such row seen, and rows
    that were let go can dominate some that came after them.
    """

    def __init__(self, objectives: int, payload: int, capacity: int = 1024) -> None:
        self.values: Values = np.empty((0, objectives))
        self.payload: NDArray[np.int64] = np.empty((0, payload), dtype=np.int64)
        self.capacity = capacity
        self.thinned = False

    def __len__(self) -> int:
        return len(self.values)

    def add(self, values: Values, payload: NDArray[np.int64]) -> None:
        """Offer rows. values: (N, objectives), to be minimised; payload: (N, columns)."""
        alive = np.flatnonzero(~self._dominated(values))
        alive = alive[non_dominated(values[alive])]
        if not len(alive):
            return
        merged = np.concatenate([self.values, values[alive]])
        rows = np.concatenate([self.payload, payload[alive]])
        keep = np.flatnonzero(non_dominated(merged))
        keep = keep[np.unique(rows[keep], axis=0, return_index=True)[1]]  # small spaces repeat designs
        if len(keep) > self.capacity:
            self.thinned = True
            keep = np.sort(keep[_spread(merged[keep], self.capacity)])
        self.values, self.payload = merged[keep], rows[keep]

    def _dominated(self, values: Values) -> NDArray[np.bool_]:
        """Rows that a kept row dominates: nowhere smaller than it, and not the same."""
        if not len(self.values):
            return np.zeros(len(values), dtype=bool)
        beaten = self._nowhere_smaller(values)
        maybe = np.flatnonzero(beaten & np.isin(values[:, 0], self.values[:, 0]))
        beaten[maybe] = ~np.isin(_whole(values[maybe]), _whole(self.values))
        return beaten

    def _nowhere_smaller(self, values: Values) -> NDArray[np.bool_]:
        """Rows that some kept row is nowhere larger than."""
        if self.values.shape[1] == 2:
            order = np.lexsort(self.values.T[::-1])
            at = np.searchsorted(self.values[order, 0], values[:, 0], side="right") - 1
            return (at >= 0) & (self.values[order[np.maximum(at, 0)], 1] <= values[:, 1])
        kept = self.values[_spread(self.values, len(self.values))]
        beaten = np.zeros(len(values), dtype=bool)
        for row in kept[:64]:
            beaten |= (values >= row).all(axis=1)
        left = np.flatnonzero(~beaten)
        for row in kept[64:]:
            left = left[~(values[left] >= row).all(axis=1)]
        return ~np.isin(np.arange(len(values)), left) if len(kept) > 64 else beaten


def _whole(values: Values) -> NDArray[np.void]:
    """Rows as single values, to be looked up."""
    return np.ascontiguousarray(values).view(np.dtype((np.void, values.itemsize * values.shape[1])))[:, 0]


def _spread(values: Values, count: int) -> NDArray[np.int64]:
    """Indices of ``count`` rows: the first of each values before copies, then the largest crowding distance."""
    order, group = _sorted(values)
    copy = np.diff(group, prepend=-1) == 0
    distinct = values[order[~copy]]
    distance = np.zeros(len(distinct))
    for column in distinct.T:
        along = np.argsort(column, kind="stable")
        spread = column[along[-1]] - column[along[0]] or 1.0
        distance[along[[0, -1]]] = np.inf
        distance[along[1:-1]] += (column[along[2:]] - column[along[:-2]]) / spread
    return order[np.lexsort((-distance[group], copy))[:count]]
