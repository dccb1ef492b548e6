"""The optimiser of a recipe over a model's parameters."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from otoyol.errors import SpecError
from otoyol.train.config import OPTIMISERS, Optimiser


def make_optimiser(model: nn.Module, recipe: Optimiser) -> torch.optim.Optimizer:
    """torch's, over the parameters that learn. Without ``decay_norms`` those of one dimension (norms' gains and shifts,
    biases) are not pulled at (He et al. 2018, 1812.01187, section 3.1). Raises SpecError for values torch refuses."""
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    many = [parameter for parameter in learning if parameter.ndim > 1]
    few = [parameter for parameter in learning if parameter.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": many, "weight_decay": recipe.weight_decay},
        {"params": few, "weight_decay": recipe.weight_decay if recipe.decay_norms else 0.0},
    ]
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in recipe.options.items()}
    make = getattr(torch.optim, OPTIMISERS[recipe.name])
    try:
        optimiser: torch.optim.Optimizer = make([group for group in groups if group["params"]], lr=recipe.lr, **options)
    except (ValueError, TypeError) as error:
        raise SpecError(
            "recipe.optimiser", ", ".join(options) or recipe.name, f"values that torch takes ({error})"
        ) from None
    return optimiser


def set_lr(optimiser: torch.optim.Optimizer, lr: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = lr
