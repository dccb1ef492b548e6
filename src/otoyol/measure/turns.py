"""Running networks in turns, and knowing when the machine was disturbed meanwhile.

Between any two runs a small network, the anchor, runs too. Where it takes longer than it can, something else has the
machine (another process, the other thread of the same core), and the run beside it is not counted if others are calm.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

from otoyol.measure.engine import Running
from otoyol.measure.table import NOISY, Timing, timing

DISTURBED = 1.12  # times the anchor's own pace beyond which a neighbouring run is not calm
PATIENCE = 3  # times the wanted rounds after which a network is left as it is
WARM_UP = 12
FEWEST_CALM = 3


class Sample(NamedTuple):
    """``calm``: the anchor was undisturbed before and after."""

    seconds: float
    calm: bool


class Turns:
    """``readings`` are the anchor's seconds so far."""

    def __init__(self, anchor: Running, rounds: int, shuffle: random.Random, earlier: Sequence[float] = ()) -> None:
        """``earlier`` readings of the same anchor, where there are some."""
        self.anchor, self.rounds, self.shuffle = anchor, rounds, shuffle
        self.readings = [*earlier, *(anchor.whole() for _ in range(WARM_UP))]

    @property
    def pace(self) -> float:
        """What the anchor takes when nothing disturbs it: the fastest twentieth of all its readings."""
        return sorted(self.readings)[len(self.readings) // 20]

    def run(self, loaded: Sequence[Running], call: Callable[[Running], float]) -> list[list[Sample]]:
        """Everybody once a round, in a new order each time, until each has enough calm samples that agree, or
        ``PATIENCE`` ends."""
        samples: list[list[Sample]] = [[] for _ in loaded]
        before = self._read()
        for turn in range(PATIENCE * self.rounds):
            order = [i for i, s in enumerate(samples) if turn < self.rounds or not self._enough(s)]
            if not order:
                break
            self.shuffle.shuffle(order)
            limit = DISTURBED * self.pace
            for i in order:
                seconds = call(loaded[i])
                after = self._read()
                samples[i].append(Sample(seconds, max(before, after) <= limit))
                before = after
        return samples

    def _read(self) -> float:
        self.readings.append(self.anchor.whole())
        return self.readings[-1]

    def _enough(self, samples: Sequence[Sample]) -> bool:
        calm = [s.seconds for s in samples if s.calm]
        return len(calm) >= self.rounds and timing(calm).spread <= NOISY


def is_calm(samples: Sequence[Sample]) -> bool:
    """Whether enough samples are calm to go by them alone."""
    return sum(sample.calm for sample in samples) >= FEWEST_CALM


def counted(samples: Sequence[Sample]) -> list[int]:
    """Which samples count: the calm ones where there are enough, otherwise all."""
    everything = range(len(samples))
    return [i for i in everything if samples[i].calm] if is_calm(samples) else list(everything)


def summary(samples: Sequence[Sample]) -> Timing:
    """The timing of those samples that count."""
    return timing([samples[i].seconds for i in counted(samples)])
