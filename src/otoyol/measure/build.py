"""Building a table: networks are chosen, run in turns, summarised, saved; the next are chosen by what is unsure."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from math import inf
from pathlib import Path
from statistics import median
from typing import NamedTuple

from otoyol.errors import SpecError
from otoyol.measure.designs import macs_of
from otoyol.measure.engine import Engine
from otoyol.measure.fingerprint import fingerprint
from otoyol.measure.fused import FusedOp, fuse
from otoyol.measure.table import Network, Span, Table, load_table, timing
from otoyol.measure.turns import Turns, counted, is_calm, paces, summary
from otoyol.ops import lower
from otoyol.spec import Spec, parse
from otoyol.spec.text import any_text

SAVE_SECONDS = 5.0
TOGETHER = 6  # networks that take turns
FIRST = 4  # rounds of turns that are chosen blindly, before there is anything to be unsure about
CANDIDATES = 240  # of the pool that are weighed at a time
FEWEST = 12  # networks, however short the time
GROWN = 1.2  # how much larger the table must be before it is asked again
ROUNDS_NOW = 5  # of a few networks, to know the present pace
REFIT_SHARE = 0.15  # of all time at most that goes into choosing


class Progress(NamedTuple):
    """``disagreement``: how far two halves of the table differ on designs not yet measured (None until known)."""

    networks: int
    operators: int
    seconds: float
    seconds_left: float
    disagreement: float | None
    noisy: float


def build_table(
    engine: Engine, designs: Sequence[Spec], *, path: str | os.PathLike[str] | None = None, seconds: float = 600.0,
    rounds: int = 5, goal: float = 0.003, seed: int = 0, progress: Callable[[Progress], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Table:  # fmt: skip
    """Measure networks out of ``designs`` (what a space can contain) for about ``seconds``, or until two halves of the
    table agree within ``goal``, or until all are measured.

    Every network runs ``rounds`` times with its operators timed and ``rounds`` times whole, in turns with others, and
    up to three times as often where rounds disagree or were disturbed (:mod:`otoyol.measure.turns`). With ``path`` the
    table is saved every few seconds and goes on from there after an interruption. A finished one is returned as it is
    where it was measured for these designs for as long; for other designs, or for longer, it is extended by what it
    lacks. Raises SpecError where that table was made elsewhere, OtoyolError where it cannot be written.
    """
    if not designs:
        raise SpecError("designs", "nothing", "at least one design to measure")
    if rounds < 3:
        raise SpecError("rounds", rounds, "at least 3: one timing says nothing about its noise")
    if not 0 < seconds < inf:
        raise SpecError("seconds", seconds, "a finite number above 0")
    here = fingerprint(engine)
    table = load_table(path, here) if path is not None and Path(path).exists() else Table(here)
    texts = [any_text(spec) for spec in designs]
    pool, span = pool_digest(texts), measured_for(table, texts) or Span(0.0, 0.0)
    if span.asked >= seconds:
        return table
    table.finished, table.unseen = False, []
    table.pools[pool] = span
    if path is not None:
        table.save(path)  # a place that cannot be written is told of now, not after ten minutes
    builder = _Builder(engine, table, dict(zip(texts, designs, strict=True)), rounds, seed, clock)
    before, began, saved = table.elapsed, clock(), clock()
    try:
        while builder.pool and (len(table.networks) < FEWEST or table.pools[pool].spent < seconds):
            builder.round()
            spent = clock() - began
            table.elapsed, table.pools[pool] = before + spent, span._replace(spent=span.spent + spent)
            if progress:
                left = max(seconds - table.pools[pool].spent, 0.0)
                progress(Progress(len(table.networks), len(table.operators), table.elapsed, left,
                                  builder.disagreement, table.noisy))  # fmt: skip
            if len(table.networks) < FEWEST:
                continue
            if builder.disagreement is not None and builder.disagreement < goal:
                break
            if path is not None and clock() - saved > SAVE_SECONDS:
                table.save(path)
                saved = clock()
        table.finished, table.pools[pool] = True, table.pools[pool]._replace(asked=seconds)
    finally:  # Ctrl-C keeps what was measured
        if path is not None:
            table.save(path)
    return table


def pool_digest(texts: Iterable[str]) -> str:
    """Equal for equal sets of designs, given in text form."""
    return blake2b("\n".join(sorted(set(texts))).encode(), digest_size=8).hexdigest()


def measured_for(table: Table, texts: Sequence[str]) -> Span | None:
    """How long the table was measured for these designs; None where it was for others only. A table of before pools
    were noted was measured for them where they have all of its networks."""
    if table.pools:
        return table.pools.get(pool_digest(texts))
    if not table.networks or not {network.spec for network in table.networks} <= set(texts):
        return None
    return Span(table.elapsed, table.elapsed if table.finished else 0.0)


class _Builder:
    def __init__(
        self, engine: Engine, table: Table, designs: dict[str, Spec], rounds: int, seed: int, clock: Callable[[], float]
    ) -> None:
        """``designs`` by their texts."""
        self.engine, self.table, self.clock = engine, table, clock
        self.random = random.Random(seed + len(table.networks))  # noqa: S311 (no secrets)
        known = {network.spec for network in table.networks}
        self.pool = [spec for text, spec in designs.items() if text not in known]
        self.random.shuffle(self.pool)
        self.began, self.choosing, self.known = clock(), 0.0, 0
        self.queue: list[Spec] = []
        self.disagreement: float | None = None
        table.anchor_spec = table.anchor_spec or any_text(min([*designs.values()][:64], key=macs_of))
        self.turns = Turns(engine.load(parse(table.anchor_spec)), rounds, self.random, [s for _, s in table.anchor])
        self.fused: dict[Spec, list[FusedOp]] = {}

    def round(self) -> None:
        """Choose some networks, measure them in turns, put them into the table."""
        chosen = self._choose()
        loaded = [self.engine.load(spec) for spec in chosen]
        traced = self.turns.run(loaded, lambda running: running.traced())
        traces = [running.traces() for running in loaded]
        wholes = self.turns.run(loaded, lambda running: running.whole())
        self.table.anchor.append((self.clock() - self.began, timing(self.turns.readings[-TOGETHER:]).seconds))
        for spec, samples, trace, whole in zip(chosen, traced, traces, wholes, strict=True):
            steps = tuple(self.table.index(op) for op in self._fused(spec))
            pace = median(paces(samples) + paces(whole))
            runs = [[t / samples[i].pace * pace for t in trace[i]] for i in counted(samples)]
            summaries = [timing(column) for column in zip(*runs, strict=True)]
            seconds, spreads = tuple(t.seconds for t in summaries), tuple(t.spread for t in summaries)
            calm = is_calm(samples) and is_calm(whole)
            self.table.networks.append(
                Network(any_text(spec), steps, seconds, spreads, summary(whole, pace), pace, calm)
            )

    def _fused(self, spec: Spec) -> list[FusedOp]:
        if spec not in self.fused:
            self.fused[spec] = [group.op for group in fuse(lower(spec).ops, self.engine.rules)]
        return self.fused[spec]

    def _choose(self) -> list[Spec]:
        """Half of them where two halves of the table disagree most, half blindly, so that no part is forgotten."""
        count = min(TOGETHER, len(self.pool))
        picked: list[Spec] = []
        spent, known = self.clock() - self.began, len(self.table.networks)
        if known >= max(FIRST * TOGETHER, GROWN * self.known) and self.choosing <= REFIT_SHARE * spent:
            began, self.known = self.clock(), known
            candidates = self.pool[:CANDIDATES]
            unsure = self._unsure(candidates)
            self.disagreement = sum(unsure) / len(unsure)
            ranked = sorted(range(len(candidates)), key=lambda i: -unsure[i])
            self.queue = [candidates[i] for i in ranked[: 8 * TOGETHER]]
            self.choosing += self.clock() - began
        queue = [spec for spec in self.queue if spec in self.pool]
        picked += queue[: count // 2]
        picked += [spec for spec in self.pool if spec not in picked][: count - len(picked)]
        self.pool = [spec for spec in self.pool if spec not in picked]
        return picked

    def _unsure(self, candidates: list[Spec]) -> list[float]:
        """For each design, how far two predictors that saw different halves of the table differ, relatively."""
        import numpy as np

        from otoyol.measure.predict import OpModel

        numbers = self.table.trusted
        halves = [OpModel(self.table.rows(numbers[k::2]), trees=40) for k in (0, 1)]
        ops = [self._fused(spec) for spec in candidates]
        distinct = list(dict.fromkeys(op for fused in ops for op in fused))
        ours, theirs = (dict(zip(distinct, half(distinct), strict=True)) for half in halves)
        unsure = []
        for fused in ops:
            a, b = (np.array([side[op] for op in fused]) for side in (ours, theirs))
            unsure.append(float(np.sqrt(((a - b) ** 2).sum()) * 2 / (a + b).sum() / 2**0.5))
        return unsure


def pace_now(engine: Engine, table: Table) -> float:
    """How long the machine takes at present, relative to the pace that the table's seconds are told at: 1.05 is 5%
    slower. A few of the table's networks run again for a moment, small and large ones, in turns as they did then: one
    alone would find its own data in the caches. Raises SpecError where the table is empty."""
    if not table.networks:
        raise SpecError("table", "no networks", "at least one: measure longer")
    ranked = sorted(table.trusted, key=table.whole)
    chosen = sorted({ranked[(2 * i + 1) * len(ranked) // (2 * TOGETHER)] for i in range(TOGETHER)})
    loaded = [engine.load(parse(table.networks[i].spec)) for i in chosen]
    for running in loaded:
        running.whole()
    turns = Turns(engine.load(parse(table.anchor_spec)), ROUNDS_NOW, random.Random(0))  # noqa: S311 (no secrets)
    ratios = []
    for number, samples in zip(chosen, turns.run(loaded, lambda running: running.whole()), strict=True):
        ratios.append(median(samples[i].seconds for i in counted(samples)) / table.whole(number))
    return median(ratios)
