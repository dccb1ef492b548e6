"""Building: interleaved, repeated where it is noisy, resumed after an interruption, steered to what is unsure."""

from __future__ import annotations

import json
import math

import pytest
from _fake import Fake, law

import otoyol
from otoyol.errors import SpecError
from otoyol.measure import build_table, load_table, pace_now, random_designs

SMALL = {"inputs": ("3x32x32", "3x48x48"), "max_macs": 1e8, "min_macs": 1e5}


def test_without_noise_every_operator_has_its_law(tmp_path):
    engine = Fake()
    table = build_table(engine, random_designs(18, **SMALL), clock=engine.clock, seconds=1e9)
    assert len(table.networks) == 18 and table.finished
    for row in table.rows():
        assert row.seconds == pytest.approx(law(row.op), rel=1e-12)
        assert not row.noisy
    assert table.noisy == 0


def test_rounds_are_interleaved():
    """Nobody runs twice before everybody has run once."""
    engine, order = Fake(), []
    real = engine.load

    def load(spec):
        running, number = real(spec), engine.loaded
        traced = running.traced
        running.traced = lambda: (order.append(number), traced())[1]
        return running

    engine.load = load
    build_table(engine, random_designs(12, **SMALL), clock=engine.clock, seconds=1e9, rounds=5)
    for start in range(0, len(order), 6):
        assert len(set(order[start : start + 6])) == 6
    assert len(order) == 12 * 5


def test_noise_is_seen_repeated_and_flagged():
    quiet, loud = Fake(), Fake(noise=0.5)
    calm = build_table(quiet, random_designs(12, **SMALL), clock=quiet.clock, seconds=1e9)
    shaken = build_table(loud, random_designs(12, **SMALL), clock=loud.clock, seconds=1e9)
    assert {network.whole.rounds for network in calm.networks} == {5}
    assert loud.wholes > 1.5 * quiet.wholes
    assert calm.noisy == 0 and shaken.noisy > 0.5
    assert calm.drift == 0 and shaken.drift > 0.01


def test_an_interruption_loses_nothing(tmp_path):
    designs, path = random_designs(30, **SMALL), tmp_path / "t.json"
    engine = Fake()

    def interrupt(progress):
        if progress.networks >= 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_table(engine, designs, path=path, clock=engine.clock, seconds=1e9, progress=interrupt)
    half = load_table(path)
    assert len(half.networks) == 12 and not half.finished
    engine = Fake()
    whole = build_table(engine, designs, path=path, clock=engine.clock, seconds=1e9)
    assert [n.spec for n in whole.networks[:12]] == [n.spec for n in half.networks]
    assert len({n.spec for n in whole.networks}) == 30 and whole.finished
    assert engine.loaded == 18 + 1  # the missing ones and the anchor
    engine = Fake()
    assert len(build_table(engine, designs, path=path, clock=engine.clock).networks) == 30
    assert engine.loaded == 0


def test_other_designs_extend_a_finished_table(tmp_path):
    """24 designs, then 36 of which 6 are known: 30 more are run, and the first 24 are not forgotten to be there."""
    first, path = random_designs(24, **SMALL), tmp_path / "t.json"
    second = [*first[:6], *random_designs(30, seed=5, **SMALL)]
    for designs, ran, held in ((first, 24, 24), (second, 30, 54), (first, 0, 54), (second, 0, 54)):
        engine = Fake()
        table = build_table(engine, designs, path=path, clock=engine.clock, seconds=1e9, goal=0.0)
        assert engine.loaded == (ran + 1 if ran else 0)  # and the anchor
        assert len({n.spec for n in table.networks}) == len(table.networks) == held and table.finished
    assert {n.spec for n in table.networks} == {otoyol.to_text(spec) for spec in [*first, *second]}


def test_more_seconds_extend_a_finished_table(tmp_path):
    designs, path, held = random_designs(60, **SMALL), tmp_path / "t.json", []
    for seconds in (0.8, 0.4, 0.8, 1.6, 1.6):
        engine = Fake()
        table = build_table(engine, designs, path=path, clock=engine.clock, seconds=seconds, goal=0.0)
        held.append(len(table.networks))
        assert table.finished and (engine.loaded == 0) == (len(held) in (2, 3, 5))
    assert held[0] == held[1] == held[2] < held[3] == held[4] < 60
    assert table.elapsed == pytest.approx(1.6, abs=0.4)  # the second time it was not begun from nothing


