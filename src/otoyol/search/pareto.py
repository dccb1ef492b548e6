"""The Pareto front of a stream, in bounded memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def non_dominated(values: Values) -> NDArray[np.bool_]:
    """Which rows no other row dominates; every column is to be minimised. Of equal rows all are kept.

    A row dominates another where it is nowhere larger and somewhere smaller. values: (N, objectives).
    """
    count = len(values)
    if count == 0:
        return np.zeros(0, dtype=bool)
    if values.shape[1] == 1:
        return values[:, 0] == values[:, 0].min()
    order = np.lexsort(values.T[::-1])
    ordered = values[order]
    if values.shape[1] == 2:
        keep = _sweep(ordered)
    else:
        keep = np.ones(count, dtype=bool)
        for i in range(count):  # sorted: only earlier rows can dominate later ones
            if keep[i]:
                later = ordered[i + 1 :]
                beaten = (later >= ordered[i]).all(axis=1) & (later > ordered[i]).any(axis=1)
                keep[i + 1 :] &= ~beaten
    result = np.zeros(count, dtype=bool)
    result[order] = keep
    return result


def _sweep(ordered: Values) -> NDArray[np.bool_]:
    """Two objectives, rows sorted by the first and then the second: one pass over running minima."""
    first, second = ordered[:, 0], ordered[:, 1]
    starts = np.r_[True, first[1:] != first[:-1]]  # of runs with equal first objective
    run = np.cumsum(starts) - 1
    best_of_run = second[starts]  # the smallest, since sorted
    before = np.r_[np.inf, np.minimum.accumulate(best_of_run)[:-1]]
    return (second == best_of_run[run]) & (second < before[run])


class Front:
    """The non-dominated rows seen so far, each with its payload row; at most ``capacity`` of them.

    Beyond capacity the most crowded rows go (Deb et al. 2002, crowding distance; the extremes stay) and
    ``thinned`` says so: what is kept is still mutually non-dominated, but no longer every such row seen.
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
        if not len(alive):
            return
        alive = alive[non_dominated(values[alive])]
        alive = alive[np.sort(np.unique(payload[alive], axis=0, return_index=True)[1])]  # small spaces repeat designs
        merged = np.concatenate([self.values, values[alive]])
        rows = np.concatenate([self.payload, payload[alive]])
        keep = non_dominated(merged)
        self.values, self.payload = merged[keep], rows[keep]
        if len(self.values) > self.capacity:
            self.thinned = True
            chosen = np.sort(_least_crowded(self.values, self.capacity))
            self.values, self.payload = self.values[chosen], self.payload[chosen]

    def _dominated(self, values: Values) -> NDArray[np.bool_]:
        """Rows that a kept row dominates or equals (an equal row adds nothing to a front in bounded memory)."""
        if not len(self.values):
            return np.zeros(len(values), dtype=bool)
        if self.values.shape[1] == 2:
            order = np.argsort(self.values[:, 0])
            best = np.minimum.accumulate(self.values[order, 1])
            at = np.searchsorted(self.values[order, 0], values[:, 0], side="right") - 1
            return (at >= 0) & (best[np.maximum(at, 0)] <= values[:, 1])
        beaten = np.zeros(len(values), dtype=bool)
        for row in self.values[_least_crowded(self.values, 64)] if len(self.values) > 64 else self.values:
            beaten |= (values >= row).all(axis=1)
        left = np.flatnonzero(~beaten)
        for row in self.values if len(self.values) > 64 else ():
            left = left[~(values[left] >= row).all(axis=1)]
        return beaten if len(self.values) <= 64 else ~np.isin(np.arange(len(values)), left)


def _least_crowded(values: Values, count: int) -> NDArray[np.int64]:
    """Indices of the ``count`` rows with the largest crowding distance."""
    distance = np.zeros(len(values))
    for column in values.T:
        order = np.argsort(column, kind="stable")
        spread = column[order[-1]] - column[order[0]] or 1.0
        distance[order[[0, -1]]] = np.inf
        distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / spread
    return np.argsort(-distance, kind="stable")[:count]
