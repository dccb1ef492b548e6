"""The cost of a unit (stem, block or tail): one row for each operator, and their sum.

The same code runs with integers, which gives breakdowns, and with symbols, which gives the formulas that
:mod:`otoyol.cost.compiled` turns into functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from otoyol.cost import formulas, memory
from otoyol.cost.formulas import OperatorClass
from otoyol.ops.op import INPUT, Op

Number = Any


class Row(NamedTuple):
    """One operator, one image. :mod:`otoyol.cost.count` makes bytes of elements.

    ``held`` are elements held for backward that this operator made or needs besides, the unit's own input and output
    aside; ``held_per_step`` those that do not grow with the batch; ``index_bytes`` winners of a max-pool.
    ``_lean``: the same in lean training.
    """

    operator_class: OperatorClass
    reads_image: bool  # and so needs no gradient of its input
    params: Number
    buffers: Number
    macs: Number
    activations: Number
    forward_flops: Number
    backward_flops: Number
    moved: Number  # activation elements read and written
    held: Number
    held_lean: Number
    held_per_step: Number
    index_bytes: Number
    index_bytes_lean: Number
    live: memory.Moment


class UnitCost(NamedTuple):
    """Rows, and what autograd says of the tensors that two units share: whether this unit saves its input and its
    output. (Lean training treats those alike.)"""

    rows: tuple[Row, ...]
    saves_x: bool
    saves_y: bool


def unit_cost(ops: Sequence[Op], x: Number, norm_groups: int, *, first: bool = False, last: bool = False) -> UnitCost:
    """Cost of a unit whose input has ``x`` elements; ``norm_groups`` is group norm's.

    ``first``: x is the image, whose gradient nobody asks for. ``last``: nobody shares the unit's output.
    """
    standard = memory.held(ops, norm_groups, lean=False)
    lean = memory.held(ops, norm_groups, lean=True)
    root = memory.roots(ops, training=True)
    y = root[len(ops) - 1] if ops and not last else INPUT
    kept = frozenset[int]().union(*(row.storages for row in standard))
    kept_lean = frozenset[int]().union(*(row.storages for row in lean))
    live = memory.moments(ops, x, norm_groups)
    seen: set[str] = set()
    rows = []
    for i, op in enumerate(ops):
        shared = op.name in seen  # CBAM's perceptron runs twice with one set of weights
        seen.add(op.name)
        forward, backward = formulas.flops(op)
        out = formulas.elements_out(op)
        own = standard[i].per_image
        reads_image = first and op.inputs == (INPUT,)
        rows.append(
            Row(
                operator_class=formulas.class_of(op),
                reads_image=reads_image,
                params=0 if shared else formulas.params(op),
                buffers=0 if shared else formulas.buffers(op),
                macs=formulas.macs(op),
                activations=formulas.activations(op),
                forward_flops=forward,
                backward_flops=forward if reads_image else backward,
                moved=out + sum((formulas.elements_out(ops[t]) if t != INPUT else x for t in op.inputs), 0),
                held=out + own if i in kept and i != y else own,
                held_lean=out + own if i in kept_lean and i != y else own,
                held_per_step=standard[i].per_step,
                index_bytes=standard[i].index_bytes,
                index_bytes_lean=lean[i].index_bytes,
                live=live[i],
            )
        )
    return UnitCost(tuple(rows), INPUT in kept, y != INPUT and y in kept)
