"""Lean training: what a norm or an act puts out is computed again in backward, from what the norm holds anyway.

Autograd saves tensors through hooks. While a :class:`Tape` is open, a tensor that a norm or an act has put out is
saved as a :class:`Recipe`, and a max-pool's input and winners as their shape and as short distances; everything else
is saved as it is. Operators, their order and their kernels stay the same, so gradients are those of plain autograd,
bit for bit, and a second derivative is too. See docs/decisions for the alternatives.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial
from types import TracebackType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef

from otoyol.errors import OtoyolError
from otoyol.ops.recompute import WIDEST_POOLED

Step = Callable[[Tensor], Tensor]
# Where the backward of a max-pool reads nothing of its input but the shape.
SHAPE_SUFFICES = frozenset({"cpu", "cuda"})


class _Active(threading.local):
    tape: Tape | None = None


_ACTIVE = _Active()


class Kept:
    """A tensor saved as it is. Autograd checks no versions of what hooks have packed, so this does."""

    __slots__ = ("tensor", "version")

    def __init__(self, tensor: Tensor) -> None:
        self.tensor, self.version = tensor, tensor._version

    def value(self) -> Tensor:
        if self.tensor._version != self.version:
            shape = list(self.tensor.shape)
            raise OtoyolError(
                f"a tensor of shape {shape} that backward needs was changed in place: "
                f"version {self.version} was saved, it is {self.tensor._version} now"
            )
        return self.tensor

    take = value


class Recipe:
    """A tensor saved as the steps that make it from its source. What several readers share is made once."""

    __slots__ = ("autocast", "found", "reads", "seen", "shape", "source", "steps", "storage", "stride", "version")

    def __init__(self, source: Kept | Recipe, step: Step, made: Tensor) -> None:
        self.source, self.steps, self.found = source, [step], None
        self.reads = self.seen = 0
        self.shape, self.stride, self.version = made.shape, made.stride(), made._version
        # A weak reference keeps the storage's address from being given to another one.
        self.storage = StorageWeakRef(made.untyped_storage())
        kind = made.device.type
        self.autocast = (kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind))

    found: Tensor | None

    def makes(self, tensor: Tensor) -> bool:
        return tensor._version == self.version and tensor.shape == self.shape and tensor.stride() == self.stride

    def value(self) -> Tensor:
        if self.found is not None:
            return self.found
        made = self.source.value()
        kind, dtype, enabled = self.autocast
        if enabled == torch.is_autocast_enabled(kind) and not (enabled or torch.is_grad_enabled()):  # the usual case
            for step in self.steps:
                made = step(made)
        else:
            with torch.no_grad(), torch.autocast(kind, dtype, enabled, cache_enabled=False):
                for step in self.steps:
                    made = step(made)
        if self.reads:
            self.found = made
        return made

    def take(self) -> Tensor:
        """The value for one reader; the last one lets go of it."""
        made = self.value()
        self.seen += 1
        if self.seen >= self.reads:
            self.found, self.seen = None, 0
        return made


class Shape:
    """A tensor of which only shape and memory format matter."""

    __slots__ = ("device", "dtype", "shape", "stride")

    def __init__(self, tensor: Tensor) -> None:
        self.shape, self.stride, self.dtype, self.device = tensor.shape, tensor.stride(), tensor.dtype, tensor.device

    def take(self) -> Tensor:
        return torch.empty_strided(self.shape, self.stride, dtype=self.dtype, device=self.device)


class Winners:
    """A max-pool's winners, as distances from the middles of their windows."""

    __slots__ = ("distance", "middles")

    def __init__(self, indices: Tensor, middles: Callable[[], Tensor]) -> None:
        self.middles = middles
        self.distance = torch.empty_like(indices, dtype=torch.int16)
        torch.sub(indices, middles(), out=self.distance)

    def take(self) -> Tensor:
        return self.distance.to(torch.int64).add_(self.middles())


