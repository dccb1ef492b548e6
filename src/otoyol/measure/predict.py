"""The predictor: latency of a design, with an interval and warnings, from a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from otoyol.errors import SpecError
from otoyol.measure.bounds import Bounds
from otoyol.measure.features import NUMBERS, Batch, Floats, arrays, batch_of, class_names
from otoyol.measure.fused import FusedOp, Rules, fuse
from otoyol.measure.law import FLOOR, Law, fit_laws, names_outside
from otoyol.measure.net import net, timing_cost
from otoyol.measure.table import Row, Table
from otoyol.ops import lower
from otoyol.spec import Spec

FOLDS = 5
FEWEST = 8  # networks without which nothing can be said about errors
CONFIDENCE = 0.9


class Latency(NamedTuple):
    """Milliseconds end to end; ``low_ms`` to ``high_ms`` holds 9 of 10 designs like those that were measured.
    ``warnings`` name what lies outside of what was measured."""

    ms: float
    low_ms: float
    high_ms: float
    warnings: tuple[str, ...]


class Overhead(NamedTuple):
    """Whole network = ``slope`` × sum over fused operators + ``per_op`` × their number + ``constant`` (seconds)."""

    slope: float
    per_op: float
    constant: float

    def __call__(self, total: Any, count: Any) -> Any:
        return np.maximum(self.slope * total + self.per_op * count + self.constant, total / 4)


class OpModel:
    """Seconds of fused operators, without the ``cost`` of timing each: measured ones as measured, others by the law of
    their class, within what the measured ones allow (:mod:`otoyol.measure.bounds`); nothing below the ``least`` that
    was measured."""

    def __init__(self, rows: Sequence[Row], cost: float = 0.0, trees: int = 120) -> None:
        parts = _parts(class_of, [row.op for row in rows])
        batches = {name: batch_of(arrays([rows[i].op for i in part])) for name, part in parts.items()}
        took = net(np.array([row.seconds for row in rows]), cost)
        self.laws = fit_laws(batches, {name: took[part] for name, part in parts.items()}, trees)
        self.fallback = Law(batch_of(arrays([row.op for row in rows])), took, trees=0)
        self.hits = {row.op: float(value) for row, value in zip(rows, took, strict=True) if not row.noisy}
        self.least = max(FLOOR, float(took.min()))
        alike: dict[FusedOp, list[FusedOp]] = {}
        for op in self.hits:
            alike.setdefault(without_numbers(op), []).append(op)
        self.bounds = {
            sort: Bounds(arrays(ops), np.array([self.hits[op] for op in ops])) for sort, ops in alike.items()
        }

    def columns(self, op: FusedOp, columns: dict[str, NDArray[Any]]) -> Floats:
        """Seconds (n,) of operators that differ from ``op`` in their numbers."""
        return self.several([(op, columns)])[0]

    def several(self, asked: Sequence[tuple[FusedOp, dict[str, NDArray[Any]]]]) -> list[Floats]:
        """:meth:`columns` of several. A class's law is asked once: trees take as long for one row as for hundreds."""
        seconds = [np.empty(len(columns["c_in"])) for _, columns in asked]
        parts: dict[str, list[tuple[int, NDArray[np.bool_]]]] = {}
        for i, (op, columns) in enumerate(asked):
            for name, rows in class_names(op, columns):
                parts.setdefault(name, []).append((i, rows))
        for name, places in parts.items():
            keys = asked[places[0][0]][1]
            batch = batch_of({key: np.concatenate([asked[i][1][key][rows] for i, rows in places]) for key in keys})
            told = np.maximum(self.laws.get(name, self.fallback)(batch), self.least)
            ends = np.cumsum([np.count_nonzero(rows) for _, rows in places])
            for (i, rows), part in zip(places, np.split(told, ends[:-1]), strict=True):
                seconds[i][rows] = part
        return [self._bounded(op, columns, told) for (op, columns), told in zip(asked, seconds, strict=True)]

    def __call__(self, ops: Sequence[FusedOp], hits: bool = True) -> Floats:
        """Seconds (n,); without ``hits`` by the laws alone."""
        seconds = np.empty(len(ops))
        for name, part in _parts(class_of, ops).items():
            batch = batch_of(arrays([ops[i] for i in part]))
            seconds[part] = np.maximum(self.laws.get(name, self.fallback)(batch), self.least)
        for sort, part in _parts(without_numbers, ops).items() if hits else ():
            seconds[part] = self._bounded(sort, arrays([ops[i] for i in part]), seconds[part])
        return seconds

    def _bounded(self, op: FusedOp, columns: dict[str, NDArray[Any]], told: Floats) -> Floats:
        bounds = self.bounds.get(without_numbers(op))
        return bounds(columns, told) if bounds else told

    def warnings(self, ops: Sequence[FusedOp]) -> tuple[str, ...]:
        """What lies outside of what was measured, by class of operators."""
        unmeasured = [op for op in ops if op not in self.hits]
        said = []
        for name, numbers in _parts(class_of, unmeasured).items():
            part = [unmeasured[i] for i in numbers]
            if name not in self.laws:
                said.append(f"{name}: no such operator was measured")
            elif outside := names_outside(self.laws[name], batch_of(arrays(part))):
                said.append(f"{name}: {', '.join(outside)} beyond what was measured")
        return tuple(said)


def without_numbers(op: FusedOp) -> FusedOp:
    """What the operator is, whatever its shape."""
    ones: dict[str, Any] = dict.fromkeys(NUMBERS, 1)
    return op._replace(**ones)


