"""What each stage costs, by the compiled formulas of :func:`otoyol.cost.count`: as quick as one count."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from otoyol.cost.compiled import TOTALS
from otoyol.cost.count import add_tap_norms, count_units, finish, item_bytes
from otoyol.ops.block import strided
from otoyol.ops.network import taps_with_norms
from otoyol.spec.model import Spec


class StageCost(NamedTuple):
    """A stage, or the ``stem`` before or the ``head`` (all that follows) behind them: ``stage`` counts from 0, -1 for
    those two. ``output`` is channels, height and width of one image; costs are for the whole batch, as in ``Count``,
    and add up to it."""

    kind: str  # stem, stage, head
    stage: int
    blocks: int
    output: tuple[int, int, int]
    params: int
    macs: int
    activations: int
    train_bytes: int


def stage_costs(spec: Spec, *, batch: int = 1, dtype: str = "float32") -> tuple[StageCost, ...]:
    """Stem, stages, head in order; the head is left out where nothing follows the stages. Raises SpecError.

    A tensor held for backward is told of the part that made it, the image of the stem.
    """
    size = item_bytes(batch, dtype)
    units, image, head = count_units(spec), spec.input, spec.head
    c, h, w = image.channels, image.height, image.width
    numbers: list[tuple[int, ...]] = [(c, h, w, size, *spec.stem.widths)]
    own = [c * h * w if units[0].saves_x else 0]  # elements held between parts
    for stride in spec.stem.strides if spec.stem.pool == "none" else (*spec.stem.strides, 2):
        h, w = strided(h, stride), strided(w, stride)
    outputs = [(spec.stem.widths[-1], h, w)]
    for _, depth, c_in, mid, mid_rest, out, stride, _, _, groups, groups_rest in spec.plan:
        numbers.append((depth - 1, c_in, mid, mid_rest, out, h, w, stride, groups, groups_rest))
        h, w = strided(h, stride), strided(w, stride)
        outputs.append((out, h, w))
        own.append(0)
    numbers.append((out, h, w, head.classes))
    outputs.append((head.classes or out, 1, 1) if head.pool == "avg" else (out, h, w))
    own.append(0)
    for i, (before, after) in enumerate(pairwise(units)):
        if before.saves_y or after.saves_x:
            own[i] += outputs[i][0] * outputs[i][1] * outputs[i][2]
    found = []
    for i, (unit, given) in enumerate(zip(units, numbers, strict=True)):
        total = [0] * len(TOTALS)
        unit.run(total, *given)
        last = i == len(units) - 1
        if last and spec.taps == "postact":
            add_tap_norms(spec, spec.plan, total)
        cost = finish(total, own[i], 0, batch, dtype, size)
        inside = i > 0 and not last
        found.append(
            StageCost(
                "stage" if inside else "head" if last else "stem", i - 1 if inside else -1,
                spec.plan[i - 1].depth if inside else 0, outputs[i],
                cost.params, cost.macs, cost.activations, cost.train_bytes,
            )
        )  # fmt: skip
    follows = head.pool == "avg" or spec.plan[-1].form.preact or taps_with_norms(spec)
    return tuple(found if follows else found[:-1])
