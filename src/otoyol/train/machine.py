"""Devices, ranks and precision, by Lightning Fabric: one process here, or those that torchrun has started."""

from __future__ import annotations

import ctypes
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from otoyol.errors import MissingExtraError, OtoyolError, SpecError
from otoyol.nn import memory_mode
from otoyol.nn.trunk import Trunk
from otoyol.train.config import Recipe, Run
from otoyol.train.rendezvous import agree
from otoyol.train.sharded import shard

try:
    from lightning_fabric import Fabric
    from lightning_fabric.plugins import DoublePrecision, MixedPrecision
    from lightning_fabric.strategies import DDPStrategy, ModelParallelStrategy, Strategy
except ModuleNotFoundError as error:
    raise MissingExtraError("pytorch-lightning", "train") from error


class Autocast(MixedPrecision):
    """Mixed precision that leaves inputs to autocast: Lightning's would cast boxes to 8 bits of mantissa as well."""

    def convert_input(self, data: Any) -> Any:
        return data


class Double(DoublePrecision):
    """Doubles that stay so: Lightning's hands the loss logits of 24 bits of mantissa."""

    def convert_output(self, data: Any) -> Any:
        return data


def connect(run: Run, recipe: Recipe) -> Fabric:
    """The engine for this process, its process group joined. Raises SpecError for a device that is not there."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", str(world)))
    device = find_device(run.device)
    if recipe.precision == "16-mixed" and device.type == "cpu":
        raise SpecError("recipe.precision", recipe.precision, "bf16-mixed or 32-true on a CPU")
    precision: dict[str, Any] = {"precision": recipe.precision}
    if recipe.precision in ("bf16-mixed", "16-mixed"):
        precision = {"plugins": [Autocast(recipe.precision, device.type)]}
    elif recipe.precision == "64-true":
        precision = {"plugins": [Double()]}
    devices: Any = local if world > 1 or device.index is None else [device.index]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the number of CPU processes and the like
        fabric = Fabric(
            accelerator=device.type, devices=devices if device.type != "cpu" or world > 1 else 1,
            num_nodes=max(1, world // local), **precision,
            strategy=_strategy(run, world) if world > 1 else "auto",
        )  # fmt: skip
        _join(world, device.type)
        fabric.launch()
    return fabric


def _strategy(run: Run, world: int) -> Strategy:
    """Ranks that each hold the model, or shards of it. Either leaves running statistics to each rank; they are
    broadcast to be judged by (judge.py): at each step, ranks would wait for one another."""
    if run.strategy == "ddp":
        return DDPStrategy(broadcast_buffers=False)
    return ModelParallelStrategy(shard, data_parallel_size=world, tensor_parallel_size=1)


def _join(world: int, kind: str) -> None:
    """Join the group that torchrun has started, in a part of its store that belongs to this attempt alone.

    Its agent keeps one store for all attempts (torch 2.14, ``rendezvous._create_c10d_store``): after a restart a fast
    process finds the address of a dead one there, and waits for it in vain. Fabric takes the group as it is.
    """
    if world == 1 or os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True" or torch.distributed.is_initialized():
        return
    host, port, rank = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), int(os.environ["RANK"])
    try:
        store = torch.distributed.TCPStore(host, port, world, is_master=False, wait_for_workers=False)
        own = torch.distributed.PrefixStore(agree(store, rank, world), store)
    except torch.distributed.DistError as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise OtoyolError(f"ranks: torchrun's store at {host}:{port} does not answer ({said})") from None
    device = torch.device(kind, int(os.environ["LOCAL_RANK"])) if kind != "cpu" else None
    torch.distributed.init_process_group(
        torch.distributed.get_default_backend_for_device(kind), store=own, rank=rank, world_size=world,
        device_id=device,
    )  # fmt: skip


def find_device(name: str | None) -> torch.device:
    """torch's device of that name, by default a GPU where there is one. Raises SpecError where it is not here."""
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(1, dtype=torch.float64, device=device)  # sums of losses and figures are kept in it
    except (RuntimeError, AssertionError, TypeError) as error:
        said = str(error).splitlines()[0]
        raise SpecError("run.device", name, f"a device that torch has here, such as cpu or cuda ({said})") from None
    return device


