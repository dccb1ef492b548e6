"""Budgets and objectives in words: ``macs<=4.1e9``, ``latency_ms<=60@ort,b1,t2``, ``params``."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from fractions import Fraction
from typing import NamedTuple, TypeVar

from otoyol.errors import SpecError

# What exact cost knows (see otoyol.cost.count_batch), and what a latency table predicts.
QUANTITIES = (
    "params",
    "macs",
    "activations",
    "weight_bytes",
    "train_bytes",
    "train_bytes_lean",
    "peak_inference_bytes",
    "depth",
    "receptive_field",
    "latency_ms",
)
ALSO = {"training_bytes": "train_bytes"}  # other words for quantities
_SUFFIX = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30}
_NUMBER = re.compile(r"(\d{1,18}(?:\.\d{1,18})?(?:e\d{1,2})?)(ki|mi|gi|k|m|g|t)?\Z", re.IGNORECASE)
_BUDGET = re.compile(r"([a-z_]{1,32})(<=|>=)([^@<>=\s]{1,32})(?:@(\S{1,64}))?\Z")
_OBJECTIVE = re.compile(r"([a-z_]{1,32})(?:@(\S{1,64}))?\Z")
LATENCY = "latency_ms"


def key(quantity: str, where: str) -> str:
    """What a quantity is called among others: ``macs``, ``latency_ms@ort,b1,t2``."""
    return f"{quantity}@{where}" if where else quantity


class Budget(NamedTuple):
    """``quantity`` must be at most (or, ``at_least``, at least) ``limit``. ``where`` says how latency is meant."""

    quantity: str
    at_least: bool
    limit: Fraction
    where: str
    text: str

    @property
    def key(self) -> str:
        return key(self.quantity, self.where)


class Objective(NamedTuple):
    """``where`` as in :class:`Budget`."""

    quantity: str
    maximize: bool
    where: str = ""

    @property
    def key(self) -> str:
        return key(self.quantity, self.where)


def parse_budget(text: str) -> Budget:
    """A budget from its words. Raises SpecError."""
    found = _BUDGET.match(text.replace(" ", "")[:200])
    number = _NUMBER.match(found[3]) if found else None
    if not found or not number:
        raise SpecError("budget", text, "quantity<=number such as macs<=4.1e9, params<=25M, latency_ms<=60@ort,b1,t2")
    quantity = ALSO.get(found[1], found[1])
    if quantity not in QUANTITIES:
        raise SpecError("budget", quantity, f"one of {', '.join(QUANTITIES)}")
    _check_where("budget", quantity, found[4])
    limit = Fraction(number[1]) * _SUFFIX.get((number[2] or "").lower(), 1)
    return Budget(quantity, found[2] == ">=", limit, found[4] or "", text)


def parse_objective(text: str, *, maximize: bool, extra: Collection[str] = ()) -> Objective:
    """An objective from its words: ``macs``, ``latency_ms@ort,b1``. ``extra`` names what scorers supply beside
    :data:`QUANTITIES`. Raises SpecError."""
    known = (*QUANTITIES, *extra)
    found = _OBJECTIVE.match(text.replace(" ", "")[:200])
    quantity = ALSO.get(found[1], found[1]) if found else ""
    if not found or quantity not in known:
        raise SpecError("objective", text, f"one of {', '.join(known)}")
    _check_where("objective", quantity, found[2])
    return Objective(quantity, maximize, found[2] or "")


def _check_where(field: str, quantity: str, where: str | None) -> None:
    if where and quantity in QUANTITIES and quantity != LATENCY:
        raise SpecError(field, f"{quantity}@{where}", f"@ with {LATENCY} alone: exact cost is the same everywhere")


def check_budgets(budgets: list[Budget]) -> None:
    """Raises SpecError where two budgets of one quantity leave nothing between them."""
    for low in budgets:
        for high in budgets:
            same = low.key == high.key
            if same and low.at_least and not high.at_least and low.limit > high.limit:
                raise SpecError("budget", f"{low.text} and {high.text}", "budgets that some design can meet")


Item = TypeVar("Item", Budget, Objective)


def placed(item: Item, place: Callable[[str], str]) -> Item:
    """A budget or objective on latency with the words behind its @ as ``place`` writes them; others as they are."""
    return item._replace(where=place(item.where)) if item.quantity == LATENCY else item
