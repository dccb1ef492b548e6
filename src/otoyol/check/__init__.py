"""Checks against peers: the same weights, the same image, the same numbers."""

from otoyol.check.compare import against
from otoyol.check.result import Figure, Result

__all__ = ["Figure", "Result", "against"]
