"""Norms into convolutions: at inference a batch norm is y = scale · x + shift, channel by channel.

Which norm goes where is the audit's finding (:mod:`otoyol.audit.fold`), so that every block that a spec can describe
folds by the same few lines. Behind a convolution W, b: scale · (W x + b) + shift = (scale W) x + (scale b + shift). In
front of one: W (scale · x + shift) + b = (W scale) x + (W shift + b). Behind an addition the sum itself is moved by
shift / scale where that is exact (:mod:`otoyol.deploy.recentre`). A norm that stays becomes a batch norm of mean 0,
variance 1 and eps 0, whose gain and shift are the whole arithmetic: engines run that as one multiplication and one
addition, with the activation behind it in the same pass.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from otoyol.audit import Fold, highway
from otoyol.deploy.affine import AFFINE, affine, bare, read_by, replace
from otoyol.deploy.recentre import recentre
from otoyol.errors import SpecError
from otoyol.nn import FeatureBackbone
from otoyol.nn.trunk import Trunk


def fold(model: nn.Module, taps: Collection[str] | None = None, stays: Collection[str] = ()) -> nn.Module:
    """A copy of ``model`` for inference with every norm folded that can be; the outputs are equal but for rounding.

    Paths stay: a folded norm is an identity, its convolution has a bias. ``taps`` are the feature maps (``C1`` …) that
    must stay too: by default those that a :func:`otoyol.nn.build` network puts out, and all of them where such a
    network stands inside a larger one (a detector). ``stays`` names norms behind additions that must not go. The copy
    is in evaluation mode and must stay there.

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
            _fold_trunk(trunk, frozenset(kept), frozenset(stays))
    return folded.requires_grad_(False)


def _put_out(trunk: Trunk) -> Collection[str]:
    return [trunk.tap_info[i]["name"] for i in trunk.out_indices] if isinstance(trunk, FeatureBackbone) else ()


def _fold_trunk(trunk: Trunk, taps: frozenset[str], stays: frozenset[str]) -> None:
    found = [fold for fold in highway(trunk.spec).folds if fold.folds and not taps & set(fold.alters_taps)]
    folded = {fold.norm for fold in found}
    # Backwards for those that go ahead, so that of two before one convolution the nearer goes in first.
    ordered = [f for f in found if f.verdict == "preceding"] + [f for f in found[::-1] if f.verdict == "following"]
    for fold in ordered:
        scale, shift = affine(trunk.get_submodule(fold.norm), fold.norm)
        for name in fold.into:
            _into(trunk.get_submodule(name), scale, shift, fold)
        replace(trunk, fold.norm, nn.Identity())
    recentre(trunk, taps, folded, stays)
    for name, module in list(trunk.named_modules()):
        if isinstance(module, AFFINE):
            replace(trunk, name, bare(module, name))


def _into(layer: nn.Module, scale: Tensor, shift: Tensor, fold: Fold) -> None:
    """Put a norm into the convolution or linear layer before or behind it; rounded once, at the end."""
    layer = cast("nn.Conv2d | nn.Linear", layer)
    stored = layer.weight
    weight = stored.double()
    bias = weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.double()
    if fold.verdict == "preceding":
        weight, bias = weight * _columns(scale, weight), bias * scale + shift
    else:
        read = read_by(weight, len(scale))
        bias = bias + (weight.flatten(2).sum(2) if weight.dim() > 2 else weight).mul(shift[read]).sum(1)
        weight = weight * scale[read].view(*read.shape, *[1] * (weight.dim() - 2))
    layer.weight, layer.bias = nn.Parameter(weight.to(stored.dtype)), nn.Parameter(bias.to(stored.dtype))


def _columns(values: Tensor, weight: Tensor) -> Tensor:
    return values.view(-1, *[1] * (weight.dim() - 1))


def remaining(model: nn.Module) -> list[str]:
    """Paths of the norms that stand in ``model``: of a folded one, those that could not go."""
    return [name for name, module in model.named_modules() if isinstance(module, (*AFFINE, nn.GroupNorm))]


__all__: Sequence[str] = ["affine", "fold", "remaining"]
