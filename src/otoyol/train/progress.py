"""How far a run is: what its checkpoints keep beside tensors, what a listener is told, how it is left."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple


@dataclass
class Progress:
    """What a checkpoint keeps beside tensors. ``step``: optimiser steps done. ``settled``: the last step whose row,
    evaluation and best weights are dealt with. ``sums``: of the loss and its parts since the last row, over ``steps``
    steps. ``left_out``: unreadable samples, ``nan_steps``: steps that were skipped, counted from 1."""

    step: int = 0
    settled: int = 0
    sums: list[float] = field(default_factory=list)
    steps: int = 0
    updates: int = 0
    seconds: float = 0.0
    log_size: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    best: dict[str, Any] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    nan_steps: list[int] = field(default_factory=list)


class Told(NamedTuple):
    """What a listener is told after each step, and with ``metrics`` after an evaluation."""

    step: int
    steps: int
    epoch: float
    loss: float
    lr: float
    images_per_second: float
    metrics: dict[str, float] | None = None


class Stopped(Exception):  # noqa: N818 (a way out, no error)
    """A signal was heeded. ``saved``: the step of the checkpoint to go on from, None where there is none."""

    def __init__(self, saved: int | None) -> None:
        super().__init__()
        self.saved = saved
