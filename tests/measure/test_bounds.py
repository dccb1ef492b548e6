"""Predictions never fall where depths or widths grow: laws far out, measured operators as bounds, whole networks."""

from __future__ import annotations

import numpy as np
import pytest
from _fake import Fake

import otoyol
from otoyol.measure import RULES, Predictor, build_table, random_designs
from otoyol.measure.bounds import Bounds, Grid
from otoyol.measure.features import COLUMNS, Batch, arrays, batch_of
from otoyol.measure.fused import FusedOp
from otoyol.measure.law import Law
from otoyol.measure.net import net, timing_cost
from otoyol.measure.predict import fit_overhead
from otoyol.measure.table import Network, Table, Timing

CONV = FusedOp("conv", "norm+relu", "", 64, 28, 28, 64, 28, 28, kernel=3)


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


def test_what_timing_costs_is_found_and_taken_off():
    """Whole = the sum of what operators take + 50 µs; each is timed as 2 µs more."""
    rng = np.random.default_rng(0)
    table, spec = Table({}), "resnet18"
    for _ in range(200):
        took = rng.uniform(1e-6, 5e-5, rng.integers(20, 90))
        whole = Timing(took.sum() + 50e-6, 0.0, 5)
        steps = (0,) * len(took)
        table.networks.append(Network(spec, steps, tuple(took + 2e-6), (0.0,) * len(took), whole, 1e-3, True))
    cost = timing_cost(table)
    assert cost == pytest.approx(2e-6, rel=0.1)
    assert net(np.array([1e-6, 3e-6, 1e-5]), 2e-6) == pytest.approx([0.2e-6, 1e-6, 8e-6])  # by hand
    sums = np.array([net(np.array(network.seconds), 2e-6).sum() for network in table.networks])
    counts = np.array([len(network.steps) for network in table.networks], dtype=float)
    found = fit_overhead(sums, counts, np.array([network.whole.seconds for network in table.networks]))
    assert found == pytest.approx((1, 0, 50e-6), rel=1e-6, abs=1e-12)


def test_neither_time_nor_operators_make_a_network_quicker():
    rng = np.random.default_rng(0)
    counts = rng.integers(20, 90, 200).astype(float)
    sums = counts * rng.uniform(1e-5, 1e-4, 200)
    slope, per_op, _ = fit_overhead(sums, counts, sums - 2e-6 * counts)
    assert slope > 0 and per_op >= 0


def test_more_groups_of_as_many_channels_may_take_less():
    """Channels alike, a quarter of the MACs: that both were measured so is no contradiction."""
    few, many = (op._replace(groups=groups) for op, groups in ((CONV, 2), (CONV, 8)))
    bounds = Bounds(arrays([few, many]), np.array([4e-4, 1e-4]))
    assert bounds(arrays([few, many]), np.array([1.0, 1.0])) == pytest.approx([4e-4, 1e-4])


def test_work_is_that_of_whole_registers():
    """3x3 from 20 to 40 channels on 28x28: rounded up to 8 that is 24 to 40, to 16 it is 32 to 48; of four registers of
    16 the 40 fill one. Of 4 groups each 5 channels are read as they are."""
    plain, grouped = CONV._replace(c_in=20, c_out=40), CONV._replace(c_in=20, c_out=40, groups=4)
    work = batch_of(arrays([plain, grouped])).work / (9 * 28 * 28)
    assert work[0, 4:9].tolist() == [24 * 40, 32 * 48, 32 * 64, 32 * 64, 20]
    assert work[1, 4:9].tolist() == [5 * 40, 5 * 48, 5 * 64, 5 * 64, 20]
    assert work[:, 0].tolist() == [20 * 40, 5 * 40]


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
