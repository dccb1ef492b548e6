"""Where the cost is: operator by operator, and by slot, block, stage or operator class."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from otoyol.cost import formulas
from otoyol.cost.compiled import POSITION, TOTALS, sums
from otoyol.cost.count import Count, finish, item_bytes
from otoyol.cost.formulas import OperatorClass
from otoyol.cost.memory import Moment
from otoyol.cost.unit import Row, UnitCost, unit_cost
from otoyol.errors import SpecError
from otoyol.ops.block import lower_block
from otoyol.ops.network import block_groups, lower, lower_stem, lower_tail
from otoyol.ops.op import INPUT, Op
from otoyol.spec.model import Spec


class OpCost(NamedTuple):
    """One operator and its cost. ``peak_inference_bytes`` is what is alive while it runs; the other figures add up to
    the design's. A tensor held for backward is told of the operator that made it, the image of the first one."""

    op: Op
    operator_class: OperatorClass
    cost: Count


By = Literal["op", "slot", "block", "stage", "class"]


def table(spec: Spec, *, batch: int = 1, dtype: str = "float32") -> tuple[OpCost, ...]:
    """Every operator of ``lower(spec)`` with its cost, in order. Arguments and errors are those of ``count``."""
    size = item_bytes(batch, dtype)
    ops = lower(spec).ops
    return tuple(
        OpCost(op, row.operator_class, _cost(row, extra, outside, batch, dtype, size))
        for op, (row, extra, outside) in zip(ops, _rows(spec, ops), strict=True)
    )


def by(spec: Spec, key: By, *, batch: int = 1, dtype: str = "float32") -> dict[str, Count]:
    """Costs grouped: by ``op`` (its name), ``slot``, ``block`` (``stages.0.1``), ``stage`` (``stages.0``), or operator
    ``class``; what stands in no block or stage goes by its slot (``stem``, ``head``). Groups come in the order they run
    and add up to ``count(spec)``, but for the peak, which is the largest of theirs."""
    if key not in GROUPS:
        raise SpecError("by", key, ", ".join(GROUPS))
    groups: dict[str, Count] = {}
    for row in table(spec, batch=batch, dtype=dtype):
        name = GROUPS[key](row)
        groups[name] = add(groups[name], row.cost) if name in groups else row.cost
    return groups


GROUPS: dict[str, Callable[[OpCost], str]] = {
    "op": lambda row: row.op.name,
    "slot": lambda row: row.op.slot,
    "block": lambda row: f"stages.{row.op.stage}.{row.op.block}" if row.op.stage >= 0 else row.op.slot,
    "stage": lambda row: f"stages.{row.op.stage}" if row.op.stage >= 0 else row.op.slot,
    "class": lambda row: row.operator_class,
}


def add(a: Count, b: Count) -> Count:
    """The cost of two parts of one design."""
    return a._replace(
        **{name: getattr(a, name) + getattr(b, name) for name in _ADDITIVE},
        forward_flops=formulas.Flops(*map(sum, zip(a.forward_flops, b.forward_flops, strict=True))),
        backward_flops=formulas.Flops(*map(sum, zip(a.backward_flops, b.backward_flops, strict=True))),
        peak_inference_bytes=max(a.peak_inference_bytes, b.peak_inference_bytes),
    )


_ADDITIVE = (
    "params", "buffers", "macs", "backward_macs", "activations", "weight_bytes", "train_bytes", "train_bytes_lean",
    "bytes_moved",
)  # fmt: skip


class _Unit(NamedTuple):
    cost: UnitCost
    x: int  # elements of the unit's input
    outside: int  # elements alive around the unit: the image, and the stage's input


def _units(spec: Spec) -> Iterator[_Unit]:
    """Stem, blocks and tail, as they run."""
    norm_groups = spec.norm.groups if spec.norm.kind == "group" else 0
    image = spec.input.channels * spec.input.height * spec.input.width
    ops = lower_stem(spec)
    yield _Unit(unit_cost(ops, image, norm_groups, first=True), image, 0)
    for stage, plan in enumerate(spec.plan):
        h, w = ops[-1].h_out, ops[-1].w_out
        stage_input = plan.c_in * h * w
        for group in block_groups(spec, plan, stage, h, w):
            ops = lower_block(plan.form, group.place, group.sizes)
            x = group.sizes.c_in * group.sizes.h * group.sizes.w
            unit = unit_cost(ops, x, norm_groups)
            for _ in range(group.repeat):
                yield _Unit(unit, x, image + (stage_input if group.first else 0))
    c, h, w = ops[-1].c_out, ops[-1].h_out, ops[-1].w_out
    yield _Unit(unit_cost(lower_tail(spec, c, h, w), c * h * w, norm_groups, last=True), c * h * w, image)


def _rows(spec: Spec, ops: tuple[Op, ...]) -> Iterator[tuple[Row, int, int]]:
    """For every operator: its row, the elements of a unit's output that it makes and that is held, what is alive around
    it."""
    units = list(_units(spec))
    following = [*units[1:], None]
    for unit, after in zip(units, following, strict=True):
        for i, row in enumerate(unit.cost.rows):
            extra = unit.x if unit is units[0] and i == 0 else 0  # the first convolution saves the image
            if i == len(unit.cost.rows) - 1 and after is not None and (unit.cost.saves_y or after.cost.saves_x):
                extra += after.x
            yield row, extra, unit.outside
    for op in ops:
        if op.slot == "tap":
            yield _beside(op), 0, 0


def _beside(op: Op) -> Row:
    """An operator of a tap's own stands beside the forward pass: only its parameters count."""
    row = unit_cost([op._replace(inputs=(INPUT,))], 0, 0).rows[0]
    nothing = Row(row.operator_class, False, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, Moment(0, 0))
    return nothing._replace(params=row.params, buffers=row.buffers)


def _cost(row: Row, extra: int, outside: int, batch: int, dtype: str, size: int) -> Count:
    total = [0] * len(TOTALS)
    for name, value in sums(UnitCost((row,), False, False)).items():
        total[POSITION[name]] = value
    peak = (row.live.elements + outside) * size + row.live.index_bytes if row.live.elements else 0
    return finish(total, extra, peak, batch, dtype, size)
