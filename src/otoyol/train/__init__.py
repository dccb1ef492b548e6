"""Training. ``train_steps`` is the plain loop for short runs; ``accuracy`` is what it reached, ``ShortTraining`` a
trial of a design."""

from __future__ import annotations

from otoyol.errors import MissingExtraError

try:
    import torch as _torch  # noqa: F401 (only to say what to install)
except ModuleNotFoundError as error:
    raise MissingExtraError("torch", "torch") from error

from otoyol.train.short import Step, accuracy, constant, cosine, train_steps
from otoyol.train.trial import ShortTraining

__all__ = ["ShortTraining", "Step", "accuracy", "constant", "cosine", "train_steps"]
