"""Units of the network as compiled functions of their numbers.

``lower_block`` runs once with symbols for numbers; the formulas of :mod:`otoyol.cost.unit` then give one polynomial a
quantity, and :mod:`otoyol.cost.source` prints them as a function of a few dozen multiplications. One design is a
handful of calls with integers, a batch the same calls with arrays. See docs/decisions/0001-trace-the-formulas.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any, NamedTuple

from otoyol.cost.formulas import Flops
from otoyol.cost.source import function_source
from otoyol.cost.symbols import Symbol, symbol
from otoyol.cost.unit import UnitCost, unit_cost
from otoyol.ops.block import Place, Sizes, lower_block
from otoyol.ops.network import lower_stem, lower_tail, places
from otoyol.spec.plan import Form

Number = Any

# What a unit adds up, in this order. MACs are by operator class; ``input_macs`` are those of the convolution that
# reads the image; flops of the other classes are forward, then backward.
CHEAP = Flops._fields[2:]
TOTALS = (
    "params", "buffers", "activations", "conv", "linear", "input_macs", *CHEAP, *(f"{name}_backward" for name in CHEAP),
    "moved", "held", "held_lean", "held_per_step", "index_bytes",
)  # fmt: skip
POSITION = {name: i for i, name in enumerate(TOTALS)}
PEAK = "peak"  # not a sum: the function returns it
ALL = frozenset(TOTALS) | {PEAK}


class Unit(NamedTuple):
    """``run(total, [times,] *numbers)`` adds to the list ``total`` and returns the unit's peak (see :func:`block`)."""

    run: Callable[..., Number]
    saves_x: bool
    saves_y: bool
    source: str


@cache
def block(form: Form, place: Place, grouped: bool, arrays: bool, wanted: frozenset[str] = ALL) -> Unit:
    """A block: ``run(total, times, c_in, mid, out, h, w, stride, groups)``; the peak is in elements of one image."""
    names = ("c_in", "mid", "out", "h", "w", "stride", "groups")
    n = {name: Symbol.named(name) for name in names}
    stride = n["stride"] if place.strided else 1
    groups = n["groups"] if grouped else 1
    sizes = Sizes(n["c_in"], n["mid"], n["out"], n["h"], n["w"], stride, 1, 1, groups)
    cost = unit_cost(lower_block(form, place, sizes), n["c_in"] * n["h"] * n["w"], form.norm_groups)
    return _compile("block", names, cost, arrays, wanted, times=True)


@cache
def stage(
    form: Form, projected: bool, strided: bool, dilated: bool, drop: bool, opens: bool, stem_activated: bool,
    grouped: bool, grouped_rest: bool, deep: bool, arrays: bool, wanted: frozenset[str] = ALL,
) -> tuple[Unit, Unit]:  # fmt: skip
    """A stage's first block and its other blocks (the first again where it is not ``deep``)."""
    first, rest = places(form, projected, strided, dilated, drop, opens, stem_activated)
    unit = block(form, first, grouped, arrays, wanted)
    return unit, block(form, rest, grouped_rest, arrays, wanted) if deep else unit


@cache
def stem(
    kernels: tuple[int, ...], strides: tuple[int, ...], activated: bool, pool: str, norm: str, norm_groups: int,
    act: str, arrays: bool, wanted: frozenset[str] = ALL,
) -> Unit:  # fmt: skip
    """A stem: ``run(total, channels, h, w, item_bytes, *widths)``; the peak is in bytes of one image."""
    widths = tuple(f"width{i}" for i in range(1, len(kernels) + 1))
    names = ("channels", "h", "w", "item_bytes", *widths)
    n = {name: Symbol.named(name) for name in names}
    spec: Any = SimpleNamespace(
        stem=SimpleNamespace(
            kernels=kernels, strides=strides, activated=activated, pool=pool, widths=[n[name] for name in widths]
        ),
        input=SimpleNamespace(channels=n["channels"], height=n["h"], width=n["w"]),
        norm=SimpleNamespace(kind=norm),
        act=act,
    )
    cost = unit_cost(lower_stem(spec), n["channels"] * n["h"] * n["w"], norm_groups, first=True)
    return _compile("stem", names, cost, arrays, wanted, item_bytes=n["item_bytes"])


@cache
def tail(form: Form, pool: str, dropout: bool, classifies: bool, arrays: bool, wanted: frozenset[str] = ALL) -> Unit:
    """What follows the stages: ``run(total, c, h, w, classes)``; the peak is in elements of one image."""
    names = ("c", "h", "w", "classes")
    n = {name: Symbol.named(name) for name in names}
    head = SimpleNamespace(pool=pool, dropout=dropout, classes=n["classes"] if classifies else 0)
    spec: Any = SimpleNamespace(plan=[SimpleNamespace(form=form)], head=head)
    ops = lower_tail(spec, n["c"], n["h"], n["w"])  # type: ignore[arg-type]
    return _compile(
        "tail", names, unit_cost(ops, n["c"] * n["h"] * n["w"], form.norm_groups, last=True), arrays, wanted
    )


def sums(cost: UnitCost) -> dict[str, Number]:
    """The totals of a unit, by name."""
    total: dict[str, Number] = dict.fromkeys(TOTALS, 0)
    for row in cost.rows:
        for name in ("params", "buffers", "activations", "moved", "held", "held_lean", "held_per_step", "index_bytes"):
            total[name] = total[name] + getattr(row, name)
        if row.operator_class in CHEAP:
            total[row.operator_class] = total[row.operator_class] + row.forward_flops
            total[f"{row.operator_class}_backward"] = total[f"{row.operator_class}_backward"] + row.backward_flops
        else:
            total[row.operator_class] = total[row.operator_class] + row.macs
            if row.reads_image:
                total["input_macs"] = row.macs
    return total


def _compile(
    name: str, arguments: Sequence[str], cost: UnitCost, arrays: bool, wanted: frozenset[str],
    *, times: bool = False, item_bytes: Symbol | None = None,
) -> Unit:  # fmt: skip
    quantities = {POSITION[key]: symbol(value) for key, value in sums(cost).items() if key in wanted}
    peaks = []
    for row in cost.rows if PEAK in wanted else ():
        elements = symbol(row.live.elements)
        peaks.append(elements * item_bytes + row.live.index_bytes if item_bytes is not None else elements)
    text = function_source(name, arguments, quantities, peaks, arrays, times)
    scope: dict[str, Any] = {}
    if arrays:
        from numpy import maximum

        scope["maximum"] = maximum
    exec(compile(text, f"<otoyol.cost {name}>", "exec"), scope)  # noqa: S102 (the text is our own print of our own formulas)
    return Unit(scope[name], cost.saves_x, cost.saves_y, text)