class Tape(AbstractContextManager[None]):
    """While it is open, autograd of this thread saves leanly what the layers of :func:`watch` put out."""

    def __init__(self) -> None:
        self.recipes: dict[int, Recipe] = {}
        self.pooled: tuple[nn.MaxPool2d, Tensor] | None = None
        self.hooks = torch.autograd.graph.saved_tensors_hooks(self.pack, lambda saved: saved.take())

    def __enter__(self) -> None:
        self.outer, _ACTIVE.tape = _ACTIVE.tape, self
        self.hooks.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hooks.__exit__(kind, error, trace)
        _ACTIVE.tape = self.outer
        self.recipes.clear()  # the hooks and the tape know each other: only the collector would let go of tensors

    def pack(self, tensor: Tensor) -> Kept | Recipe | Shape | Winners:
        if self.pooled is not None:
            pool, x = self.pooled
            if tensor.dtype is torch.int64:
                return Winners(tensor, partial(_middles, pool, x.shape, tensor.shape, tensor.device))
            if tensor is x:
                return Shape(tensor)
        recipe = None if tensor.dim() == 1 else self.recipe(tensor)  # most of what is saved are gains and statistics
        if recipe is None:
            return Kept(tensor)
        recipe.reads += 1
        return recipe

    def recipe(self, tensor: Tensor) -> Recipe | None:
        """How the tensor can be made again, if it can."""
        found = self.recipes.get(tensor.untyped_storage()._cdata)
        return found if found is not None and found.makes(tensor) else None

    def note(self, source: Tensor, step: Step, made: Tensor) -> None:
        recipe = Recipe(self.recipe(source) or Kept(source), step, made)
        self.recipes[made.untyped_storage()._cdata] = recipe


def tape(wanted: bool, x: Tensor) -> AbstractContextManager[None]:
    """A tape where it is wanted and autograd records; FX and compilers see the plain network."""
    if not wanted or not torch.is_grad_enabled() or compiling() or not isinstance(x, Tensor):
        return nullcontext()
    return Tape()


def compiling() -> bool:
    """Whether a compiler reads the network that is to be trained in another mode than ``standard``: then no mode
    holds, and the first time a warning says so.

    ``torch.compile`` decides by itself what to compute again (its partitioner), and hooks would break its graph.
    """
    if torch.compiler.is_dynamo_compiling() and not torch.compiler.is_exporting() and torch.is_grad_enabled():
        _say_compiled()
    return torch.compiler.is_compiling()


@torch.compiler.assume_constant_result  # run while the graph is made, and no part of it
def _say_compiled() -> None:
    _warn_once()


@cache
def _warn_once() -> None:
    warnings.warn(
        "under torch.compile the memory mode is 'standard': the saving modes' hooks would break the compiler's graph, "
        "and it decides by itself what to compute again; to save memory train without compile, or set "
        "torch._functorch.config.activation_memory_budget",
        stacklevel=1,  # the frames above are the compiler's
    )


def watch(layer: nn.Module) -> None:
    """Have a norm, an act or a max-pool tell the open tape what it puts out."""
    before, after = _hooks(layer)
    if before is not None:
        layer.register_forward_pre_hook(before)
    if after is not None:
        layer.register_forward_hook(after)


def unwatch(layers: Iterable[nn.Module]) -> None:
    """Undo :func:`watch`. A module's copy has hooks but no handles of its own: hooks are told by what they are."""
    for layer in layers:
        for hooks in (layer._forward_pre_hooks, layer._forward_hooks):
            for key in [key for key, hook in hooks.items() if hook in _OURS]:
                del hooks[key]


def _hooks(layer: nn.Module) -> tuple[Callable[..., None] | None, Callable[..., None] | None]:
    if isinstance(layer, nn.BatchNorm2d | nn.GroupNorm):
        return None, _after_norm
    if isinstance(layer, nn.SyncBatchNorm):  # again, it would ask the other ranks and move its statistics twice
        return None, None
    return (_before_pool, _after_pool) if isinstance(layer, nn.MaxPool2d) else (_before_act, _after_act)


