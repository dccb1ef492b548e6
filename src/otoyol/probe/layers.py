"""Batch norms' statistics and dead channels, over one forward pass of a plain network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from otoyol.nn import Backbone
from otoyol.nn.norms import NORMS
from otoyol.ops import lower
from otoyol.probe.result import DeadChannels, NormFigures


def layer_figures(model: Backbone, images: Tensor) -> tuple[tuple[NormFigures, ...], tuple[DeadChannels, ...]]:
    """Every batch norm and every activation layer by module path, in the order they run. Give it a copy."""
    acts = {op.name for op in lower(model.spec).ops if op.kind == "act"}
    norms: dict[str, NormFigures] = {}
    dead: dict[str, DeadChannels] = {}
    hooks = []
    for name, module in model.named_modules():
        if isinstance(module, NORMS) and not isinstance(module, nn.GroupNorm):

            def enter(module: nn.Module, arguments: tuple[Tensor, ...], name: str = name) -> None:
                norms[name] = _norm_figures(name, module, arguments[0])

            hooks.append(module.register_forward_pre_hook(enter))
        elif name in acts:

            def leave(_module: nn.Module, _arguments: tuple[Tensor, ...], y: Tensor, name: str = name) -> None:
                dead[name] = _dead_channels(name, y)

            hooks.append(module.register_forward_hook(leave))
    try:
        with torch.no_grad():
            model(images)
    finally:
        for hook in hooks:
            hook.remove()
    return tuple(norms.values()), tuple(dead.values())


def _norm_figures(name: str, norm: nn.Module, x: Tensor) -> NormFigures:
    axes = [0, *range(2, x.dim())]
    values = x.detach().double()
    mean, var = values.mean(axes), values.var(axes, correction=0)
    weight = getattr(norm, "weight", None)
    gain = torch.ones(1) if weight is None else weight.detach()
    shift = torch.zeros(1) if weight is None else norm.bias.detach()  # type: ignore[operator]
    stored_mean, stored_var = norm.running_mean, norm.running_var
    return NormFigures(
        name, float(gain.mean()), float(gain.min()), float(gain.max()), float(shift.mean()),
        None if stored_mean is None else float(stored_mean.mean()),  # type: ignore[operator]
        None if stored_var is None else float(stored_var.mean()),  # type: ignore[operator]
        float(mean.mean()), float(var.mean()), float(var.min()), float(var.max()),
    )  # fmt: skip


def _dead_channels(name: str, y: Tensor) -> DeadChannels:
    alive = (y.detach() != 0).transpose(0, 1).flatten(1).any(1)
    return DeadChannels(name, len(alive), int((~alive).sum()))
