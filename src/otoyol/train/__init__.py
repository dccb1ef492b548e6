"""Training. ``fit`` trains as a configuration says and can be killed at any step; ``load_run`` reads a run back.
``train_steps`` is the plain loop for short runs, ``accuracy`` what it reached, ``ShortTraining`` a trial of a design.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from otoyol.errors import MissingExtraError

try:
    import torch as _torch  # noqa: F401 (only to say what to install)
except ModuleNotFoundError as error:
    raise MissingExtraError("torch", "torch") from error

from otoyol.train.short import Step, accuracy, constant, cosine, train_steps
from otoyol.train.trial import ShortTraining

if TYPE_CHECKING:
    from otoyol.train.files import read_config
    from otoyol.train.folder import Trained, load_run
    from otoyol.train.run import Fitted, fit

_HOME = {
    "Fitted": "otoyol.train.run", "Trained": "otoyol.train.folder", "fit": "otoyol.train.run",
    "load_run": "otoyol.train.folder", "read_config": "otoyol.train.files",
}  # fmt: skip  # each loaded when first used: fit needs pytorch-lightning

__all__ = [
    "Fitted", "ShortTraining", "Step", "Trained", "accuracy", "constant", "cosine", "fit", "load_run", "read_config",
    "train_steps",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'otoyol.train' has no attribute {name!r}")