def test_a_table_of_before_pools_were_noted_is_of_the_designs_that_it_has(tmp_path):
    first, path = random_designs(24, **SMALL), tmp_path / "t.json"
    engine = Fake()
    elapsed = build_table(engine, first, path=path, clock=engine.clock, seconds=1e9).elapsed
    fields = json.loads(path.read_text())
    del fields["pools"]
    path.write_text(json.dumps(fields))
    engine = Fake()
    assert len(build_table(engine, first, path=path, clock=engine.clock, seconds=elapsed / 2).networks) == 24
    assert engine.loaded == 0
    table = build_table(engine, random_designs(6, seed=9, **SMALL), path=path, clock=engine.clock, seconds=elapsed / 2)
    assert len(table.networks) == 30


def test_time_is_kept_and_progress_told():
    engine, said = Fake(), []
    designs = random_designs(60, **SMALL)
    table = build_table(engine, designs, clock=engine.clock, seconds=0.2, progress=said.append)
    assert len(table.networks) < 60 and table.finished
    assert [p.networks for p in said] == sorted(p.networks for p in said)
    assert said[-1].seconds_left == 0 and said[-1].operators == len(table.operators)


def test_disturbed_networks_are_flagged_and_left_aside():
    """For the middle third of the time everything takes 1.6 times as long, as beside a busy thread of the same core."""
    engine = Fake()
    designs = random_designs(90, **SMALL)
    engine.shaken = lambda seconds: seconds * (1.6 if 0.5 < engine.now < 1.0 else 1.0)
    table = build_table(engine, designs, clock=engine.clock, seconds=1e9, goal=0.0)
    assert engine.now > 1.2
    disturbed = [not network.calm for network in table.networks]
    assert 4 < sum(disturbed) < 80
    assert table.noisy >= sum(disturbed) / 90
    for row in table.rows():
        assert row.seconds == pytest.approx(law(row.op), rel=0.01)


def test_a_pace_that_wanders_does_not_reach_the_table():
    """The machine gets slower and faster by 15% over seconds, as virtual machines do; the law is one all the same."""
    engine = Fake()
    engine.shaken = lambda seconds: seconds * (1 + 0.15 * math.sin(engine.now / 0.4))
    table = build_table(engine, random_designs(60, **SMALL), clock=engine.clock, seconds=1e9, goal=0.0)
    assert engine.now > 4 * 0.4 and table.drift > 0.2
    ratios = sorted(row.seconds / law(row.op) for row in table.rows())
    assert ratios[-1] / ratios[0] < 1.03
    assert table.pace / engine.truth(otoyol.parse(table.anchor_spec)) == pytest.approx(
        ratios[len(ratios) // 2], rel=0.01
    )
    for number, network in enumerate(table.networks):
        truth = engine.truth(otoyol.parse(network.spec))
        assert table.whole(number) / truth == pytest.approx(ratios[len(ratios) // 2], rel=0.03)
    engine.shaken = lambda seconds: 1.1 * seconds
    relative = 1.1 * engine.truth(otoyol.parse(table.anchor_spec)) / table.pace
    assert pace_now(engine, table) == pytest.approx(relative, rel=0.02)


def test_what_is_refused():
    with pytest.raises(SpecError, match="designs"):
        build_table(Fake(), [])
    with pytest.raises(SpecError, match="rounds"):
        build_table(Fake(), random_designs(1, **SMALL), rounds=2)
    for seconds in (0.0, -3.0, math.nan, math.inf):
        with pytest.raises(SpecError, match="seconds: got"):
            build_table(Fake(), random_designs(1, **SMALL), seconds=seconds)


def test_random_designs_cover_blocks_and_repeat_by_seed():
    from otoyol.spec import BLOCKS

    designs = random_designs(48, seed=3, **SMALL)
    assert designs == random_designs(48, seed=3, **SMALL) != random_designs(48, seed=4, **SMALL)
    assert {spec.block for spec in designs} == set(BLOCKS.values())
    assert {spec.attention.kind for spec in designs} == {"none", "se", "eca", "cbam"}
    assert len(set(designs)) == 48


def test_a_disturbed_run_is_not_counted():
    """Another process takes the machine for a while: every run of that while takes twice as long, the anchor's too."""
    import random

    from otoyol.measure.turns import Turns, summary

    now = [0]

    class Disturbed:
        def whole(self):
            now[0] += 1
            return 2.0 if 30 <= now[0] < 46 else 1.0

    turns = Turns(Disturbed(), rounds=7, shuffle=random.Random(0))
    samples = turns.run([Disturbed(), Disturbed()], lambda running: running.whole())
    for mine in samples:
        assert {s.seconds for s in mine} == {1.0, 2.0}  # it was disturbed indeed
        assert summary(mine, pace=1.0).seconds == 1.0 and summary(mine, pace=1.0).spread == 0
        assert not any(s.calm for s in mine if s.seconds == 2.0)
