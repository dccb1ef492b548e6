"""The network that is measured: a copy of the caller's, its blocks in order, and a guard around the random state."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from otoyol.audit import highway
from otoyol.audit.highway import BlockAudit
from otoyol.nn import Backbone, ResidualBlock, memory_mode


class Place(NamedTuple):
    """One block: its module path, its module, what the audit says of it."""

    name: str
    module: ResidualBlock
    audit: BlockAudit


def places(model: Backbone) -> tuple[Place, ...]:
    """Every block in order."""
    audits = highway(model.spec).blocks
    names = [f"stages.{audit.stage}.{audit.block}" for audit in audits]
    modules = [block for stage in model.stages for block in stage.children()]
    return tuple(Place(*found) for found in zip(names, modules, audits, strict=True))  # type: ignore[arg-type]


def copied(model: Backbone) -> Backbone:
    """The same network with the same weights, buffers and modes, and no gradients.

    It saves memory as the caller's does, but in segments of one block at most: within longer ones no gradient can be
    watched.
    """
    twin = copy.deepcopy(model)
    twin.zero_grad(set_to_none=True)
    if "sqrt" in twin.memory:
        memory_mode(twin, twin.memory.replace("sqrt", "checkpoint"))
    return twin


def plain(model: Backbone) -> Backbone:
    """A copy under plain autograd, whatever the caller saves memory with."""
    twin = copied(model)
    memory_mode(twin, "standard")
    return twin


@contextmanager
def same_chance(device: torch.device) -> Iterator[None]:
    """Random state as before, afterwards; and gradients wanted, whatever the caller's context."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices), torch.enable_grad():
        yield


def chance(device: torch.device) -> Tensor:
    """The state of the generator that dropout draws from."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def set_chance(device: torch.device, state: Tensor) -> None:
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)


def norm(x: Tensor) -> float:
    """The Euclidean norm over everything, summed in float64."""
    return float(torch.linalg.vector_norm(x.detach(), dtype=torch.float64))


def dot(x: Tensor, y: Tensor) -> float:
    return float((x.detach().double() * y.detach().double()).sum())


def cosine(x: Tensor, y: Tensor) -> float | None:
    """None where a vector is zero or the shapes differ."""
    if x.shape != y.shape:
        return None
    size = norm(x) * norm(y)
    return dot(x, y) / size if size > 0 else None


def finite(x: Tensor) -> bool:
    return bool(torch.isfinite(x.detach()).all())


def weights(module: nn.Module) -> list[nn.Parameter]:
    """Convolutions' and linear layers' weights: parameters of two dimensions or more."""
    return [parameter for parameter in module.parameters() if parameter.dim() > 1]
