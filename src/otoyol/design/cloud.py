"""Quantities of designs beyond the front: a sample of the whole space, and single designs to compare with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from otoyol.cost import count_batch
from otoyol.search import Budget, Space, draw, structures
from otoyol.search.linear import layers, receptive_field
from otoyol.search.stream import Scorer
from otoyol.spec import Spec

Floats = NDArray[np.float64]
LINEAR = {"depth": layers, "receptive_field": receptive_field}
SAMPLE = 2_000


class Cloud(NamedTuple):
    """``values``: quantity → (N,), the same designs in the same order. ``within`` (N,): which meet all budgets."""

    values: dict[str, Floats]
    within: NDArray[np.bool_]


def sample(
    space: Space, keys: Sequence[str], budgets: Sequence[Budget], scorers: Mapping[str, Scorer], seed: int,
    count: int = SAMPLE,
) -> Cloud:  # fmt: skip
    """About ``count`` designs of the space by chance, those that can be built, with the quantities of ``keys``."""
    wanted = list(dict.fromkeys([*keys, *(budget.key for budget in budgets)]))
    columns: dict[str, list[Floats]] = {key: [] for key in wanted}
    built = structures(space)[0]
    for chunk in draw(space, count, seed):
        found = quantities(built[chunk.structure].spec, chunk.depths, chunk.widths, wanted, scorers)
        for key in wanted:
            columns[key].append(found[key])
    values = {key: np.concatenate(parts) for key, parts in columns.items()}
    valid = np.all([np.isfinite(column) for column in values.values()], axis=0)
    values = {key: column[valid] for key, column in values.items()}
    within = np.ones(int(valid.sum()), dtype=bool)
    for budget in budgets:
        column, limit = values[budget.key], float(budget.limit)
        within &= column >= limit if budget.at_least else column <= limit
    return Cloud(values, within)


def quantities(
    spec: Spec, depths: NDArray[np.int64], widths: NDArray[np.int64], keys: Sequence[str], scorers: Mapping[str, Scorer]
) -> dict[str, Floats]:
    """Quantities (N,) of designs that share a structure, NaN where one cannot be built. depths, widths: (N, stages)."""
    exact = tuple(key for key in keys if key not in scorers and key not in LINEAR)
    costs = count_batch(spec, depths=depths, widths=widths, only=exact or ("params",))
    found: dict[str, Floats] = {}
    for key in keys:
        if key in scorers:
            column = np.asarray(scorers[key](spec, depths, widths), dtype=np.float64)
        elif key in LINEAR:
            column = LINEAR[key](spec)(depths).astype(np.float64)
        else:
            column = np.asarray(getattr(costs, key), dtype=np.float64)
        found[key] = np.where(costs.valid, column, np.nan)
    return found


def values_of(spec: Spec, keys: Sequence[str], scorers: Mapping[str, Scorer]) -> dict[str, float]:
    """Quantities of one design."""
    depths = np.array([[stage.depth for stage in spec.stages]], dtype=np.int64)
    widths = np.array([[stage.width for stage in spec.stages]], dtype=np.int64)
    return {key: float(column[0]) for key, column in quantities(spec, depths, widths, keys, scorers).items()}