def _parts(sort: Callable[[FusedOp], Any], ops: Sequence[FusedOp]) -> dict[Any, list[int]]:
    """The operators' numbers by what ``sort`` says of them."""
    parts: dict[Any, list[int]] = {}
    for i, op in enumerate(ops):
        parts.setdefault(sort(op), []).append(i)
    return parts


@lru_cache(maxsize=1 << 16)
def class_of(op: FusedOp) -> str:
    """The class whose law the operator follows."""
    return class_names(op, arrays([op]))[0][0]


class Predictor:
    """Fitted on a table. ``errors`` are those of its networks, each predicted by laws that had not seen it:
    measured / predicted - 1. Raises SpecError where the table holds too little.

    A prediction never falls where only a stage's depth grows, or only its width among widths that are laid out alike:
    that keep each operator's sort (whether channels, and those of a group, are multiples of 8; grouped, depthwise or
    neither; the engine's layout) and add or take away no operator. It may fall, and often does so in truth, where a
    width becomes a multiple of 8, or equals its neighbour's so that a projection or a reorder is saved."""

    def __init__(self, table: Table, rules: Rules, folds: int = FOLDS) -> None:
        if len(table.networks) < FEWEST:
            raise SpecError("table", f"{len(table.networks)} networks", f"at least {FEWEST}: measure longer")
        self.table, self.rules = table, rules
        self.model = OpModel(table.rows(), timing_cost(table))
        known = len(table.unseen) == len(table.trusted)
        self.predicted = np.array(table.unseen) if known else out_of_fold(table, folds)
        counts = np.array([len(table.networks[i].steps) for i in table.trusted], dtype=float)
        measured = np.array([table.whole(i) for i in table.trusted])
        self.overhead = fit_overhead(self.predicted, counts, measured)
        self.errors = measured / self.overhead(self.predicted, counts) - 1
        self.low, self.high = interval(self.errors)

    def at(self, pace: float) -> Predictor:
        """The same predictor on a machine that takes ``pace`` times as long (:func:`otoyol.measure.pace_now`)."""
        other = copy(self)
        other.overhead = Overhead(*(pace * value for value in self.overhead))
        return other

    def error(self, share: float) -> float:
        """The relative error that ``share`` of the table's networks stay within, each unseen by its laws."""
        return float(np.quantile(np.abs(self.errors), share))

    def predict(self, spec: Spec) -> Latency:
        """Latency of one design."""
        ops = [group.op for group in fuse(lower(spec).ops, self.rules)]
        seconds = float(self.overhead(self.model(ops).sum(), len(ops)))
        return self._latency(seconds, self.model.warnings(ops))

    def around(self, spec: Spec, ms: float) -> Latency:
        """Interval and warnings for a design whose latency is known already, from :class:`otoyol.measure.Scorer`."""
        ops = [group.op for group in fuse(lower(spec).ops, self.rules)]
        return self._latency(ms / 1e3, self.model.warnings(ops))

    def predict_many(self, specs: Sequence[Spec]) -> list[Latency]:
        """Latencies of designs of any sort, in order."""
        return [self.predict(spec) for spec in specs]

    def _latency(self, seconds: float, warnings: tuple[str, ...]) -> Latency:
        wide = 2.0 if warnings else 1.0  # outside of what was measured nothing is known; twice as wide is a custom
        low, high = 1 + wide * self.low, 1 + wide * self.high
        ms = seconds * 1e3
        return Latency(ms, max(ms * low, 0.0), ms * high, warnings)


def out_of_fold(table: Table, folds: int = FOLDS) -> Floats:
    """Sum over every trusted network's operators (seconds), by laws fitted without the network."""
    numbers = np.array(table.trusted)
    cost = timing_cost(table)
    fold = np.random.default_rng(0).permutation(len(numbers)) % folds
    sums = np.empty(len(numbers))
    for k in range(folds):
        model = OpModel(table.rows(numbers[fold != k].tolist()), cost)
        for i in np.flatnonzero(fold == k):
            sums[i] = model([table.operators[s] for s in table.networks[numbers[i]].steps]).sum()
    return sums


def fit_overhead(sums: Floats, counts: Floats, measured: Floats) -> Overhead:
    """The line from sums to whole networks that leaves the smallest relative errors; two rounds, the second without
    the tenth that fits worst. Neither time nor number of operators makes a network quicker."""
    from sklearn.linear_model import LinearRegression

    ones = np.ones_like(sums)  # twice, so that the constant may be negative where nothing else may
    columns = np.stack([sums, counts, ones, -ones], axis=1) / measured[:, None]
    scale = np.abs(columns).max(axis=0)
    keep = np.ones(len(sums), dtype=bool)
    for _ in range(2):
        line = LinearRegression(fit_intercept=False, positive=True).fit(columns[keep] / scale, np.ones(keep.sum()))
        error = np.abs(columns / scale @ line.coef_ - 1)
        keep = error <= np.quantile(error, 0.9)
    slope, per_op, above, below = (line.coef_ / scale).tolist()
    return Overhead(slope, per_op, above - below)


def interval(errors: Floats) -> tuple[float, float]:
    """Split-conformal bounds: the quantiles that hold CONFIDENCE of one more error of the same sort."""
    count = len(errors)
    tail = (1 - CONFIDENCE) / 2
    rank = min(1.0, (1 - tail) * (count + 1) / count)
    return float(np.quantile(errors, 1 - rank)), float(np.quantile(errors, rank))


__all__ = ["Batch", "Latency", "OpModel", "Overhead", "Predictor", "fit_overhead", "interval", "out_of_fold"]
