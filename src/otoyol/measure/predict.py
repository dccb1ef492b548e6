"""The predictor: latency of a design, with an interval and warnings, from a table."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from otoyol.errors import SpecError
from otoyol.measure.features import NUMBERS, Batch, Floats, arrays, batch_of, class_names
from otoyol.measure.fused import FusedOp, Rules, fuse
from otoyol.measure.law import Law, fit_laws, names_outside
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
    """Whole network = ``slope`` × sum over fused operators + ``per_op`` × their number + ``constant`` (seconds).

    ``per_op`` may be negative: timing an operator takes time itself, which a whole run does not spend.
    """

    slope: float
    per_op: float
    constant: float

    def __call__(self, total: Any, count: Any) -> Any:
        return np.maximum(self.slope * total + self.per_op * count + self.constant, total / 4)


class OpModel:
    """Seconds of fused operators: measured ones as measured, others by the law of their class."""

    def __init__(self, rows: Sequence[Row], trees: int = 120) -> None:
        parts: dict[str, list[int]] = {}
        for i, row in enumerate(rows):
            parts.setdefault(class_of(row.op), []).append(i)
        batches = {name: batch_of(arrays([rows[i].op for i in part])) for name, part in parts.items()}
        seconds = {name: np.array([rows[i].seconds for i in part]) for name, part in parts.items()}
        self.laws = fit_laws(batches, seconds, trees)
        everything = batch_of(arrays([row.op for row in rows]))
        self.fallback = Law(everything, np.array([row.seconds for row in rows]), trees=0)
        self.hits = {row.op: row.seconds for row in rows if not row.noisy}
        self.hashed: dict[FusedOp, tuple[NDArray[np.uint64], Floats]] = {}
        alike: dict[FusedOp, list[FusedOp]] = {}
        for op in self.hits:
            alike.setdefault(without_numbers(op), []).append(op)
        for template, ops in alike.items():
            codes = hashes(arrays(ops))
            order = np.argsort(codes)
            self.hashed[template] = codes[order], np.array([self.hits[op] for op in ops])[order]

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
            told = self.laws.get(name, self.fallback)(batch)
            ends = np.cumsum([np.count_nonzero(rows) for _, rows in places])
            for (i, rows), part in zip(places, np.split(told, ends[:-1]), strict=True):
                seconds[i][rows] = part
        for (op, columns), found in zip(asked, seconds, strict=True):
            template = without_numbers(op)
            if template in self.hashed:
                codes, values = self.hashed[template]
                wanted = hashes(columns)
                at = np.minimum(np.searchsorted(codes, wanted), len(codes) - 1)
                hit = codes[at] == wanted
                found[hit] = values[at[hit]]
        return seconds

    def __call__(self, ops: Sequence[FusedOp], hits: bool = True) -> Floats:
        """Seconds (n,)."""
        seconds = np.empty(len(ops))
        parts: dict[str, list[int]] = {}
        for i, op in enumerate(ops):
            if hits and op in self.hits:
                seconds[i] = self.hits[op]
            else:
                parts.setdefault(class_of(op), []).append(i)
        for name, part in parts.items():
            batch = batch_of(arrays([ops[i] for i in part]))
            seconds[part] = self.laws.get(name, self.fallback)(batch)
        return seconds

    def warnings(self, ops: Sequence[FusedOp]) -> tuple[str, ...]:
        """What lies outside of what was measured, by class of operators."""
        parts: dict[str, list[FusedOp]] = {}
        for op in ops:
            if op not in self.hits:
                parts.setdefault(class_of(op), []).append(op)
        said = []
        for name, part in parts.items():
            if name not in self.laws:
                said.append(f"{name}: no such operator was measured")
            elif outside := names_outside(self.laws[name], batch_of(arrays(part))):
                said.append(f"{name}: {', '.join(outside)} beyond what was measured")
        return tuple(said)


def without_numbers(op: FusedOp) -> FusedOp:
    """What the operator is, whatever its shape."""
    ones: dict[str, Any] = dict.fromkeys(NUMBERS, 1)
    return op._replace(**ones)


def hashes(columns: dict[str, NDArray[Any]]) -> NDArray[np.uint64]:
    """One 64-bit number for every row of shapes."""
    factors = np.random.default_rng(0).integers(1, 1 << 63, len(NUMBERS), dtype=np.uint64) | np.uint64(1)
    codes = np.zeros(len(columns["c_in"]), dtype=np.uint64)
    for name, factor in zip(NUMBERS, factors, strict=True):
        codes = (codes ^ columns[name].astype(np.uint64)) * factor  # wraps around, as a hash should
    return codes


@lru_cache(maxsize=1 << 16)
def class_of(op: FusedOp) -> str:
    """The class whose law the operator follows."""
    return class_names(op, arrays([op]))[0][0]


class Predictor:
    """Fitted on a table. ``errors`` are those of its networks, each predicted by laws that had not seen it:
    measured / predicted - 1. Raises SpecError where the table holds too little."""

    def __init__(self, table: Table, rules: Rules, folds: int = FOLDS) -> None:
        if len(table.networks) < FEWEST:
            raise SpecError("table", f"{len(table.networks)} networks", f"at least {FEWEST}: measure longer")
        self.table, self.rules = table, rules
        self.model = OpModel(table.rows())
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
    fold = np.random.default_rng(0).permutation(len(numbers)) % folds
    sums = np.empty(len(numbers))
    for k in range(folds):
        model = OpModel(table.rows(numbers[fold != k].tolist()))
        for i in np.flatnonzero(fold == k):
            sums[i] = model([table.operators[s] for s in table.networks[numbers[i]].steps]).sum()
    return sums


def fit_overhead(sums: Floats, counts: Floats, measured: Floats) -> Overhead:
    """The line from sums to whole networks that leaves the smallest relative errors; two rounds, the second without
    the tenth that fits worst."""
    from sklearn.linear_model import LinearRegression

    columns = np.stack([sums, counts, np.ones_like(sums)], axis=1) / measured[:, None]
    scale = columns.max(axis=0)
    keep = np.ones(len(sums), dtype=bool)
    for _ in range(2):
        line = LinearRegression(fit_intercept=False).fit(columns[keep] / scale, np.ones(keep.sum()))
        error = np.abs(columns / scale @ line.coef_ - 1)
        keep = error <= np.quantile(error, 0.9)
    slope, per_op, constant = (line.coef_ / scale).tolist()
    return Overhead(slope, per_op, constant)


def interval(errors: Floats) -> tuple[float, float]:
    """Split-conformal bounds: the quantiles that hold CONFIDENCE of one more error of the same sort."""
    count = len(errors)
    tail = (1 - CONFIDENCE) / 2
    rank = min(1.0, (1 - tail) * (count + 1) / count)
    return float(np.quantile(errors, 1 - rank)), float(np.quantile(errors, rank))


__all__ = ["Batch", "Latency", "OpModel", "Overhead", "Predictor", "fit_overhead", "interval", "out_of_fold"]
