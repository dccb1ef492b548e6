"""Freezing, by name and never silently."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from otoyol.errors import SpecError


def freeze(model: nn.Module, names: Sequence[str], field: str = "freeze") -> tuple[str, ...]:
    """Take the parameters of the submodules ``names`` out of training. Returns the names.

    Raises SpecError for a name that is no submodule, and where nothing would be left to learn.
    """
    paths = dict(model.named_modules())
    for name in names:
        if not name or name not in paths:
            near = ", ".join(child for child in paths if child.count(".") == 0 and child)
            raise SpecError(field, name or "an empty name", f"paths of submodules, such as {near}")
        for parameter in paths[name].parameters():
            parameter.requires_grad_(False)
    if names and not any(parameter.requires_grad for parameter in model.parameters()):
        raise SpecError(field, ", ".join(names), "names that leave something to learn")
    return tuple(names)


def hold(model: nn.Module, frozen: Sequence[str]) -> None:
    """Training mode for all but the frozen submodules, whose norms keep their statistics."""
    model.train()
    for name in frozen:
        model.get_submodule(name).eval()


def frozen_params(model: nn.Module) -> int:
    """How many parameters do not learn."""
    return sum(parameter.numel() for parameter in model.parameters() if not parameter.requires_grad)
