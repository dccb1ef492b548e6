"""Exact cost: of one design (:func:`count`), its parts (:func:`table`, :func:`by`), and millions (:func:`count_batch`).

Never torch; numpy only with ``count_batch``, which is loaded when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otoyol.cost.count import Count, count
from otoyol.cost.formulas import PER_ELEMENT, Flops
from otoyol.cost.table import OpCost, by, table
from otoyol.cost.training import Training, largest_batch, training

if TYPE_CHECKING:
    from otoyol.cost.batch import BatchCount, count_batch

__all__ = [
    "PER_ELEMENT", "BatchCount", "Count", "Flops", "OpCost", "Training", "by", "count", "count_batch",
    "largest_batch", "table", "training",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in ("BatchCount", "count_batch"):
        from otoyol.cost import batch

        return getattr(batch, name)
    raise AttributeError(f"module 'otoyol.cost' has no attribute {name!r}")
