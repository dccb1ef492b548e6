"""The front against its definition, and against moocore's routine."""

from __future__ import annotations

import moocore
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from otoyol.search.pareto import Front, non_dominated


def brute(values: np.ndarray) -> np.ndarray:
    """The definition, row by row."""
    return np.array(
        [not any((other <= row).all() and (other < row).any() for other in values) for row in values], dtype=bool
    )


@given(
    st.integers(1, 4).flatmap(
        lambda k: arrays(float, st.tuples(st.integers(0, 40), st.just(k)), elements=st.integers(0, 6).map(float))
    )
)
def test_non_dominated_is_its_definition(values):
    assert (non_dominated(values) == brute(values)).all()


@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_non_dominated_is_moocores(objectives):
    values = np.random.default_rng(objectives).random((3000, objectives))
    assert (non_dominated(values) == moocore.is_nondominated(values, keep_weakly=True)).all()


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
@pytest.mark.parametrize("piece", [1, 37, 600])
def test_a_stream_gives_the_front_of_the_whole(objectives, piece):
    values = np.random.default_rng(7).normal(size=(600, objectives))
    front = Front(objectives, 1, capacity=600)
    for start in range(0, 600, piece):
        rows = np.arange(start, min(start + piece, 600))
        front.add(values[rows], rows[:, None])
    assert set(front.payload[:, 0]) == set(np.flatnonzero(brute(values)))
    assert not front.thinned


def test_a_design_drawn_twice_is_kept_once_and_two_alike_both():
    front = Front(2, 1)
    front.add(np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [2.0, 1.0]]), np.array([[7], [7], [8], [9]]))
    assert sorted(front.payload[:, 0]) == [7, 8, 9]


@given(
    st.integers(1, 4).flatmap(
        lambda k: arrays(float, st.tuples(st.integers(1, 60), st.just(k)), elements=st.integers(0, 3).map(float))
    ),
    st.randoms(use_true_random=False), st.integers(1, 60),
)  # fmt: skip
def test_neither_order_nor_chunks_matter_to_equals(values, random, piece):
    """Rows of few values, so that many are equal; a row is its payload, and rows come several times."""
    rows = [*range(len(values)), *random.choices(range(len(values)), k=20)]
    random.shuffle(rows)
    front = Front(values.shape[1], 1)
    for start in range(0, len(rows), piece):
        part = np.array(rows[start : start + piece])
        front.add(values[part], part[:, None])
    assert sorted(front.payload[:, 0]) == np.flatnonzero(brute(values)).tolist()
    assert (front.values == values[front.payload[:, 0]]).all()


@pytest.mark.parametrize("capacity", [3, 5])
def test_copies_go_before_the_crowded(capacity):
    """Three points, four rows each: with room for three one row of each stays, the least; with five, two more."""
    values = np.array([[0.0, 2.0], [1.0, 1.0], [2.0, 0.0]] * 4)
    front = Front(2, 1, capacity=capacity)
    front.add(values[::-1], np.arange(12)[::-1, None])
    assert front.thinned and len(front) == capacity
    assert {0, 1, 2} <= set(front.payload[:, 0].tolist())


def test_a_design_that_was_let_go_can_dominate_one_that_is_kept():
    """As the docstring says: (2.1, 1.9) is the most crowded, goes, and is not there to refuse (2.15, 1.95), for which
    (2.2, -1) makes room."""
    front = Front(2, 1, capacity=4)
    front.add(np.array([[0.0, 4.0], [2.0, 2.0], [2.1, 1.9], [2.2, 1.8], [4.0, 0.0]]), np.arange(5)[:, None])
    assert front.payload[:, 0].tolist() == [0, 1, 3, 4]
    front.add(np.array([[2.15, 1.95], [2.2, -1.0]]), np.array([[5], [6]]))
    assert front.payload[:, 0].tolist() == [0, 1, 5, 6]


def test_memory_is_bounded_and_extremes_stay():
    angle = np.random.default_rng(0).uniform(0, np.pi / 2, 20_000)
    values = np.stack([1 - np.cos(angle), 1 - np.sin(angle)], axis=1)  # every row is on the front
    front = Front(2, 1, capacity=100)
    for start in range(0, 20_000, 1000):
        front.add(values[start : start + 1000], np.arange(start, start + 1000)[:, None])
    assert len(front) == 100
    assert front.thinned
    assert front.values[:, 0].min() == values[:, 0].min()
    assert front.values[:, 1].min() == values[:, 1].min()
    assert non_dominated(front.values).all()
