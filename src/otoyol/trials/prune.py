"""When a trial is given up early: the rules as data, with every number of theirs."""

from __future__ import annotations

from typing import Any, NamedTuple

import optuna

from otoyol.errors import SpecError


class Median(NamedTuple):
    """Give up a trial whose best accuracy so far is below the median of the others' at the same step (Golovin et al.
    2017, section 3.1.3). The first ``startup_trials`` trials and the first ``warmup_steps`` steps of each are spared,
    and a step is judged by at least ``min_trials`` others."""

    startup_trials: int = 5
    warmup_steps: int = 0
    min_trials: int = 1


class Halving(NamedTuple):
    """Asynchronous successive halving (Li et al. 2020): of the trials that reach ``min_resource`` steps the best one
    in ``reduction_factor`` goes on, and so again at each ``reduction_factor`` times more steps, from rung
    ``min_early_stopping_rate`` on."""

    min_resource: int = 1
    reduction_factor: int = 4
    min_early_stopping_rate: int = 0


Prune = Median | Halving
_RULES: dict[str, type[Median] | type[Halving]] = {"median": Median, "halving": Halving}
_LEAST = {"min_resource": 1, "reduction_factor": 2, "min_trials": 1}


def parse_prune(text: str) -> Prune | None:
    """``none``, ``median`` or ``halving``, with numbers where wanted: ``halving:min_resource=50,reduction_factor=3``.

    Raises SpecError.
    """
    name, _, rest = text.partition(":")
    if text == "none":
        return None
    if name not in _RULES:
        raise SpecError("prune", text, "none, median or halving")
    rule = _RULES[name]
    numbers = {}
    for pair in filter(None, rest.split(",")):
        key, _, value = pair.partition("=")
        if key not in rule._fields or not value.isdecimal() or len(value) > 9 or int(value) < _LEAST.get(key, 0):
            wanted = ", ".join(f"{field} (a whole number from {_LEAST.get(field, 0)})" for field in rule._fields)
            raise SpecError("prune", pair, wanted)
        numbers[key] = int(value)
    return rule(**numbers)


def prune_facts(prune: Prune | None) -> dict[str, Any]:
    """The rule as plain data."""
    return {"rule": "none"} if prune is None else {"rule": type(prune).__name__.lower(), **prune._asdict()}


def make_pruner(prune: Prune | None) -> optuna.pruners.BasePruner:
    """Optuna's pruner for the rule."""
    if isinstance(prune, Median):
        return optuna.pruners.MedianPruner(
            n_startup_trials=prune.startup_trials, n_warmup_steps=prune.warmup_steps, n_min_trials=prune.min_trials
        )
    if isinstance(prune, Halving):
        return optuna.pruners.SuccessiveHalvingPruner(**prune._asdict())
    return optuna.pruners.NopPruner()
