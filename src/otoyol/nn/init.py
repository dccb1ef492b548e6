"""How weights start."""

from __future__ import annotations

from torch import nn

from otoyol.nn.attention import Factory
from otoyol.nn.block import ResidualBlock


def init_weights(module: nn.Module, zero_init: bool, external: Factory | None = None) -> None:
    """Initialise in place, as torchvision and timm do for residual networks.

    2-d convolutions: normal, variance 2 / (k² · C_out) (He et al. 2015b, 1502.01852, Eq. 14: ``fan_out``), groups
    not considered. Norms: gain 1, shift 0. Classifier, biases and ECA's 1-d convolution: torch's defaults.
    ``zero_init``: the last gain of every branch that ends in a norm and is added to a shortcut starts at 0 (Goyal et
    al. 2017, 1706.02677, section 5.1); a pre-activation branch ends in a convolution and has none. An attention
    module that the caller supplied keeps its own start.
    """
    blocks = [child for child in module.modules() if isinstance(child, ResidualBlock)]
    supplied = {id(child) for block in blocks if external and block.attention for child in block.attention.modules()}
    for child in module.modules():
        if isinstance(child, nn.Conv2d) and not child.weight.is_meta and id(child) not in supplied:
            nn.init.kaiming_normal_(child.weight, mode="fan_out", nonlinearity="relu")
    for block in blocks:
        block.open_gate()
        if zero_init and block.joined:
            block.zero_last_gain()
