"""Memory modes under DistributedDataParallel: two processes, gloo."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

from otoyol import nn as onn

TEXT = "resnetv2_18@depths=1-1,widths=8-16,head=3"
CHECKED = ("standard", "lean", "lean+checkpoint")


def worker(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    found = {}
    for mode in CHECKED:
        torch.manual_seed(0)
        model = onn.build(TEXT)
        onn.memory_mode(model, mode)
        parallel = DistributedDataParallel(model)
        x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(rank))
        for _ in range(2):
            parallel(x).square().mean().backward()
        found[mode] = [parameter.grad for parameter in model.parameters()] + list(model.buffers())
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_available() or not dist.is_gloo_available(), reason="torch without gloo")
def test_two_processes_agree_with_plain_training_and_with_each_other(tmp_path):
    mp.spawn(worker, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    weights = sum(1 for _ in onn.build(TEXT).parameters())
    for mode in CHECKED:
        for a, b in zip(first[mode], first["standard"], strict=True):
            assert torch.equal(a, b), mode
        for a, b in zip(first[mode][:weights], second[mode][:weights], strict=True):
            assert torch.equal(a, b)
