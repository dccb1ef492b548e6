"""Budgets and objectives in words: ``macs<=4.1e9``, ``latency_ms<=60@ort,b1,t2``, ``params``."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

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
_SUFFIX = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30}
_NUMBER = re.compile(r"(\d{1,18}(?:\.\d{1,18})?(?:e\d{1,2})?)(ki|mi|gi|k|m|g|t)?\Z", re.IGNORECASE)
_BUDGET = re.compile(r"([a-z_]{1,32})(<=|>=)([^@<>=\s]{1,32})(?:@(\S{1,64}))?\Z")


class Budget(NamedTuple):
    """``quantity`` must be at most (or, ``at_least``, at least) ``limit``. ``where`` says how latency is meant."""

    quantity: str
    at_least: bool
    limit: Fraction
    where: str
    text: str


def parse_budget(text: str) -> Budget:
    """A budget from its words. Raises SpecError."""
    found = _BUDGET.match(text.replace(" ", "")[:200])
    number = _NUMBER.match(found[3]) if found else None
    if not found or not number:
        raise SpecError("budget", text, "quantity<=number such as macs<=4.1e9, params<=25M, latency_ms<=60@ort,b1,t2")
    if found[1] not in QUANTITIES:
        raise SpecError("budget", found[1], f"one of {', '.join(QUANTITIES)}")
    limit = Fraction(number[1]) * _SUFFIX.get((number[2] or "").lower(), 1)
    return Budget(found[1], found[2] == ">=", limit, found[4] or "", text)


def check_budgets(budgets: list[Budget]) -> None:
    """Raises SpecError where two budgets of one quantity leave nothing between them."""
    for low in budgets:
        for high in budgets:
            same = low.quantity == high.quantity and low.where == high.where
            if same and low.at_least and not high.at_least and low.limit > high.limit:
                raise SpecError("budget", f"{low.text} and {high.text}", "budgets that some design can meet")
