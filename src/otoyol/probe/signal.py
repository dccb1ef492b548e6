"""A block by itself: its two terms, what each carries forward and backward."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from otoyol.probe.gradient import Passage
from otoyol.probe.place import Place, cosine, dot, norm, set_chance
from otoyol.probe.result import BlockFigures, Singular
from otoyol.probe.terms import after, branch_term, skip_term


def block_figures(place: Place, passage: Passage, jacobian: Singular | None) -> BlockFigures:
    """The figures of one block of a plain network, from what passed it in the whole network's pass."""
    block, (x, y) = place.module, (passage.x, passage.y)
    leaf = x.clone().requires_grad_()
    set_chance(x.device, passage.chance)
    branch = branch_term(block, leaf)
    set_chance(x.device, passage.chance)
    skip = skip_term(block, leaf)
    total = (branch if skip is None else branch + skip).detach().requires_grad_()
    grad_sum = _pull(after(block, total), total, passage.grad_y)
    through_branch = _pull(branch, leaf, grad_sum)
    through_skip = None if skip is None else _pull(skip, leaf, grad_sum)
    whole = through_branch if through_skip is None else through_branch + through_skip
    size = norm(whole)
    silent = not bool(branch.detach().any())
    return BlockFigures(
        name=place.name, stage=place.audit.stage, block=place.audit.block, pure=place.audit.pure,
        grad_in=norm(passage.grad_x), grad_out=norm(passage.grad_y),
        skip_grad=None if through_skip is None else norm(through_skip), branch_grad=norm(through_branch),
        skip_share=None if through_skip is None or not size else dot(through_skip, whole) / size**2,
        grad_cosine=None if through_skip is None else cosine(through_skip, through_branch),
        weight_grad=_norm_of(grad for grad in passage.grads.values() if grad.dim() > 1),
        weight_norm=_norm_of(p for p in block.parameters() if p.dim() > 1),
        mean_in=float(x.mean()), var_in=_variance(x), var_branch=_variance(branch),
        mean_out=float(y.mean()), var_out=_variance(y), cosine=cosine(x, y),
        silent=silent, dead=silent and not any(norm(grad) for grad in _branch_grads(passage)),
        jacobian=jacobian,
    )  # fmt: skip


def _branch_grads(passage: Passage) -> list[Tensor]:
    """Gradients of all that F is computed with."""
    return [grad for name, grad in passage.grads.items() if not name.startswith(("shortcut.", "post."))]


def _pull(y: Tensor, x: Tensor, grad_y: Tensor) -> Tensor:
    """grad_y · dy/dx; zeros where y does not depend on x."""
    if y is x:
        return grad_y
    if not y.requires_grad:
        return torch.zeros_like(x)
    (grad,) = torch.autograd.grad(y, x, grad_y, retain_graph=True, allow_unused=True)
    return torch.zeros_like(x) if grad is None else grad


def _variance(x: Tensor) -> float:
    return float(x.detach().double().var(correction=0))


def _norm_of(tensors: Iterable[Tensor]) -> float:
    return math.sqrt(sum(norm(tensor) ** 2 for tensor in tensors))
