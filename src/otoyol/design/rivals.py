"""The chosen design beside ResNet-18 and ResNet-50: as they are, and at equal budget both ways."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from otoyol.search import EQUAL, Budget, Match, match
from otoyol.search.match import Quantity
from otoyol.spec import Spec, family

RIVALS = {"resnet18": "ResNet-18", "resnet50": "ResNet-50"}


class Rival(NamedTuple):
    """``spec`` is the rival at the chosen design's input and head; ``scaled`` is the rival at the chosen design's
    budget, ``ours`` the chosen design at the rival's."""

    name: str
    spec: Spec
    scaled: Match
    ours: Match


def rivals_of(chosen: Spec, equal: Quantity) -> tuple[Rival, ...]:
    """Both rivals, widths rescaled in multiples of 8 until ``equal`` agrees within 1% or as near as can be."""
    found = []
    for key, name in RIVALS.items():
        spec = family(key).model_copy(update={"input": chosen.input, "head": chosen.head})
        found.append(Rival(name, spec, match(chosen, spec, equal=equal), match(spec, chosen, equal=equal)))
    return tuple(found)


def equal_by(budgets: Sequence[Budget]) -> Quantity:
    """The quantity that is held equal: MACs, or the first of :data:`otoyol.search.EQUAL` with an upper budget."""
    upper = {budget.quantity for budget in budgets if not budget.at_least}
    return next((quantity for quantity in EQUAL if quantity in upper), "macs")
