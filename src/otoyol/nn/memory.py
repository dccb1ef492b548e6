"""memory_mode(model, mode): what training holds for backward, and what it computes again; what a GPU has free."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from otoyol.errors import SpecError
from otoyol.nn.block import ResidualBlock
from otoyol.nn.lean import unwatch, watch
from otoyol.nn.trunk import Trunk
from otoyol.ops.network import lower_stem, lower_tail
from otoyol.ops.op import Op
from otoyol.ops.recompute import MODES, ModeName, recomputed, segment_length


def memory_mode(model: Trunk, mode: ModeName | str) -> None:
    """Set how ``model`` trains from now on; gradients and running statistics stay the same, bit for bit.

    - ``standard``: plain autograd.
    - ``lean``: the outputs of norms and of the acts behind them are computed again in backward; no convolution is.
      Second derivatives work.
    - ``checkpoint``: only the input of every block is held, the block is run again. ``sqrt``: of about √n blocks in a
      row (Chen et al. 2016, 1604.06174, section 4.1). Second derivatives are refused (OtoyolError).
    - ``lean+checkpoint``, ``lean+sqrt``: both: stem and tail are lean, and so are the blocks while they run again.

    Under ``torch.compile`` every mode trains as ``standard`` does: hooks would break the compiler's graph, and its
    partitioner decides by itself what to compute again (``torch._functorch.config.activation_memory_budget``). The
    first training step that is compiled so warns of it.

    Parameters, buffers and their names stay. Raises SpecError for another mode.
    """
    if mode not in MODES:
        raise SpecError("memory", mode, ", ".join(MODES))
    lean, segments = MODES[mode]
    unwatch(model.modules())
    if lean:
        for layer in _lean_layers(model):
            watch(layer)
    model.memory, model.lean = mode, lean
    length = segment_length(sum(plan.depth for plan in model.spec.plan), segments)
    for stage in model.stages:
        stage.checkpointing, stage.lean = length, lean  # type: ignore[assignment]


def free_bytes() -> int:
    """What is free on the current GPU. Raises SpecError where torch sees none."""
    if not torch.cuda.is_available():
        raise SpecError("device", "cuda", "cpu: torch sees no GPU here")
    return torch.cuda.mem_get_info()[0]


def _lean_layers(model: Trunk) -> Iterator[nn.Module]:
    """The layers whose output is computed again, and the max-pool."""
    spec = model.spec
    yield from _named(model, lower_stem(spec))
    last = spec.plan[-1]
    yield from _named(model, lower_tail(spec, last.out, 1, 1))
    for module in model.modules():
        if isinstance(module, ResidualBlock):
            yield from (module.get_submodule(name) for name in module.again)


def _named(model: Trunk, ops: list[Op]) -> Iterator[nn.Module]:
    for op, again in zip(ops, recomputed(ops), strict=True):
        if again or op.kind == "maxpool":
            yield model.get_submodule(op.name)
