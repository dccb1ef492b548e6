"""An engine whose law is known: nothing runs, and the clock moves by what its runs would have taken."""

from __future__ import annotations

import random

from otoyol.measure import FusedOp, Rules, fuse
from otoyol.ops import lower

SLOPE, PER_OP, CONSTANT = 1.05, 4e-6, 50e-6  # whole = SLOPE·Σ + PER_OP·n + CONSTANT


def law(op: FusedOp) -> float:
    """Seconds: compute at an efficiency that grows with channels, memory traffic, a constant."""
    positions = op.h_out * op.w_out
    macs = op.kernel**2 * op.c_in / op.groups * op.c_out * positions if op.kind in ("conv", "linear") else 0
    efficiency = min(op.c_out, 256) / (min(op.c_out, 256) + 16)
    moved = 4 * (op.c_in * op.h_in * op.w_in + op.c_out * positions)
    return macs / (1e10 * efficiency) + moved / 8e9 + 3e-6


class Fake:
    name, threads, batch, dtype = "fake", 1, 1, "float32"
    rules = Rules(conv_norm=True, conv_acts=frozenset({"relu"}))
    versions = {"fake": "1.0"}  # noqa: RUF012

    def __init__(self, noise: float = 0.0, seed: int = 0) -> None:
        self.noise, self.random = noise, random.Random(seed)
        self.now = 0.0
        self.loaded = self.wholes = 0

    def clock(self) -> float:
        return self.now

    def truth(self, spec) -> float:
        ops = [group.op for group in fuse(lower(spec).ops, self.rules)]
        return SLOPE * sum(map(law, ops)) + PER_OP * len(ops) + CONSTANT

    def shaken(self, seconds: float) -> float:
        return seconds * (1 + self.noise * abs(self.random.gauss(0, 1)))

    def load(self, spec):
        self.loaded += 1
        return FakeNetwork(self, spec)


class FakeNetwork:
    def __init__(self, engine: Fake, spec) -> None:
        self.engine = engine
        self.laws = [law(group.op) for group in fuse(lower(spec).ops, engine.rules)]
        self.true = engine.truth(spec)
        self.taken: list[list[float]] = []

    def traced(self) -> float:
        self.taken.append([self.engine.shaken(seconds) for seconds in self.laws])
        self.engine.now += sum(self.taken[-1])
        return sum(self.taken[-1])

    def traces(self):
        return self.taken

    def whole(self) -> float:
        seconds = self.engine.shaken(self.true)
        self.engine.now += seconds
        self.engine.wholes += 1
        return seconds
