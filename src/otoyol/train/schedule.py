"""The learning rate's factor as a pure function of the step, so that nothing about it needs saving."""

from __future__ import annotations

import math

from otoyol.train.config import Schedule


def warm_steps(schedule: Schedule, steps: int) -> int:
    """How many of ``steps`` rise linearly: ``warmup`` is a share below 1, a number of steps from 1 on."""
    given = schedule.warmup
    return min(steps - 1, round(given * steps) if given < 1 else int(given))


def factor(schedule: Schedule, step: int, steps: int) -> float:
    """What the peak learning rate is multiplied by at step ``step`` (from 0) of ``steps``.

    The first w steps rise linearly, (s + 1) / (w + 1). After them, with t from 0 to T: ``cosine`` is half a cosine from
    1 to ``floor`` (Loshchilov and Hutter 2017, 1608.03983, equation 5), ``poly`` (1 - t/T)^``power`` down to ``floor``,
    ``multistep`` ``gamma`` to the number of ``milestones`` passed (shares of all steps). ``onecycle`` has no such
    rise: a cosine up from 1/25 over the first ``rise`` of the steps, a cosine down to 1/250,000 (Smith and Topin 2018,
    1708.07120; torch's numbers).
    """
    if schedule.name == "onecycle":
        return _one_cycle(schedule.rise, step, steps)
    warm = warm_steps(schedule, steps)
    if step < warm:
        return (step + 1) / (warm + 1)
    t, whole = step - warm, steps - warm
    if schedule.name == "cosine":
        return schedule.floor + (1 - schedule.floor) * 0.5 * (1 + math.cos(math.pi * t / whole))
    if schedule.name == "poly":
        return schedule.floor + (1 - schedule.floor) * (1 - t / whole) ** schedule.power
    if schedule.name == "multistep":
        return schedule.gamma ** sum(step >= round(share * steps) for share in schedule.milestones)
    return 1.0


def _one_cycle(rise: float, step: int, steps: int) -> float:
    top, end = rise * steps - 1, steps - 1
    first, last = 1 / 25, 1 / 25 / 1e4
    if step <= top and top > 0:
        low, high, share = first, 1.0, step / top
    else:
        low, high, share = 1.0, last, (step - top) / max(1.0, end - top)
    return high + (low - high) / 2 * (1 + math.cos(math.pi * share))
