"""Predictions never fall where depths or widths grow: laws far out, measured operators as bounds, whole networks."""

from __future__ import annotations

import numpy as np
import pytest
from _fake import Fake

import otoyol
from otoyol.measure import RULES, Predictor, build_table, random_designs
from otoyol.measure.bounds import Grid
from otoyol.measure.features import COLUMNS, Batch
from otoyol.measure.law import Law
from otoyol.measure.predict import fit_overhead


def points(*channels):
    return np.array([(c_in, c_out, 1, 3) for c_in, c_out in channels])


def test_measured_seconds_bound_what_the_law_tells():
    """Measured: 4 s at 16 channels, 1 s at 32, which contradict each other, and 9 s at 64. The geometric middle of 4
    and 1 is 2."""
    grid = Grid(points((16, 16), (32, 32), (64, 64)), np.array([4.0, 1.0, 9.0]))
    asked = points((8, 8), (8, 8), (16, 16), (24, 24), (32, 32), (40, 40), (64, 64), (64, 8), (80, 80), (8, 80))
    told = np.array([1.0, 3.0, 7.0, 3.0, 0.1, 1.0, 5.0, 100.0, 5.0, 100.0])
    expected = [1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 9.0, 9.0, 9.0, 100.0]
    assert grid(asked, told) == pytest.approx(expected)


def test_what_agrees_stays_as_it_was_measured():
    grid = Grid(points((8, 8), (8, 16), (16, 8)), np.array([0.1, 0.3, 0.2]))
    assert grid(points((8, 8), (8, 16), (16, 8)), np.ones(3)).tolist() == [0.1, 0.3, 0.2]


def test_bounds_are_those_of_their_definition():
    """Against a loop over all pairs: nothing below what is nowhere larger, nor above what is nowhere smaller."""
    rng = np.random.default_rng(0)
    known = np.unique(rng.integers(1, 7, (60, 4)), axis=0)
    seconds = known.prod(axis=1) ** 0.5 * rng.uniform(0.8, 1.25, len(known))
    asked, told = rng.integers(0, 9, (300, 4)), rng.uniform(0.5, 30, 300)

    def smaller(a, b):
        return (a <= b).all()

    middle = [
        (max(t for q, t in zip(known, seconds, strict=True) if smaller(q, p))
         * min(t for q, t in zip(known, seconds, strict=True) if smaller(p, q))) ** 0.5
        for p in known
    ]  # fmt: skip
    expected = [
        min(max([s, *(t for q, t in zip(known, middle, strict=True) if smaller(q, p))]),
            min([np.inf, *(t for q, t in zip(known, middle, strict=True) if smaller(p, q))]))
        for p, s in zip(asked, told, strict=True)
    ]  # fmt: skip
    assert Grid(known, seconds)(asked, told) == pytest.approx(expected)


def test_a_law_does_not_fall_far_beyond_what_was_seen():
    """A thousand times the MACs seen, while elements, the dear part, grow within what was seen."""
    rng = np.random.default_rng(0)
    work = np.stack([*rng.uniform(1, 2, (2, 80)), *np.zeros((2, 80)), np.ones(80)], axis=1)
    x = np.zeros((80, len(COLUMNS)))
    x[:, :2] = np.log2(work[:, :2])
    law = Law(Batch(x, work), work @ [1e-3, 1e-1, 0, 0, 0])
    far = np.tile([1e6, 0, 0, 0, 1.0], (50, 1))
    far[:, 1] = np.linspace(0.01, 2, 50)
    assert (np.diff(law(Batch(np.ones((50, len(COLUMNS))), far))) >= 0).all()


def test_no_operator_makes_a_network_quicker():
    """Whole = sum - 2 µs an operator + 50 µs. Where the quickest operator took 3 µs that is found; where one took 1 µs
    it cannot be, and no more than that is taken away."""
    rng = np.random.default_rng(0)
    counts = rng.integers(20, 90, 200).astype(float)
    sums = counts * rng.uniform(1e-5, 1e-4, 200)
    whole = sums - 2e-6 * counts + 50e-6
    assert fit_overhead(sums, counts, whole, 3e-6) == pytest.approx((1, -2e-6, 50e-6), rel=1e-6)
    slope, per_op, _ = fit_overhead(sums, counts, whole, 1e-6)
    assert per_op >= -slope * 1e-6 * (1 + 1e-9)


class Ort(Fake):
    rules = RULES["ort"]


@pytest.fixture(scope="module", params=[Fake, Ort])
def predictor(request):
    engine = request.param(noise=0.1)  # so much that measured values and laws disagree
    designs = random_designs(90, seed=1, inputs=("3x32x32", "3x64x64"), max_macs=4e8, min_macs=1e6)
    table = build_table(engine, designs, clock=engine.clock, seconds=1e9, goal=0.0)
    return Predictor(table, engine.rules, folds=2)


def grown(spec, what, stage, more):
    values = [getattr(one, what) for one in spec.stages]
    values[stage] += more
    return otoyol.edit(spec, {f"{what}s": "-".join(map(str, values))})


def sorts(predictor, spec):
    """How many operators there are of each sort, with all that a prediction distinguishes but sizes."""
    from collections import Counter

    from otoyol.measure import fuse
    from otoyol.measure.features import aligned, arrays
    from otoyol.measure.predict import class_of, without_numbers

    ops = [group.op for group in fuse(otoyol.lower(spec).ops, predictor.rules)]
    return Counter((without_numbers(op), class_of(op), bool(aligned(arrays([op]))[0])) for op in ops)


@pytest.mark.parametrize("what", ["depth", "width"])
def test_a_measured_network_never_gets_quicker_where_it_grows(predictor, what):
    """From every measured network, whose operators are measured ones, to larger ones, whose are not."""
    compared = 0
    for number in predictor.table.trusted:
        spec = otoyol.parse(predictor.table.networks[number].spec)
        for stage in range(4):
            ladder = [spec]
            for more in (1, 2) if what == "depth" else (16, 48, 64, 128):
                try:
                    ladder.append(grown(spec, what, stage, more))
                except otoyol.OtoyolError:  # groups that do not divide
                    continue
            ladder = [one for one in ladder if what == "depth" or sorts(predictor, one) == sorts(predictor, spec)]
            told = [predictor.predict(one).ms for one in ladder]
            assert (np.diff(told) >= -1e-12 * told[0]).all(), (otoyol.to_text(spec), what, stage, told)
            compared += len(told) - 1
    assert compared > 300
