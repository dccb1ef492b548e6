"""Images for training: a named source as a torch Dataset that fits a spec's input, and its batches by seed."""

from __future__ import annotations

from otoyol.errors import MissingExtraError

try:
    import torch as _torch  # noqa: F401 (only to say what to install)
except ModuleNotFoundError as error:
    raise MissingExtraError("torch", "torch") from error

from otoyol.data.batches import batches
from otoyol.data.images import Images
from otoyol.data.source import load

__all__ = ["Images", "batches", "load"]
