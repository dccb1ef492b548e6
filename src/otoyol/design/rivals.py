"""The chosen design beside ResNet-18 and ResNet-50: as they are, and at equal budget both ways."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from otoyol.design.tasks import LATENCY
from otoyol.search import EQUAL, Budget, Match, match
from otoyol.search.stream import Scorer
from otoyol.spec import Spec, family

RIVALS = {"resnet18": "ResNet-18", "resnet50": "ResNet-50"}


class Rival(NamedTuple):
    """``spec`` is the rival at the chosen design's input and head; ``scaled`` is the rival at the chosen design's
    budget, ``ours`` the chosen design at the rival's."""

    name: str
    spec: Spec
    scaled: Match
    ours: Match


def rivals_of(chosen: Spec, equal: str, scorer: Scorer | None = None) -> tuple[Rival, ...]:
    """Both rivals, widths rescaled in multiples of 8 until ``equal`` agrees within 1% or as near as can be. ``scorer``
    supplies it where it is a latency."""
    found = []
    for key, name in RIVALS.items():
        spec = family(key).model_copy(update={"input": chosen.input, "head": chosen.head})
        scaled, ours = (
            match(one, other, equal=equal, scorer=scorer) for one, other in ((chosen, spec), (spec, chosen))
        )
        found.append(Rival(name, spec, scaled, ours))
    return tuple(found)


def equal_by(budgets: Sequence[Budget]) -> str:
    """The key of what is held equal: the first of :data:`otoyol.search.EQUAL` with an upper budget, the first latency
    with one where no other quantity has, or MACs."""
    upper = [budget for budget in budgets if not budget.at_least]
    exact = next((quantity for quantity in EQUAL if quantity in {budget.quantity for budget in upper}), "")
    return exact or next((budget.key for budget in upper if budget.quantity == LATENCY), "macs")