@contextmanager
def settings(run: Run) -> Iterator[None]:
    """torch's threads and determinism as the run wants them, freed memory kept at hand; all as it was afterwards, but
    for what cuBLAS is told."""
    threads = torch.get_num_threads()
    modes = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    try:
        if run.threads is not None:
            torch.set_num_threads(run.threads)
        if torch.cuda.is_available():
            if run.deterministic:  # cuBLAS reads it once, at its first use; without it, sums may differ between runs
                os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(run.deterministic, warn_only=True)
            torch.backends.cudnn.benchmark = not run.deterministic
        with _kept_memory():
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(modes[0], warn_only=modes[1])
        torch.backends.cudnn.benchmark = benchmark


# malloc.h: of how many free bytes on, the end of the heap goes back to the system; of how many on, a piece lies outside
# the heap. The second is as high as glibc allows.
TRIM_THRESHOLD, MMAP_THRESHOLD, USUALLY, MOST = -1, -3, 128 << 10, 32 << 20


@contextmanager
def _kept_memory() -> Iterator[None]:
    """What a step frees stays with the process for the next one. By itself glibc gives back hundreds of megabytes after
    each, and the system zeroes them anew, page by page."""
    libc: Any = ctypes.CDLL(None) if sys.platform == "linux" else None
    if not hasattr(libc, "mallopt"):  # another library than glibc
        yield
        return
    libc.mallopt(MMAP_THRESHOLD, MOST)
    libc.mallopt(TRIM_THRESHOLD, -1)
    try:
        yield
    finally:
        libc.mallopt(TRIM_THRESHOLD, USUALLY)
        libc.malloc_trim(0)


def prepared_model(model: nn.Module, run: Run, fabric: Fabric) -> nn.Module:
    """The model as it will train: memory mode, layout, synchronised norms. Raises SpecError."""
    if run.sync_batch_norm and fabric.world_size > 1:
        if fabric.device.type == "cpu":
            raise SpecError(
                "run.sync_batch_norm", True, "false on CPUs, where torch has none; group norm is exact there"
            )
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    trunks = [module for module in model.modules() if isinstance(module, Trunk)]
    if run.memory != "standard" and not trunks:
        raise SpecError("run.memory", run.memory, "standard, for this model has no trunk of ours")
    for trunk in trunks:
        memory_mode(trunk, run.memory)
    return model.to(memory_format=torch.channels_last) if run.channels_last else model


def laid_out(batch: Any, channels_last: bool) -> Any:
    """The batch with its images (every four-dimensional tensor) in the layout of the model."""
    if not channels_last:
        return batch
    if isinstance(batch, torch.Tensor):
        return batch.contiguous(memory_format=torch.channels_last) if batch.ndim == 4 else batch
    if isinstance(batch, dict):
        return {key: laid_out(value, True) for key, value in batch.items()}
    if isinstance(batch, list | tuple):
        found = [laid_out(value, True) for value in batch]
        return type(batch)(*found) if hasattr(batch, "_fields") else type(batch)(found)
    return batch


def gathered(fabric: Fabric, value: Any) -> list[Any] | None:
    """Every rank's ``value`` on rank 0, None elsewhere."""
    if fabric.world_size == 1:
        return [value]
    found: list[Any] | None = [None] * fabric.world_size if fabric.global_rank == 0 else None
    torch.distributed.gather_object(value, found, dst=0)
    return found


def everyone(fabric: Fabric, value: Any) -> list[Any]:
    """Every rank's ``value``, by rank, on every rank."""
    if fabric.world_size == 1:
        return [value]
    found: list[Any] = [None] * fabric.world_size
    torch.distributed.all_gather_object(found, value)
    return found


def agreed(fabric: Fabric, what: Any, field: str) -> None:
    """Raises OtoyolError on every rank where not all have the same ``what``."""
    found = everyone(fabric, what)
    if odd := [rank for rank, other in enumerate(found) if other != found[0]]:
        raise OtoyolError(f"{field}: rank {odd[0]} has {_short(found[odd[0]])}, rank 0 has {_short(found[0])}")


def _short(value: Any, most: int = 200) -> str:
    return str(value)[:most]


def share_buffers(fabric: Fabric, model: nn.Module) -> None:
    """The first rank's buffers on every rank: its running statistics are the run's, as they are what is saved."""
    if fabric.world_size > 1:
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, src=0)


def total(fabric: Fabric, values: torch.Tensor) -> Sequence[float]:
    """The sum over all ranks, as numbers."""
    summed: Any = fabric.all_reduce(values, reduce_op="sum") if fabric.world_size > 1 else values
    found: list[float] = summed.tolist()
    return found
