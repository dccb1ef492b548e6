"""The law of one class of operators: seconds from shapes, never falling where a size grows.

First a linear law with no negative coefficient in MACs, plain and of whole registers, elements read and written,
weights, groups and a constant, fitted to relative errors. Then boosted trees on what it leaves, held to be monotone.
Only a share of the linear law's growth is taken as given, so that trees which never fall can bend it downwards too, and
the product of the two never falls.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from otoyol.errors import MissingExtraError
from otoyol.measure.features import COLUMNS, MONOTONE, Batch, Floats

try:
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import LinearRegression
    from threadpoolctl import ThreadpoolController
except ModuleNotFoundError as error:
    raise MissingExtraError("scikit-learn", "measure") from error

ENOUGH = 40  # operators from which trees are worth fitting
SHARE = 0.85  # of the linear law's logarithm that the trees leave alone
FLOOR = 1e-7  # seconds; a clock's resolution


@cache
def _pools() -> ThreadpoolController:
    return ThreadpoolController()


def one_thread() -> Any:
    """A context in which scikit-learn keeps to one thread: so few rows are done sooner so, on a busy machine by far."""
    return _pools().limit(limits=1)


class Law:
    """Fitted on operators of one class. ``low`` and ``high`` bound the features that were seen."""

    def __init__(self, batch: Batch, seconds: Floats, weight: Floats | None = None, trees: int = 120) -> None:
        seconds = np.maximum(seconds, FLOOR)
        self.low, self.high = batch.x.min(axis=0), batch.x.max(axis=0)
        self.most = batch.work.max(axis=0)
        self.scale = np.maximum(np.abs(batch.work).max(axis=0), 1e-300)
        line = LinearRegression(positive=True, fit_intercept=False)
        line.fit(batch.work / self.scale / seconds[:, None], np.ones(len(seconds)), sample_weight=weight)
        self.slope = line.coef_ / self.scale
        if not self.slope.any():
            self.slope[-1] = float(np.median(seconds))
        self.trees: HistGradientBoostingRegressor | None = None
        if trees and len(seconds) >= ENOUGH:
            rest = np.log(seconds) - SHARE * np.log(self._line(batch.work))
            self.trees = HistGradientBoostingRegressor(
                max_iter=trees, learning_rate=0.1, max_leaf_nodes=12, min_samples_leaf=5, l2_regularization=0.1,
                monotonic_cst=[1] * MONOTONE + [0] * (len(COLUMNS) - MONOTONE), early_stopping=False, random_state=0,
            )  # fmt: skip
            with one_thread():
                self.trees.fit(batch.x, rest, sample_weight=weight)

    def _line(self, work: Floats) -> Floats:
        return np.maximum(work @ self.slope, FLOOR)

    def __call__(self, batch: Batch) -> Floats:
        """Seconds (n,)."""
        line = self._line(batch.work)
        if self.trees is None:
            return line
        with one_thread():
            rest = self.trees.predict(batch.x)
        # Beyond what was seen trees stay as they are, so that there the linear law grows on in full.
        seen = self._line(np.minimum(batch.work, self.most))
        seen = np.maximum(seen, (1 - SHARE) * line)  # further out a part of the line could weigh more than the line
        return np.exp(np.log(line) - (1 - SHARE) * np.log(seen) + rest)

    def outside(self, batch: Batch, slack: float = 0.1) -> NDArray[np.bool_]:
        """(n, COLUMNS): where a feature lies beyond what was seen, by more than ``slack`` of a factor of two."""
        return (batch.x < self.low - slack) | (batch.x > self.high + slack)


def fit_laws(batches: dict[str, Batch], seconds: dict[str, Floats], trees: int = 120) -> dict[str, Law]:
    """One law a class."""
    return {name: Law(batches[name], seconds[name], trees=trees) for name in batches}


def names_outside(law: Law, batch: Batch) -> Sequence[str]:
    """The features in which some operator lies outside what was seen; what follows from others is not named."""
    names = [COLUMNS[i] for i in np.flatnonzero(law.outside(batch).any(axis=0))]
    return [name for name in names if not name.startswith("macs_")]
