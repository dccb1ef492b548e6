"""Scores of an untrained network, each a function of (model, batch): cheap, and no more than a hint.

What is known of all of them: over whole search spaces the better ones follow accuracy little more closely than counts
of parameters or MACs do, and much of what they tell is size (Abdelfattah et al. 2021, arXiv:2101.08134; White et al.
2022, "A deeper look at zero-cost proxies for lightweight NAS", ICLR blog track; Krishnakumar et al. 2022,
arXiv:2210.03230).
So they may rank designs within one budget, and prove nothing. The model that is passed in stays as it was.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from otoyol.nn.block import ResidualBlock
from otoyol.nn.layers import ACTS
from otoyol.nn.norms import NORMS

Batch = tuple[Tensor, Tensor]
"""Images (N, C, H, W) and labels (N,)."""
Proxy = Callable[[nn.Module, Batch], float]
_ACTS = tuple({type(make(False)) for make in ACTS.values()})


def grad_norm(model: nn.Module, batch: Batch) -> float:
    """Sum over the parameter tensors of the Euclidean norm of the loss's gradient, after one batch in training mode.

    Abdelfattah et al. 2021 (arXiv:2101.08134), section 3.1. Grows with the number of tensors, so with depth; depends
    on the batch and on how weights start.
    """
    model = copy.deepcopy(model).train()
    _loss(model, batch).backward()
    return sum(float(p.grad.norm()) for p in model.parameters() if p.grad is not None)


def synflow(model: nn.Module, batch: Batch) -> float:
    """Natural logarithm of ``Σ |θ · ∂R/∂θ|`` over the weights of convolutions and linear layers, where R is the sum of
    the outputs for an image of ones, every parameter replaced by its absolute value and every norm left out.

    Tanaka et al. 2020 (arXiv:2006.05467), Eqs. 1 and 2; without norms as Abdelfattah et al. 2021. Looks at no data: of
    the batch only the shape counts. In float64. Follows width and depth closely, gates bend it.
    """
    model = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.abs_()
    for module in model.modules():
        if isinstance(module, NORMS):
            module.register_forward_hook(lambda _module, inputs, _output: inputs[0].clone())
    model(torch.ones_like(batch[0][:1], dtype=torch.float64)).sum().backward()
    weights = [m.weight for m in model.modules() if isinstance(m, nn.Conv1d | nn.Conv2d | nn.Linear)]
    total = sum(float((w.detach() * w.grad).abs().sum()) for w in weights if w.grad is not None)
    return math.log(total) if total > 0 else -math.inf


def naswot(model: nn.Module, batch: Batch) -> float:
    """``ln |det K|``, where K counts for every pair of images the activations that are on in both or off in both.

    Mellor et al. 2021 (arXiv:2006.04647), section 3.1, one batch in training mode. Grows with the number of activations
    and so with width and resolution; says nothing where two images of the batch are equal (-inf).
    """
    model = copy.deepcopy(model).train()
    count = len(batch[0])
    kernel = torch.zeros(count, count, dtype=torch.float64)

    def add(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        on = (output.detach() > 0).flatten(1).double()
        kernel.add_(on @ on.T + (1 - on) @ (1 - on).T)

    for module in model.modules():
        if isinstance(module, _ACTS):
            module.register_forward_hook(add)
    with torch.no_grad():
        model(batch[0])
    return float(torch.linalg.slogdet(kernel).logabsdet)


def highway(model: nn.Module, batch: Batch) -> float:
    """‖∂L/∂x‖ where x enters the first block, over the same where it enters the last, after one batch in training mode.

    Our own: what of the gradient reaches the stem. Near 1 the highway is open; towards 0 the gradient vanishes on its
    way, far above 1 it grows (He et al. 2016, arXiv:1603.05027, Eqs. 5 and 8). It tells trainability, not accuracy, and
    strides and widths between the stages move it too: compare designs of like stages.
    """
    model = copy.deepcopy(model).train()
    blocks = [module for module in model.modules() if isinstance(module, ResidualBlock)]
    norms: dict[int, float] = {}

    def watch(number: int) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def enter(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
            inputs[0].register_hook(lambda gradient: norms.__setitem__(number, float(gradient.norm())))

        return enter

    for number in {0, len(blocks) - 1}:
        blocks[number].register_forward_pre_hook(watch(number))
    _loss(model, batch).backward()
    last = norms[len(blocks) - 1]
    return norms[0] / last if last else math.inf


def _loss(model: nn.Module, batch: Batch) -> Tensor:
    images, labels = batch
    return F.cross_entropy(model(images), labels)


SCORES: dict[str, Proxy] = {"grad_norm": grad_norm, "synflow": synflow, "naswot": naswot, "highway": highway}
