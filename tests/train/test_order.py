"""Which samples a step reads: a function of the step's number, whatever ranks, passes and interruptions there are."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otoyol.errors import SpecError
from otoyol.train.order import (
    TrainingKeys,
    check_split,
    keys,
    micro_batches,
    share,
    validation_keys,
)

SMALL = st.integers(1, 7)


@given(st.integers(0, 50), SMALL, st.integers(0, 40))
def test_shares_are_a_row_cut_evenly(length: int, parts: int, start: int) -> None:
    cut = [share(range(start, start + length), parts, part) for part in range(parts)]
    assert [position for part in cut for position in part] == list(range(start, start + length))
    assert max(map(len, cut)) - min(map(len, cut)) <= 1


@given(st.integers(1, 40), SMALL, SMALL, st.integers(0, 9), st.integers(1, 30), st.integers(0, 5))
def test_the_global_batch_is_the_same_for_any_ranks_and_passes(
    batch: int, world: int, accumulate: int, step: int, count: int, seed: int
) -> None:
    parts = [part for rank in range(world) for part in micro_batches(step, batch, accumulate, world, rank)]
    together = sorted(position for part in parts for position in part)
    assert together == list(range(step * batch, (step + 1) * batch))
    alone = [key for part in micro_batches(step, batch, 1, 1, 0) for key in keys(part, count, seed)]
    assert Counter(alone) == Counter(key for part in parts for key in keys(part, count, seed))
    if batch >= world * accumulate:
        check_split(batch, accumulate, world)
        assert all(len(part) for part in parts)
    else:
        with pytest.raises(SpecError, match=r"recipe\.batch"):
            check_split(batch, accumulate, world)


@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 5), st.integers(1, 4))
def test_every_sample_once_an_epoch(count: int, batch: int, seed: int, epochs: int) -> None:
    steps = -(-count * epochs // batch)
    read = [key for part in TrainingKeys(count, seed, batch=batch, accumulate=1, world=1, rank=0, first=0, steps=steps)
            for key in part]  # fmt: skip
    for epoch in range(epochs):
        assert sorted(key.sample for key in read if key.epoch == epoch) == list(range(count))
    assert len(read) == steps * batch  # whole batches always


@given(st.integers(1, 20), st.integers(4, 12), st.integers(0, 8), st.integers(1, 2), st.integers(1, 2))
def test_going_on_reads_what_was_left(count: int, batch: int, first: int, accumulate: int, world: int) -> None:
    def row(begin: int, rank: int) -> list[object]:
        return list(
            TrainingKeys(count, 3, batch=batch, accumulate=accumulate, world=world, rank=rank, first=begin, steps=9)
        )

    for rank in range(world):
        assert row(0, rank)[first * accumulate :] == row(first, rank)


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = {tuple(key.sample for key in keys(range(50 * epoch, 50 * (epoch + 1)), 50, seed))
              for seed in (0, 1) for epoch in (0, 1, 2)}  # fmt: skip
    assert len(orders) == 6
    assert keys(range(10), 50, 1) == keys(range(10), 50, 1)


@given(st.integers(0, 40), SMALL, SMALL)
def test_validation_sees_every_sample_once(count: int, batch: int, world: int) -> None:
    per_rank = [validation_keys(count, batch, world, rank) for rank in range(world)]
    seen = [key.sample for batches in per_rank for part in batches for key in part]
    assert seen == list(range(count))
    assert all(1 <= len(part) <= batch for batches in per_rank for part in batches)
