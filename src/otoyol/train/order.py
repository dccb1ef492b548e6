"""Which samples a step reads, as pure functions: of the step, whatever ranks, workers and interruptions there are.

Training reads one endless row of positions 0, 1, 2, …; step s takes the ``batch`` positions from s · batch on.
Position p is sample p mod n of epoch ⌊p / n⌋'s permutation, so every sample is read once an epoch, batches are always
whole, and a batch may hold the end of one epoch and the beginning of the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch

from otoyol.errors import SpecError
from otoyol.train.seeds import seed_of


class Key(NamedTuple):
    """One reading of one sample: what its augmentation is drawn from."""

    epoch: int
    sample: int


def share(positions: range, parts: int, part: int) -> range:
    """Part ``part`` of ``parts`` of a row, in order; lengths differ by one at most."""
    n = len(positions)
    return positions[n * part // parts : n * (part + 1) // parts]


def micro_batches(step: int, batch: int, accumulate: int, world: int, rank: int) -> list[range]:
    """The positions that rank ``rank`` of ``world`` reads in step ``step`` (from 0), one range a forward pass.

    The union over ranks and passes is the global batch, whatever ``accumulate`` and ``world`` are.
    """
    whole = range(step * batch, (step + 1) * batch)
    return [share(share(whole, accumulate, part), world, rank) for part in range(accumulate)]


def check_split(batch: int, accumulate: int, world: int) -> None:
    """Raises SpecError where some forward pass of some rank would have no sample."""
    if batch < accumulate * world:
        raise SpecError("recipe.batch", batch, f"at least {accumulate * world}, {accumulate} passes on {world} ranks")


def keys(positions: range, count: int, seed: int) -> list[Key]:
    """The samples at ``positions`` of the row over ``count`` samples."""
    found = []
    for position in positions:
        epoch, place = divmod(position, count)
        found.append(Key(epoch, int(_permutation(count, seed, epoch)[place])))
    return found


@lru_cache(maxsize=4)
def _permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    generator = torch.Generator().manual_seed(seed_of("order", seed, epoch))
    order: np.ndarray = torch.randperm(count, generator=generator).numpy()
    return order


class TrainingKeys:
    """Lists of keys, one a forward pass, from step ``first`` to ``steps``: torch's DataLoader asks for no more."""

    def __init__(
        self, count: int, seed: int, *, batch: int, accumulate: int, world: int, rank: int, first: int, steps: int
    ) -> None:
        self.count, self.seed, self.batch, self.accumulate = count, seed, batch, accumulate
        self.world, self.rank, self.first, self.steps = world, rank, first, steps

    def __len__(self) -> int:
        return (self.steps - self.first) * self.accumulate

    def __iter__(self) -> Iterator[list[Key]]:
        for step in range(self.first, self.steps):
            for positions in micro_batches(step, self.batch, self.accumulate, self.world, self.rank):
                yield keys(positions, self.count, self.seed)


def validation_keys(count: int, batch: int, world: int, rank: int) -> list[list[Key]]:
    """Every sample once over all ranks, in order, in batches of at most ``batch``."""
    mine = share(range(count), world, rank)
    return [[Key(0, index) for index in mine[start : start + batch]] for start in range(0, len(mine), batch)]
