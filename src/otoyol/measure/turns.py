"""Running networks in turns, knowing the machine's pace and when it was disturbed.

Between any two runs a small network, the anchor, runs too. A machine's pace wanders over minutes (by 15% where other
machines share the host), so every run is set against the anchor's pace around it. Where the anchor jumps, or is far
from the best it can, something else has the machine (another process, the other thread of the same core), and the run
beside it is not counted if others are calm.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple

from otoyol.measure.engine import Running
from otoyol.measure.table import NOISY, Timing, timing

DISTURBED = 1.12  # times the pace around it beyond which an anchor's reading means that its neighbour is not calm
SLOW = 1.3  # times the best pace beyond which nothing is calm: what shares the machine slows operators differently
REACH = 4  # readings on either side of a run that tell the pace
PATIENCE = 3  # times the wanted rounds after which a network is left as it is
WARM_UP = 12
FEWEST_CALM = 3


class Sample(NamedTuple):
    """``pace``: the anchor's seconds around the run. ``calm``: it was undisturbed before and after."""

    seconds: float
    pace: float
    calm: bool


class Turns:
    """``readings`` are the anchor's seconds so far."""

    def __init__(self, anchor: Running, rounds: int, shuffle: random.Random, earlier: Sequence[float] = ()) -> None:
        """``earlier`` readings of the same anchor, where there are some."""
        self.anchor, self.rounds, self.shuffle = anchor, rounds, shuffle
        self.readings = [*earlier, *(anchor.whole() for _ in range(WARM_UP))]

    @property
    def best(self) -> float:
        """What the anchor takes when nothing disturbs it: the fastest twentieth of all its readings."""
        return sorted(self.readings)[len(self.readings) // 20]

    def run(self, loaded: Sequence[Running], call: Callable[[Running], float]) -> list[list[Sample]]:
        """Everybody once a round, in a new order each time, until each has enough calm samples that agree, or
        ``PATIENCE`` ends."""
        taken: list[list[tuple[float, int]]] = [[] for _ in loaded]
        self._read()
        for turn in range(PATIENCE * self.rounds):
            order = [i for i, runs in enumerate(taken) if turn < self.rounds or not self._enough(runs)]
            if not order:
                break
            self.shuffle.shuffle(order)
            for i in order:
                before = len(self.readings) - 1
                taken[i].append((call(loaded[i]), before))
                self._read()
        return [self._samples(runs) for runs in taken]

    def _read(self) -> None:
        self.readings.append(self.anchor.whole())

    def _samples(self, runs: Sequence[tuple[float, int]]) -> list[Sample]:
        """Every run's seconds, given with the number of the reading before it."""
        limit, samples = SLOW * self.best, []
        for seconds, before in runs:
            pace = median(self.readings[max(before + 1 - REACH, 0) : before + 1 + REACH])
            calm = max(self.readings[before : before + 2]) <= DISTURBED * pace <= DISTURBED * limit
            samples.append(Sample(seconds, pace, calm))
        return samples

    def _enough(self, runs: Sequence[tuple[float, int]]) -> bool:
        calm = [s.seconds / s.pace for s in self._samples(runs) if s.calm]
        return len(calm) >= self.rounds and timing(calm).spread <= NOISY


def is_calm(samples: Sequence[Sample]) -> bool:
    """Whether enough samples are calm to go by them alone."""
    return sum(sample.calm for sample in samples) >= FEWEST_CALM


def counted(samples: Sequence[Sample]) -> list[int]:
    """Which samples count: the calm ones where there are enough, otherwise all."""
    everything = range(len(samples))
    return [i for i in everything if samples[i].calm] if is_calm(samples) else list(everything)


def paces(samples: Sequence[Sample]) -> list[float]:
    """The anchor's seconds around those samples that count."""
    return [samples[i].pace for i in counted(samples)]


def summary(samples: Sequence[Sample], pace: float | None = None) -> Timing:
    """The timing of those samples that count, at the given pace (by default at the usual one while they ran)."""
    pace = median(paces(samples)) if pace is None else pace
    return timing([samples[i].seconds / samples[i].pace * pace for i in counted(samples)])