def _open() -> Tape | None:
    return None if torch.compiler.is_compiling() else _ACTIVE.tape


def _after_norm(norm: nn.BatchNorm2d | nn.GroupNorm, args: tuple[Any, ...], y: Tensor) -> None:
    tape = _open()
    if tape is not None and y.requires_grad:
        tape.note(args[0], _norm_again(norm, y), y)


def _before_act(act: nn.Module, args: tuple[Any, ...]) -> None:
    """An act in place: the recipe of what it overwrites makes its output from now on."""
    tape = _open()
    recipe = tape.recipe(args[0]) if tape is not None and getattr(act, "inplace", False) else None
    if recipe is not None:
        recipe.steps.append(act.forward)
        recipe.version += 1


def _after_act(act: nn.Module, args: tuple[Any, ...], y: Tensor) -> None:
    """An act that holds its input: its output follows from it. A ReLU holds its output."""
    tape = _open()
    if tape is not None and y.requires_grad and not isinstance(act, nn.ReLU) and not getattr(act, "inplace", False):
        tape.note(args[0], act.forward, y)


def _before_pool(pool: nn.MaxPool2d, args: tuple[Any, ...]) -> None:
    tape, x = _open(), args[0]
    if tape is not None and x.device.type in SHAPE_SUFFICES and x.shape[-1] <= WIDEST_POOLED:
        tape.pooled = pool, x


def _after_pool(pool: nn.MaxPool2d, args: tuple[Any, ...], y: Tensor) -> None:
    del pool, args, y
    tape = _open()
    if tape is not None:
        tape.pooled = None


_OURS = frozenset({_after_norm, _before_act, _after_act, _before_pool, _after_pool})


def _norm_again(norm: nn.BatchNorm2d | nn.GroupNorm, y: Tensor) -> Step:
    weight, bias = Kept(norm.weight), Kept(norm.bias)
    if isinstance(norm, nn.GroupNorm):
        return lambda x: F.group_norm(x, norm.num_groups, weight.value(), bias.value(), norm.eps)
    if not norm.training:
        mean, var = Kept(norm.running_mean), Kept(norm.running_var)  # type: ignore[arg-type]
        return lambda x: F.batch_norm(x, mean.value(), var.value(), weight.value(), bias.value(), False, 0.0, norm.eps)
    node: Any = y.grad_fn
    if y.device.type == "cpu" and type(node).__name__ == "NativeBatchNormBackward0":
        return partial(_normalise, weight, bias, node._saved_result1, node._saved_result2)
    # The batch's statistics once more: nothing is asked of the running ones, and nothing added to them.
    return lambda x: F.batch_norm(x, None, None, weight.value(), bias.value(), True, 0.0, norm.eps)


def _normalise(weight: Kept, bias: Kept, mean: Tensor, scale: Tensor, x: Tensor) -> Tensor:
    """Batch norm with the batch's mean and 1/σ as saved. Torch's kernel multiplies gain and 1/σ first, in evaluation
    as in training: with 1/σ in the gain and a variance of 1 it gives the same bits, without a pass for statistics."""
    gain = weight.value() * scale
    return torch.native_batch_norm(x, gain, bias.value(), mean, torch.ones_like(mean), False, 0.0, 0.0)[0]


def _middles(pool: nn.MaxPool2d, size: torch.Size, pooled: torch.Size, device: torch.device) -> Tensor:
    """The index of every window's middle pixel, (H', W')."""
    stride = pool.stride if isinstance(pool.stride, int) else pool.stride[0]
    rows = torch.arange(pooled[-2], device=device) * (stride * size[-1])
    return rows[:, None] + torch.arange(pooled[-1], device=device) * stride
