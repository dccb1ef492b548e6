"""Parameters in shards, of which each rank keeps one (FSDP2): parted, whole again for a file, whole on every rank.

A sharded tensor says so itself, by its type; where there is none, each function here hands back what it was given. So
the engine asks the same of any strategy, and files of a sharded run are those of any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from otoyol.errors import OtoyolError
from otoyol.nn import FeatureBackbone
from otoyol.nn.trunk import Trunk


def shard(model: nn.Module, mesh: DeviceMesh) -> nn.Module:
    """Part the model's parameters over the ranks of ``mesh``, along their first dimension. A stage is gathered for its
    own passes alone, what stands in no stage for the whole step. Buffers stay whole.

    The weights are the first rank's, as with DDP.
    """
    ranks = mesh["data_parallel"]
    for value in model.state_dict().values():
        sent = value.to(mesh.device_type)  # which alone NCCL sends from
        torch.distributed.broadcast(sent, src=0)
        value.copy_(sent)
    for trunk in [module for module in model.modules() if isinstance(module, Trunk)]:
        for index, stage in enumerate(trunk.stages):
            if isinstance(trunk, FeatureBackbone) and trunk.taps_preact(index):
                fully_shard(stage[0].preact, mesh=ranks, reshard_after_forward=True)  # type: ignore[index]
            fully_shard(stage, mesh=ranks, reshard_after_forward=True)
    fully_shard(model, mesh=ranks, reshard_after_forward=False)
    return model


@contextmanager
def together(model: nn.Module) -> Iterator[None]:
    """Inside, every rank holds all parameters, and passes of its own that no other rank takes part in, without
    gradients. All ranks enter, each leaves by itself; values that change inside are lost."""
    parts = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for part in parts:
        part.unshard()
        part.set_reshard_after_forward(False, recurse=False)
    try:
        yield
    finally:
        for part in parts:
            part.reshard()
            part.set_reshard_after_forward(part is not model, recurse=False)


def whole(value: Tensor) -> Tensor:
    """A sharded tensor with the other ranks' shards, or partial sums, in it. All ranks ask."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def own(value: Tensor) -> Tensor:
    """This rank's shard, in the same memory."""
    return value.to_local() if isinstance(value, DTensor) else value


def assembled(values: Any, keep: bool) -> Any:
    """Mappings and lists with every sharded tensor in them whole and on the CPU. All ranks ask, in one order; one that
    does not ``keep`` what it gets is left with its shards."""
    if isinstance(values, DTensor):
        found = values.full_tensor()
        return found.cpu() if keep else values
    if isinstance(values, dict):
        return {name: assembled(value, keep) for name, value in values.items()}
    return [assembled(value, keep) for value in values] if isinstance(values, list) else values


def parted(value: Tensor, like: Tensor) -> Tensor:
    """This rank's shard of a whole ``value`` that every rank has, where ``like`` is sharded."""
    if not isinstance(like, DTensor):
        return value
    moved = value.to(like.device)
    return distribute_tensor(moved, like.device_mesh, like.placements, src_data_rank=None)


def parted_state(values: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """A whole state dict as :meth:`~torch.nn.Module.load_state_dict` of ``model`` takes it."""
    live = model.state_dict()
    return {name: parted(value, live[name]) if name in live else value for name, value in values.items()}


def parted_optimiser(state: dict[str, Any], optimiser: torch.optim.Optimizer) -> dict[str, Any]:
    """A whole optimiser's state as ``optimiser`` takes it: what has a parameter's shape is parted as that is.

    Raises OtoyolError where it is that of another number of parameters.
    """
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    saved = sum(len(group["params"]) for group in state["param_groups"])
    if saved != len(parameters):  # as when an earlier release let others learn
        raise OtoyolError(
            f"checkpoints: {saved} parameters learnt until here, now there are {len(parameters)}; "
            "another folder (--out) starts anew"
        )
    kept = {
        number: {
            name: parted(value, parameters[number])
            if isinstance(value, Tensor) and value.shape == parameters[number].shape else value
            for name, value in values.items()
        }
        for number, values in state["state"].items()
    }  # fmt: skip
    return {**state, "state": kept}
