"""One forward and backward pass of the whole network, watched at every block."""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from otoyol.nn import Backbone
from otoyol.probe.place import chance, finite, places
from otoyol.probe.result import Problem


class Passage(NamedTuple):
    """What passed one block: its input and output, the loss's gradients at both, its parameters' gradients by name,
    and the random state in which it ran."""

    x: Tensor
    y: Tensor
    grad_x: Tensor
    grad_y: Tensor
    grads: dict[str, Tensor]
    chance: Tensor


class Pass(NamedTuple):
    """``passages`` is empty where ``problem`` is not None."""

    loss: float
    passages: tuple[Passage, ...]
    problem: Problem | None


def run_pass(model: Backbone, images: Tensor, labels: Tensor, step: int = 0) -> Pass:
    """Cross-entropy of ``model`` on a batch (N, C, H, W) and (N,), and its gradients at every block.

    Runs in the model's own mode and leaves gradients and moved buffers behind: give it a copy. Works under any way
    of saving memory in backward, for it watches nothing but blocks' inputs and the last output.
    """
    here = places(model)
    ends: list[Tensor] = []
    states: list[Tensor] = []
    watching = True

    def enter(_module: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if not watching:
            return None  # a block that runs again for backward
        x = arguments[0] if arguments[0].requires_grad else arguments[0].detach().requires_grad_()
        if not x.is_leaf:
            x.retain_grad()
        ends.append(x)
        states.append(chance(x.device))
        return (x, *arguments[1:])

    behind = model.head if model.final is None else model.final
    hooks = [module.register_forward_pre_hook(enter) for module in (*(place.module for place in here), behind)]
    try:
        logits = model(images)
        watching = False
        loss = F.cross_entropy(logits.flatten(1) if logits.dim() > 2 else logits, labels)
        problem = _forward_problem(model, images, ends, loss, step)
        if problem is not None:
            return Pass(float(loss.detach()), (), problem)
        loss.backward()
    finally:
        for hook in hooks:
            hook.remove()
    grads = [_grad(end) for end in ends]
    problem = next(
        (Problem("gradient", place.name, step) for place, grad in reversed(list(zip(here, grads, strict=False)))
         if not finite(grad)), None,
    )  # fmt: skip
    if problem is not None:
        return Pass(float(loss.detach()), (), problem)
    passages = tuple(
        Passage(
            ends[i].detach(), ends[i + 1].detach(), grads[i], grads[i + 1], _parameter_grads(place.module), states[i]
        )
        for i, place in enumerate(here)
    )
    return Pass(float(loss.detach()), passages, None)


def _grad(x: Tensor) -> Tensor:
    return x.new_zeros(x.shape) if x.grad is None else x.grad.detach()


def _parameter_grads(module: nn.Module) -> dict[str, Tensor]:
    return {name: _grad(parameter) for name, parameter in module.named_parameters()}


def _forward_problem(model: Backbone, images: Tensor, ends: list[Tensor], loss: Tensor, step: int) -> Problem | None:
    """The first thing that is not finite on the way from images to loss. Broken weights are named as such."""
    if not finite(images):
        return Problem("input", "images", step)
    here = places(model)
    stations = [("stem", model.stem, ends[0]), *((p.name, p.module, y) for p, y in zip(here, ends[1:], strict=True))]
    for name, module, y in stations:
        if not finite(y):
            broken = not all(finite(p) for p in module.parameters())
            return Problem("weight" if broken else "activation", name, step)
    return None if finite(loss) else Problem("loss", "head", step)
