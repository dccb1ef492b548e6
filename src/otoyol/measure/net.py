"""What timing an operator costs, so that it can be taken off: a traced network takes longer than a whole one."""

from __future__ import annotations

import numpy as np

from otoyol.measure.features import Floats
from otoyol.measure.table import Table

COSTS = np.concatenate([[0.0], np.geomspace(1e-7, 5e-5, 40)])  # seconds an operator, those that are tried
LEFT = 0.2  # of its time at least that an operator keeps, so that one that took longer stays the slower one


def net(seconds: Floats, cost: float) -> Floats:
    """Seconds of operators without the ``cost`` of timing each. Rises with ``seconds``."""
    return np.maximum(seconds - cost, LEFT * seconds)


def timing_cost(table: Table) -> float:
    """Seconds an operator: of COSTS the one without which the operators of each network sum up to the whole best, but
    for a factor and a constant."""
    networks = [table.networks[i] for i in table.trusted]
    seconds = [np.array(network.seconds) * table.pace / network.pace for network in networks]
    starts = np.cumsum([0, *map(len, seconds[:-1])])
    every, whole = np.concatenate(seconds), np.array([table.whole(i) for i in table.trusted])
    return float(min(COSTS, key=lambda cost: _off(np.add.reduceat(net(every, cost), starts), whole)))


def _off(sums: Floats, whole: Floats) -> float:
    """The mean relative error of the line from sums to wholes."""
    columns = np.stack([sums, np.ones_like(sums)], axis=1) / whole[:, None]
    line, *_ = np.linalg.lstsq(columns / (scale := np.abs(columns).max(axis=0)), np.ones_like(whole))
    return float(np.abs(columns / scale @ line - 1).mean())
