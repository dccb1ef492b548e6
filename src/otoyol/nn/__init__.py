"""Torch modules: ``build(spec)`` for a network, ``block(...)`` for one residual block."""

from __future__ import annotations

from otoyol.errors import MissingExtraError

try:
    import torch as _torch  # noqa: F401 (only to say what to install)
except ModuleNotFoundError as error:
    raise MissingExtraError("torch", "torch") from error

from otoyol.nn.backbone import Backbone
from otoyol.nn.block import ResidualBlock
from otoyol.nn.build import block, build
from otoyol.nn.features import FeatureBackbone
from otoyol.nn.memory import memory_mode
from otoyol.nn.norms import FrozenBatchNorm2d


def register_timm() -> list[str]:
    """Register every family with timm as ``otoyol_<family>``, and any design as ``otoyol_design``, which timm's
    ``local-dir:`` finds in a shared folder; returns the names. Raises MissingExtraError."""
    from otoyol.nn.timm_models import register

    return register()


__all__ = [
    "Backbone", "FeatureBackbone", "FrozenBatchNorm2d", "ResidualBlock", "block", "build", "memory_mode",
    "register_timm",
]  # fmt: skip
