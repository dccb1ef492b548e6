"""Weights: torchvision's and timm's checkpoints ⇄ ours, strict in keys, shapes and meaning."""

from otoyol.errors import MissingExtraError

try:
    import torch as _torch  # noqa: F401 (only to say what to install)
except ModuleNotFoundError as error:
    raise MissingExtraError("torch", "torch") from error

from otoyol.weights.files import Checkpoint, read, save_safetensors
from otoyol.weights.identify import Identity, identify
from otoyol.weights.load import Loaded, export, load
from otoyol.weights.names import Source, rename

__all__ = [
    "Checkpoint", "Identity", "Loaded", "Source", "export", "identify", "load", "read", "rename", "save_safetensors",
]  # fmt: skip
