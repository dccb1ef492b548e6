"""Norms on the stream: sums are kept moved by a constant, so that scale and shift have nothing left to do.

A block of a pre-activation stage reads the sum x through scale s, shift t and a ReLU. With c = t / s and every s > 0,
relu(s x + t) = s relu(x + c): s goes into the columns of whatever reads the ReLU, and the sum is kept as x + c. The
next sum is x + F(x), whose reader wants c', so the bias of F's last convolution takes c' - c; where the shortcut is a
projection, which carries no constant, it takes c' whole. So does a stem's convolution, through a max pool too, where
the stream begins. All is read off the operators, nothing off block names; a norm
for which something does not hold stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as Names
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from otoyol.audit.fold import DROPS, readers
from otoyol.deploy.affine import AFFINE, affine, bare, read_by, replace
from otoyol.nn.trunk import Trunk
from otoyol.ops import INPUT, Op, lower

HOMOGENEOUS = {"relu", "leaky_relu"}  # f(s x) = s f(x) for every s > 0
# What a positive scale of every channel passes through unchanged; zeros that pad stay zeros.
SCALED = {"avgpool", "maxpool", "mean", "subsample", *DROPS}
# What a constant passes through unchanged.
PASSED = {"maxpool", *DROPS}
# A sum that is moved by many times its spread loses digits: 30 times costs one and a half of float32's seven.
FARTHEST = 30.0


def recentre(trunk: Trunk, taps: Names[str], folded: Names[str], stays: Names[str] = frozenset()) -> None:
    """Take away the norms behind additions that can go, in place. ``taps`` are the feature maps that must stay,
    ``folded`` the norms that convolutions have absorbed, ``stays`` norms that must not go."""
    network = lower(trunk.spec)
    kept = frozenset(tap.op for tap in network.taps if tap.name in taps)
    graph = Graph(trunk, network.ops, readers(network.ops), kept, folded, stays)
    moved: dict[int, Tensor] = {}
    for index, op in enumerate(graph.ops):
        if op.kind in ("add", "conv", "maxpool"):
            _move(graph, index, moved)


@dataclass(frozen=True)
class Graph:
    """``reads``: who reads each operator. ``kept``: operators whose output must stay what it is."""

    trunk: Trunk
    ops: Sequence[Op]
    reads: Sequence[Sequence[int]]
    kept: frozenset[int]
    folded: Names[str]
    stays: Names[str]

    def module(self, index: int) -> nn.Module:
        return self.trunk.get_submodule(self.ops[index].name)


@dataclass(frozen=True)
class Reader:
    """A norm that can go: its activation, the layers that take its scale, and where it wants the sum."""

    norm: int
    act: int
    takers: tuple[int, ...]
    scale: Tensor
    centre: Tensor


def _move(graph: Graph, index: int, moved: dict[int, Tensor]) -> None:
    """Move one tensor of the stream to where its reader wants it; ``moved`` holds how far the earlier ones are."""
    before = [moved[source] for source in graph.ops[index].inputs if source in moved]
    here = torch.stack(before).sum(0) if before else torch.zeros(())
    writer = _writer(graph, index)
    found = _reader(graph, index) if writer is not None and _free(graph, index) else None
    if found is None and not before:
        return
    if writer is not None:
        centre = torch.zeros_like(here) if found is None else found.centre
        _add_bias(graph.module(writer), centre - here.to(centre.device))
        here = centre
    if found is not None:
        _remove(graph, found)
    elif writer is not None:
        return  # moved back
    moved[index] = here
    for reader in graph.reads[index]:
        if graph.ops[reader].kind == "norm" and isinstance(graph.module(reader), AFFINE):
            _shift(graph, reader, here)


def _free(graph: Graph, index: int) -> bool:
    """Whether a tensor may move: norms read it, which can be told, and sums that move along or move it back."""
    if index in graph.kept or not graph.reads[index]:
        return False
    for reader in graph.reads[index]:
        op = graph.ops[reader]
        if op.kind == "norm":
            if op.name in graph.folded or not isinstance(graph.module(reader), AFFINE):
                return False
        elif op.kind != "add" or (_writer(graph, reader) is None and not _free(graph, reader)):
            return False
    return True


def _writer(graph: Graph, index: int) -> int | None:
    """A convolution whose bias goes into this tensor of the stream and nowhere else; that may be its own output."""
    if graph.ops[index].kind == "conv":
        return index
    for source in graph.ops[index].inputs:
        at = source
        while at != INPUT and len(graph.reads[at]) == 1 and at not in graph.kept:
            op = graph.ops[at]
            if op.kind == "conv":
                return at
            if op.kind not in PASSED and op.name not in graph.folded:
                break
            at = op.inputs[0]
    return None


def _reader(graph: Graph, index: int) -> Reader | None:
    """The first norm that reads a sum and can go."""
    for norm in graph.reads[index]:
        if graph.ops[norm].kind != "norm" or graph.ops[norm].name in graph.stays or norm in graph.kept:
            continue
        if len(graph.reads[norm]) != 1:
            continue
        act = graph.reads[norm][0]
        if graph.ops[act].kind != "act" or graph.ops[act].detail not in HOMOGENEOUS:
            continue
        takers = _takers(graph, act)
        module: Any = graph.module(norm)
        scale, shift = affine(module, graph.ops[norm].name)
        if takers is None or not bool((scale > 0).all()):
            continue
        centre = shift / scale
        spread = module.running_mean.double().abs() + (module.running_var.double() + module.eps).sqrt()
        if bool((centre.abs() <= FARTHEST * spread).all()):
            return Reader(norm, act, takers, scale, centre)
    return None


def _takers(graph: Graph, index: int) -> tuple[int, ...] | None:
    """Every layer behind ``index`` that can take a scale of its channels; None where something else is there."""
    if index in graph.kept or not graph.reads[index]:
        return None
    found: list[int] = []
    for reader in graph.reads[index]:
        op = graph.ops[reader]
        if op.kind in ("conv", "linear"):
            found.append(reader)
            continue
        more = _takers(graph, reader) if op.kind in SCALED or op.name in graph.folded else None
        if more is None:
            return None
        found += more
    return tuple(found)


def _remove(graph: Graph, reader: Reader) -> None:
    for taker in reader.takers:
        layer = cast("nn.Conv2d | nn.Linear", graph.module(taker))
        weight = layer.weight.double()
        read = read_by(weight, len(reader.scale))
        weight = weight * reader.scale[read].view(*read.shape, *[1] * (weight.dim() - 2))
        layer.weight = nn.Parameter(weight.to(layer.weight.dtype))
    act = graph.module(reader.act)
    if isinstance(act, nn.ReLU | nn.LeakyReLU):
        act.inplace = False  # what it reads is now the sum itself, which the shortcut reads too
    replace(graph.trunk, graph.ops[reader.norm].name, nn.Identity())


def _add_bias(layer: nn.Module, change: Tensor) -> None:
    conv = cast(nn.Conv2d, layer)
    bias = change if conv.bias is None else conv.bias.double() + change
    conv.bias = nn.Parameter(bias.to(conv.weight.dtype))


def _shift(graph: Graph, norm: int, centre: Tensor) -> None:
    """A norm that stays reads a sum that has moved: s x + t = s (x + c) + (t - s c)."""
    name = graph.ops[norm].name
    scale, shift = affine(graph.module(norm), name)
    still = bare(graph.module(norm), name)
    cast(Tensor, still.bias).copy_(shift - scale * centre)
    replace(graph.trunk, name, still)
