"""The predictor recovers a known law, never falls where sizes grow, and says when it does not know."""

from __future__ import annotations

import numpy as np
import pytest
from _fake import CONSTANT, PER_OP, SLOPE, Fake, law

import otoyol
from otoyol.errors import SpecError
from otoyol.measure import FusedOp, Predictor, Scorer, build_table, fuse, random_designs

INPUTS = {"inputs": ("3x32x32", "3x48x48", "3x64x64"), "max_macs": 4e8, "min_macs": 1e6}


@pytest.fixture(scope="module")
def predictor():
    engine = Fake(noise=0.01)
    table = build_table(engine, random_designs(80, seed=1, **INPUTS), clock=engine.clock, seconds=1e9, goal=0.0)
    return Predictor(table, Fake.rules, folds=3)


@pytest.fixture(scope="module")
def held_out():
    return random_designs(60, seed=2, **INPUTS)


def test_designs_never_seen_are_predicted(predictor, held_out):
    truth = np.array([Fake().truth(spec) for spec in held_out])
    told = np.array([predictor.predict(spec).ms for spec in held_out]) / 1e3
    error = np.abs(told / truth - 1)
    assert np.median(error) < 0.03 and np.quantile(error, 0.9) < 0.08
    order = lambda values: np.argsort(np.argsort(values))  # noqa: E731
    assert np.corrcoef(order(truth), order(told))[0, 1] > 0.99


def test_the_interval_holds_nine_of_ten(predictor, held_out):
    inside = 0
    for spec in held_out:
        low, high = (predictor.predict(spec)[i] / 1e3 for i in (1, 2))
        inside += low <= Fake().truth(spec) <= high
    assert inside >= 0.8 * len(held_out)


def test_the_overhead_is_found(predictor):
    seen = predictor.overhead
    for total, count in ((0.01, 40), (0.03, 80)):
        truth = SLOPE * total + PER_OP * count + CONSTANT
        assert seen(total, count) == pytest.approx(truth, rel=0.05)


def test_measured_operators_are_told_as_measured(predictor):
    row = next(row for row in predictor.table.rows() if not row.noisy)
    assert predictor.model([row.op])[0] == row.seconds


