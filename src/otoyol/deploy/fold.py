"""Norms into convolutions: at inference a batch norm is y = scale · x + shift, channel by channel.

Which norm goes where is the audit's finding (:mod:`otoyol.audit.fold`), so that every block that a spec can describe
folds by the same few lines. Behind a convolution W, b: scale · (W x + b) + shift = (scale W) x + (scale b + shift). In
front of one: W (scale · x + shift) + b = (W scale) x + (W shift + b). A norm that stays (behind an addition or a max
pool, before an activation) becomes a batch norm of mean 0, variance 1 and eps 0, whose gain and shift are the whole
arithmetic: engines run that as one multiplication and one addition, with the activation behind it in the same pass.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from otoyol.audit import Fold, highway
from otoyol.errors import SpecError
from otoyol.nn import FeatureBackbone, FrozenBatchNorm2d
from otoyol.nn.trunk import Trunk

AFFINE = (nn.BatchNorm2d, nn.SyncBatchNorm, FrozenBatchNorm2d)


def fold(model: nn.Module, taps: Collection[str] | None = None) -> nn.Module:
    """A copy of ``model`` for inference with every norm folded that can be; the outputs are equal but for rounding.

    Paths stay: a folded norm is an identity, its convolution has a bias. ``taps`` are the feature maps (``C1`` …) that
    must stay too: by default those that a :func:`otoyol.nn.build` network puts out, and all of them where such a
    network stands inside a larger one (a detector). The copy is in evaluation mode and must stay there.

    Raises SpecError for a module that holds no network of ours, or whose norms have no running statistics.
    """
    folded = copy.deepcopy(model).eval()
    trunks = [(name, module) for name, module in folded.named_modules() if isinstance(module, Trunk)]
    if not trunks:
        raise SpecError("model", type(model).__name__, "a network made by otoyol.nn.build, or a module that holds one")
    for name, trunk in trunks:
        kept = taps
        if kept is None:
            kept = _put_out(trunk) if not name else tuple(trunk.tap_channels)
        with torch.no_grad():
            _fold_trunk(trunk, frozenset(kept))
    return folded.requires_grad_(False)


def _put_out(trunk: Trunk) -> Collection[str]:
    return [trunk.tap_info[i]["name"] for i in trunk.out_indices] if isinstance(trunk, FeatureBackbone) else ()


def _fold_trunk(trunk: Trunk, taps: frozenset[str]) -> None:
    found = [fold for fold in highway(trunk.spec).folds if fold.folds and not taps & set(fold.alters_taps)]
    folded = {fold.norm for fold in found}
    # Backwards for those that go ahead, so that of two before one convolution the nearer goes in first.
    ordered = [f for f in found if f.verdict == "preceding"] + [f for f in found[::-1] if f.verdict == "following"]
    for fold in ordered:
        scale, shift = affine(trunk.get_submodule(fold.norm), fold.norm)
        for name in fold.into:
            _into(trunk.get_submodule(name), scale, shift, fold)
        _replace(trunk, fold.norm, nn.Identity())
    for name, module in list(trunk.named_modules()):
        if isinstance(module, AFFINE) and name not in folded:
            _replace(trunk, name, _bare(module, name))


def affine(norm: nn.Module, name: str) -> tuple[Tensor, Tensor]:
    """What a norm does to each channel at inference: (scale, shift), float64. Raises SpecError."""
    if not isinstance(norm, AFFINE) or norm.running_var is None:
        raise SpecError("model", f"{name}, a {type(norm).__name__}", "batch norms with running statistics")
    mean, var = cast(Tensor, norm.running_mean).double(), norm.running_var.double()
    scale = (var + norm.eps).rsqrt()
    scale = scale if norm.weight is None else scale * norm.weight.double()
    shift = -mean * scale
    return scale, shift if norm.bias is None else shift + norm.bias.double()


def _into(layer: nn.Module, scale: Tensor, shift: Tensor, fold: Fold) -> None:
    """Put a norm into the convolution or linear layer before or behind it; rounded once, at the end."""
    layer = cast("nn.Conv2d | nn.Linear", layer)
    stored = layer.weight
    weight = stored.double()
    bias = weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.double()
    if fold.verdict == "preceding":
        weight, bias = weight * _columns(scale, weight), bias * scale + shift
    else:
        read = _read(weight, len(scale))
        bias = bias + (weight.flatten(2).sum(2) if weight.dim() > 2 else weight).mul(shift[read]).sum(1)
        weight = weight * scale[read].view(*read.shape, *[1] * (weight.dim() - 2))
    layer.weight, layer.bias = nn.Parameter(weight.to(stored.dtype)), nn.Parameter(bias.to(stored.dtype))


def _columns(values: Tensor, weight: Tensor) -> Tensor:
    return values.view(-1, *[1] * (weight.dim() - 1))


def _read(weight: Tensor, channels: int) -> Tensor:
    """Which input channel every weight[out, i] multiplies: outputs of one group read that group's inputs."""
    outs, per_group = weight.shape[:2]
    groups = channels // per_group
    group = torch.arange(outs, device=weight.device) // (outs // groups)
    return group[:, None] * per_group + torch.arange(per_group, device=weight.device)


def _bare(norm: nn.Module, name: str) -> nn.BatchNorm2d:
    """The norm as scale and shift alone."""
    scale, shift = affine(norm, name)
    like = next((t for t in (norm.weight, norm.running_var) if isinstance(t, Tensor)), shift)
    bare = nn.BatchNorm2d(len(scale), eps=0.0, device=like.device, dtype=like.dtype).eval()
    cast(Tensor, bare.weight).copy_(scale)
    cast(Tensor, bare.bias).copy_(shift)
    return bare.requires_grad_(False)


def _replace(root: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(root.get_submodule(parent), leaf, module)


def remaining(model: nn.Module) -> list[str]:
    """Paths of the norms that stand in ``model``: of a folded one, those that could not go."""
    return [name for name, module in model.named_modules() if isinstance(module, (*AFFINE, nn.GroupNorm))]


__all__: Sequence[str] = ["affine", "fold", "remaining"]
