"""Batches without end, in an order that a seed decides."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from otoyol.data.images import Images
from otoyol.errors import SpecError


def batches(images: Images, size: int, *, seed: int = 0, workers: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    """(images (N, C, H, W), labels (N,)) of ``size`` samples, epoch after epoch, without end.

    The order of an epoch follows from ``seed`` and the epoch's number alone. What does not fill a batch at the end of
    an epoch is left to the next ones. Raises SpecError where there are fewer samples than ``size``.
    """
    if not 1 <= size <= len(images):
        raise SpecError("batch", size, f"from 1 to {len(images)}, the number of images for training")
    return _epochs(images, size, seed, workers)


def _epochs(images: Images, size: int, seed: int, workers: int) -> Iterator[tuple[Tensor, Tensor]]:
    epoch = 0
    while True:
        whole = torch.tensor(order(len(images), seed, epoch)[: len(images) // size * size])
        yield from DataLoader(
            images, batch_sampler=whole.view(-1, size).tolist(), num_workers=workers,
            generator=torch.Generator(),  # otherwise each epoch draws from the global generator
        )  # fmt: skip
        epoch += 1


def order(count: int, seed: int, epoch: int) -> list[int]:
    """A permutation of ``count`` samples that ``(seed, epoch)`` decides."""
    generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % (1 << 63))
    found: list[int] = torch.randperm(count, generator=generator).tolist()
    return found
