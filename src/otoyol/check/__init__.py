"""Checks against peers: the same weights, the same image, the same numbers."""

from otoyol.errors import MissingExtraError

try:
    import torch as _torch  # noqa: F401 (only to say what to install)
except ModuleNotFoundError as error:
    raise MissingExtraError("torch", "torch") from error

from otoyol.check.compare import against
from otoyol.check.result import Figure, Result

__all__ = ["Figure", "Result", "against"]
