"""Costs of designs part by part, ready to be drawn or tabulated: stem, stages, head."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple, get_args

from otoyol.cost import Count, by
from otoyol.draw import labels
from otoyol.draw.labels import say
from otoyol.errors import SpecError
from otoyol.ops import lower
from otoyol.spec import Spec

Kind = Literal["stem", "stage", "head"]
Metric = Literal["params", "macs", "activations", "train_bytes"]
METRICS: tuple[Metric, ...] = get_args(Metric)


class Part(NamedTuple):
    """A part of one design: ``stage`` counts from 0 and is -1 for ``stem`` and ``head`` (all that follows the last
    stage). ``output`` is channels, height and width. Costs are for the batch that was asked for."""

    kind: Kind
    stage: int
    blocks: int
    output: tuple[int, int, int]
    params: int
    macs: int
    activations: int
    train_bytes: int

    def title(self, lang: str) -> str:
        return say(f"draw.part.{self.kind}", lang, stage=self.stage + 1)


class Table(NamedTuple):
    """``values[design][part]`` for ``batch`` images in ``dtype``; None where a design has no such part."""

    names: tuple[str, ...]
    parts: tuple[str, ...]
    values: tuple[tuple[int | None, ...], ...]
    batch: int = 1
    dtype: str = "float32"

    @property
    def totals(self) -> tuple[int, ...]:
        return tuple(sum(value or 0 for value in row) for row in self.values)


@lru_cache(maxsize=32)
def part_costs(spec: Spec, batch: int = 1, dtype: str = "float32") -> tuple[Part, ...]:
    """Stem, stages, head; their costs add up to those of ``otoyol.cost.count``. Raises SpecError."""
    costs = by(spec, "stage", batch=batch, dtype=dtype)
    outputs: dict[str, tuple[int, int, int]] = {}
    for op in lower(spec).ops:
        if op.slot != "tap":
            outputs[f"stages.{op.stage}" if op.stage >= 0 else op.slot] = (op.c_out, op.h_out, op.w_out)
    stages = {f"stages.{i}": plan.depth for i, plan in enumerate(spec.plan)}
    parts = [_part("stem", -1, 0, outputs["stem"], costs, ["stem"])]
    parts += [_part("stage", i, depth, outputs[key], costs, [key]) for i, (key, depth) in enumerate(stages.items())]
    rest = [key for key in costs if key != "stem" and key not in stages]
    if rest:
        parts.append(_part("head", -1, 0, list(outputs.values())[-1], costs, rest))
    return tuple(parts)


def _part(
    kind: Kind, stage: int, blocks: int, output: tuple[int, int, int], costs: dict[str, Count], keys: Sequence[str]
) -> Part:
    return Part(kind, stage, blocks, output, *(sum(getattr(costs[key], name) for key in keys) for name in METRICS))


def stage_table(
    specs: Sequence[Spec], metric: Metric, lang: str, batch: int = 1, dtype: str = "float32"
) -> Table:  # fmt: skip
    """One metric of several designs over the same parts. Raises SpecError for another metric or no design."""
    if metric not in METRICS:
        raise SpecError("metric", metric, ", ".join(METRICS))
    if not specs:
        raise SpecError("specs", "no design", "at least one")
    stages = max(len(spec.plan) for spec in specs)
    columns: list[tuple[Kind, int]] = [("stem", -1), *(("stage", i) for i in range(stages)), ("head", -1)]
    values = []
    for spec in specs:
        have = {(part.kind, part.stage): getattr(part, metric) for part in part_costs(spec, batch, dtype)}
        values.append(tuple(have.get(column) for column in columns))
    parts = tuple(say(f"draw.part.{kind}", lang, stage=stage + 1) for kind, stage in columns)
    return Table(tuple(labels.spec_name(spec) for spec in specs), parts, tuple(values), batch, dtype)


def metric_title(metric: Metric, lang: str, batch: int = 1, dtype: str = "float32") -> str:
    """What the metric's figures are of, and for how many images of which type."""
    return say(f"draw.metric.{metric}", lang, batch=batch, dtype=dtype)


def unit_of(metric: Metric) -> str:
    """How the catalogue writes the metric's figures."""
    return "bytes" if metric == "train_bytes" else "si"