@pytest.mark.parametrize("field", ["c_in", "c_out", "size"])
def test_time_never_falls_where_a_size_grows(predictor, field):
    base = FusedOp("conv", "norm+relu", "", 64, 16, 16, 64, 16, 16, 3)
    ops = []
    for value in range(8, 257, 8):
        size = {"h_in": value // 4, "w_in": value // 4, "h_out": value // 4, "w_out": value // 4}
        ops.append(base._replace(**(size if field == "size" else {field: value})))
    seconds = predictor.model(ops, hits=False)
    assert (np.diff(seconds) >= -1e-15).all()
    assert seconds[-1] > 1.5 * seconds[0]


def test_extrapolation_is_told(predictor):
    inside = predictor.predict(otoyol.parse("resnet18@input=3x64x64,widths=32-64-96-128"))
    beyond = predictor.predict(otoyol.parse("resnet18@input=3x512x512,widths=512-1024-2048-2048"))
    assert inside.warnings == ()
    assert any("positions" in warning and "conv:spatial" in warning for warning in beyond.warnings)
    assert beyond.high_ms / beyond.ms > inside.high_ms / inside.ms
    unheard = predictor.predict(otoyol.parse("resnet18@input=3x64x64,act=gelu"))
    assert any("no such operator was measured" in warning for warning in unheard.warnings)


def test_another_pace_scales_every_prediction(predictor):
    spec = otoyol.parse("resnet18@input=3x64x64,widths=32-64-96-128")
    usual, slower = predictor.predict(spec), predictor.at(1.25).predict(spec)
    assert slower[:3] == pytest.approx([1.25 * ms for ms in usual[:3]])
    assert predictor.predict(spec) == usual
    depths, widths = np.array([[2, 2, 2, 2]]), np.array([[32, 64, 96, 128]])
    assert Scorer(predictor.at(1.25))(spec, depths, widths) == pytest.approx([slower.ms])


def test_too_little_to_go_by():
    engine = Fake()
    table = build_table(engine, random_designs(4, **INPUTS), clock=engine.clock)
    with pytest.raises(SpecError, match="at least 8"):
        Predictor(table, Fake.rules)


@pytest.mark.parametrize("text", ["resnet18", "resnetv2_50@attention=se", "resnet50@shortcut=D,groups=4",
                                  "resnet18@block=inverted,shortcut=none"])  # fmt: skip
def test_arrays_of_designs_are_scored_as_each_alone(predictor, text):
    structure = otoyol.edit(otoyol.parse(text), {"input": "3x64x64"})
    rng = np.random.default_rng(0)
    depths, widths = rng.integers(1, 6, (12, 4)), 8 * rng.integers(2, 40, (12, 4))
    widths[3] = 2 * widths[3, 0]
    told = Scorer(predictor)(structure, depths, widths)
    for row in range(12):
        columns = {"depths": "-".join(map(str, depths[row])), "widths": "-".join(map(str, widths[row]))}
        assert told[row] == pytest.approx(predictor.predict(otoyol.edit(structure, columns)).ms, rel=1e-9)


def held(scorer):
    """Bytes of everything that the scorer keeps in arrays, counted here."""
    kept = scorer.remembered
    return kept.numbers.nbytes + sum(table.nbytes for tables in kept.tables.values() for table in tables.values())


@pytest.mark.parametrize(
    ("most", "largest", "pairs"),
    [(1, 1 << 22, 0), (300_000, 1 << 22, 0), (4_600_000, 1 << 22, 2), (1 << 30, 512 * 512 - 1, 0)],
)
def test_memory_stays_under_its_limit_and_scores_stay_the_same(predictor, most, largest, pairs):
    """Widths from 8 to 2,000 at random: 256 to 512 of them, so that the pairs at each of three transitions take 2 MiB.
    There is room for so many ``pairs``."""
    spec = otoyol.parse("resnet18@input=3x64x64")
    rng = np.random.default_rng(1)
    tables, capped = Scorer(predictor, most_bytes=1 << 40), Scorer(predictor, largest, most)
    for _ in range(3):
        depths, widths = rng.integers(1, 5, (150, 4)), 4 * rng.integers(2, 500, (150, 4))
        assert capped(spec, depths, widths) == pytest.approx(tables(spec, depths, widths), rel=1e-12)
        assert held(capped) == capped.table_bytes <= max(most, 65_537 * 4)
    assert held(tables) >= 3 * 512 * 512 * 8
    assert held(capped) // (512 * 512 * 8) == pairs


def test_the_structure_used_longest_ago_is_forgotten(predictor):
    """One of three has room: each is scored as by a scorer of its own."""
    specs = [otoyol.parse(f"resnet18@input=3x{size}x{size}") for size in (32, 48, 64)]
    rng = np.random.default_rng(2)
    depths, widths = rng.integers(1, 5, (60, 4)), 16 * rng.integers(1, 20, (60, 4))
    alone = []
    for spec in specs:
        one = Scorer(predictor)
        alone.append((one(spec, depths, widths), held(one)))
    shared = Scorer(predictor, most_bytes=int(1.2 * max(size for _, size in alone)))
    for _ in range(2):
        for spec, (told, _) in zip(specs, alone, strict=True):
            np.testing.assert_allclose(shared(spec, depths, widths), told, rtol=1e-12)
            assert held(shared) == shared.table_bytes <= shared.remembered.most_bytes
    assert len(shared.remembered.tables) < 3


def test_impossible_rows_are_not_a_number(predictor):
    structure = otoyol.parse("resnet18@input=3x64x64,groups=8")
    widths = np.array([[64, 64, 64, 64], [64, 60, 64, 64]])
    told = Scorer(predictor)(structure, np.ones_like(widths), widths)
    assert np.isfinite(told[0]) and np.isnan(told[1])


def test_scores_do_not_depend_on_the_company(predictor):
    scorer, structure = Scorer(predictor), otoyol.parse("resnet18@input=3x64x64")
    rng = np.random.default_rng(1)
    depths, widths = rng.integers(1, 5, (200, 4)), 8 * rng.integers(2, 30, (200, 4))
    together = scorer(structure, depths, widths)
    apart = np.concatenate(
        [Scorer(predictor)(structure, depths[i : i + 50], widths[i : i + 50]) for i in range(0, 200, 50)]
    )
    np.testing.assert_allclose(together, apart, rtol=1e-12)


def test_the_fake_law_is_not_the_predictors_own():
    """The law bends with channels, which the linear part cannot: without its trees the predictor would be off."""
    thin, wide = (FusedOp("conv", "", "", 64, 16, 16, c, 16, 16, 3) for c in (8, 256))
    assert law(wide) / law(thin) < 20  # 32 times the work
    assert len(fuse(otoyol.lower(otoyol.parse("resnet18")).ops, Fake.rules)) > 20
