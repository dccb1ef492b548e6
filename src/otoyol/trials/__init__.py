"""Trials: each design of a front tried once, by as many workers as join, on Optuna's storage. Never imports torch."""

from __future__ import annotations

from otoyol.errors import MissingExtraError

try:
    import optuna as _optuna  # noqa: F401 (only to say what to install)
    import sqlalchemy as _sqlalchemy  # noqa: F401
except ModuleNotFoundError as error:
    raise MissingExtraError(error.name or "optuna", "trials") from error

from otoyol.trials.front import Front, read_front
from otoyol.trials.prune import Halving, Median, parse_prune
from otoyol.trials.run import TrialProgress, Trials, run_trials
from otoyol.trials.standing import Tried
from otoyol.trials.storage import shown

__all__ = [
    "Front",
    "Halving",
    "Median",
    "TrialProgress",
    "Trials",
    "Tried",
    "parse_prune",
    "read_front",
    "run_trials",
    "shown",
]
