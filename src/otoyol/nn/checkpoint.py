"""Segments of blocks that are run again in backward, holding nothing but their input.

Unlike torch's checkpoint it moves batch norm's running statistics once (the second run has none), the second run is in
the mode of the first whatever ``train`` or ``eval`` was called in between, and it may train leanly: torch's holds what
the second run saves through hooks of its own, which nest with no others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import get_device_states, set_device_states

from otoyol.errors import OtoyolError
from otoyol.nn.lean import tape


def checkpointed(blocks: Sequence[nn.Module], x: Tensor, preacted: Tensor | None, lean: bool) -> Tensor:
    """The blocks one after the other, holding only the arguments for backward. ``lean``: also while they run again.

    Refuses second derivatives (OtoyolError).
    """
    # Each once, where blocks share some: each of the arguments gets the whole gradient.
    weights = dict.fromkeys(weight for block in blocks for weight in block.parameters() if weight.requires_grad)
    return _Segment.apply(blocks, lean, x, preacted, *weights)


def _run(blocks: Sequence[nn.Module], x: Tensor, preacted: Tensor | None = None) -> Tensor:
    for block in blocks:
        x = block(x, preacted)
        preacted = None
    return x


class _Segment(torch.autograd.Function):
    """The weights are arguments, so that their gradients arrive as any others do: DDP and hooks see them."""

    @staticmethod
    def forward(
        ctx: Any, blocks: Sequence[nn.Module], lean: bool, x: Tensor, preacted: Tensor | None, *weights: Tensor
    ) -> Tensor:
        ctx.blocks, ctx.lean = blocks, lean
        ctx.cpu = torch.get_rng_state()
        ctx.devices = get_device_states(x)
        ctx.autocast = [
            (kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind)) for kind in {"cpu", x.device.type}
        ]
        ctx.modes = [(module, module.training) for block in blocks for module in block.modules()]
        ctx.save_for_backward(x, preacted, *weights)
        return _run(blocks, x, preacted)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        if torch.is_grad_enabled():
            raise OtoyolError(
                "a second derivative through checkpointed blocks: they are run again without a graph of their own; "
                "use memory_mode(model, 'lean') or 'standard'"
            )
        x, preacted, *weights = ctx.saved_tensors
        with ExitStack() as stack:
            stack.enter_context(_random_states(x, ctx.cpu, ctx.devices))
            stack.enter_context(_modes(ctx.modes))
            stack.enter_context(_statistics_kept(ctx.blocks))
            stack.enter_context(torch.enable_grad())
            for state in ctx.autocast:
                stack.enter_context(torch.autocast(*state))
            arguments: list[Any] = [
                None if a is None else a.detach().requires_grad_(a.requires_grad) for a in (x, preacted)
            ]
            with tape(ctx.lean, x):
                # The graph alone: what the segment puts out is nobody's but its own.
                edge = torch.autograd.graph.get_gradient_edge(_run(ctx.blocks, *arguments))
        tensors = [*arguments, *weights]
        wanted = [i for i, need in enumerate(ctx.needs_input_grad[2:]) if need]
        grads = torch.autograd.grad(edge, [tensors[i] for i in wanted], grad, allow_unused=True)
        found: list[Tensor | None] = [None] * len(tensors)
        for i, value in zip(wanted, grads, strict=True):
            found[i] = value
        return (None, None, *found)


@contextmanager
def _random_states(x: Tensor, cpu: Tensor, devices: tuple[list[int], list[Tensor]]) -> Iterator[None]:
    """The random numbers of the first run again; afterwards, as if nothing had been drawn."""
    kind = x.device.type
    with torch.random.fork_rng(devices[0], device_type="cuda" if kind == "cpu" else kind):
        torch.set_rng_state(cpu)
        if devices[0]:
            set_device_states(*devices, device_type=kind)
        yield


@contextmanager
def _modes(first: Sequence[tuple[nn.Module, bool]]) -> Iterator[None]:
    """The modules train, or do not, as in the first run; afterwards as before. Set one by one: ``train`` would pass
    its answer on to the children, which may differ, as a frozen norm does."""
    now = [(module, module.training) for module, _ in first]
    for module, training in first:
        module.training = training
    try:
        yield
    finally:
        for module, training in now:
            module.training = training


@contextmanager
def _statistics_kept(blocks: Sequence[nn.Module]) -> Iterator[None]:
    """Batch norms that train neither read nor move their running statistics."""
    norms = [
        norm
        for block in blocks
        for norm in block.modules()
        if isinstance(norm, _BatchNorm) and norm.training and norm.track_running_stats
    ]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
