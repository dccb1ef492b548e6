"""Cheap scores of untrained networks, for the designs that a search has left: hints within a budget, no proof.

``score(specs, ["synflow"])`` builds each design and scores it; every score is a function of (model, batch).
"""

from __future__ import annotations

from otoyol.errors import MissingExtraError

try:
    import torch as _torch  # noqa: F401 (only to say what to install)
except ModuleNotFoundError as error:
    raise MissingExtraError("torch", "torch") from error

from otoyol.proxy.run import batch_for, score
from otoyol.proxy.scores import SCORES, Batch, Proxy, grad_norm, highway, naswot, synflow

__all__ = ["SCORES", "Batch", "Proxy", "batch_for", "grad_norm", "highway", "naswot", "score", "synflow"]
