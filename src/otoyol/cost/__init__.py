"""Exact cost: of one design (:func:`count`), its parts (:func:`table`, :func:`by`), and millions (:func:`count_batch`).

Never torch; numpy only where arrays come in.
"""

from otoyol.cost.count import Count, count
from otoyol.cost.formulas import Flops
from otoyol.cost.table import OpCost, by, table

__all__ = ["Count", "Flops", "OpCost", "by", "count", "table"]
