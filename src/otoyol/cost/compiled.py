"""Units of the network as compiled functions of their numbers.

``lower_block`` runs once with symbols for numbers; the formulas of :mod:`otoyol.cost.unit` then give one polynomial a
quantity, and :mod:`otoyol.cost.source` prints them as a function of a few dozen multiplications. One design is a
handful of calls with integers, a batch the same calls with arrays. See docs/decisions/0001-trace-the-formulas.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple

from otoyol.cost.formulas import Flops
from otoyol.cost.source import function_source
from otoyol.cost.symbols import Symbol, symbol
from otoyol.cost.unit import UnitCost, unit_cost
from otoyol.ops.block import Sizes, lower_block, strided
from otoyol.ops.network import lower_stem, lower_tail, places
from otoyol.spec.plan import Form

Number = Any

# What a unit adds up, in this order. MACs are by operator class; ``input_macs`` are those of the convolution that
# reads the image; flops of the other classes are forward, then backward.
CHEAP = Flops._fields[2:]
TOTALS = (
    "params", "buffers", "activations", "conv", "linear", "input_macs", *CHEAP, *(f"{name}_backward" for name in CHEAP),
    "moved", "held", "held_lean", "held_per_step", "index_bytes",
    "index_bytes_lean",
)  # fmt: skip
ADDED = (
    "params", "buffers", "activations", "moved", "held", "held_lean", "held_per_step", "index_bytes",
    "index_bytes_lean",
)  # fmt: skip
POSITION = {name: i for i, name in enumerate(TOTALS)}
PEAK = "peak"  # not a sum: the function returns it
ALL = frozenset(TOTALS) | {PEAK}


class Unit(NamedTuple):
    """``run(total, *numbers)`` adds to the list ``total`` and returns the peak. ``saves_x``, ``saves_y``: whether
    backward needs the unit's input and output, which it shares with its neighbours and does not count."""

    run: Callable[..., Number]
    saves_x: bool
    saves_y: bool | None  # None: it depends on the depth, which is mixed
    source: str


KEPT = 4_096  # compiled units; of blocks written out there is no end
Depths = Literal["one", "more", "mixed"]  # mixed: one in some rows of a batch


@lru_cache(KEPT)
def stage(
    form: Form, projected: bool, strides: bool, dilated: bool, drop: bool, opens: bool, stem_activated: bool,
    grouped: bool, depths: Depths, arrays: bool = False, wanted: frozenset[str] = ALL,
) -> Unit:  # fmt: skip
    """A stage: ``run(total, repeat, c_in, mid, mid_rest, out, h, w, stride, groups, groups_rest)``.

    ``repeat`` is depth - 1. The peak is in elements of one image; the stage's input is alive until its end. The first
    arguments are those of :func:`otoyol.ops.network.places`.
    """
    names = ("repeat", "c_in", "mid", "mid_rest", "out", "h", "w", "stride", "groups", "groups_rest")
    n = {name: Symbol.named(name) for name in names}
    if form.inner == "width":
        n["mid_rest"], n["groups_rest"] = n["mid"], n["groups"]
    stride = n["stride"] if strides else 1
    groups, groups_rest = (n["groups"], n["groups_rest"]) if grouped else (1, 1)
    here, there = places(form, projected, strides, dilated, drop, opens, stem_activated)
    sizes = Sizes(n["c_in"], n["mid"], n["out"], n["h"], n["w"], stride, 1, 1, groups)
    x = n["c_in"] * n["h"] * n["w"]
    first = unit_cost(lower_block(form, here, sizes), x, form.norm_groups)
    total = sums(first)
    peaks = [symbol(row.live.elements) for row in first.rows]
    if depths == "one":
        return _compile("stage", names, total, peaks, (first.saves_x, first.saves_y), arrays, wanted)
    h, w = strided(n["h"], stride), strided(n["w"], stride)
    sizes = Sizes(n["out"], n["mid_rest"], n["out"], h, w, 1, 1, 1, groups_rest)
    y = n["out"] * h * w
    rest = unit_cost(lower_block(form, there, sizes), y, form.norm_groups)
    total = {name: total[name] + n["repeat"] * value for name, value in sums(rest).items()}
    some = n["repeat"] >= 1 if depths == "mixed" else symbol(1)
    peaks += [(row.live.elements + x) * some for row in rest.rows]
    # The tensors between the blocks: one behind the first, the others behind one of the rest.
    after_first, after_rest = first.saves_y or rest.saves_x, rest.saves_y or rest.saves_x
    between = (n["repeat"] * int(after_rest) + some * (int(after_first) - int(after_rest))) * y
    for name in ("held", "held_lean"):
        total[name] = total[name] + between
    saves_y = rest.saves_y if depths == "more" or rest.saves_y == first.saves_y else None
    return _compile("stage", names, total, peaks, (first.saves_x, saves_y), arrays, wanted)


@lru_cache(KEPT)
def stem(
    kernels: tuple[int, ...], strides: tuple[int, ...], activated: bool, pool: str, norm: str, norm_groups: int,
    act: str, arrays: bool = False, wanted: frozenset[str] = ALL,
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
    peaks = [row.live.elements * n["item_bytes"] + row.live.index_bytes for row in cost.rows]
    return _compile("stem", names, sums(cost), peaks, (cost.saves_x, cost.saves_y), arrays, wanted)


@lru_cache(KEPT)
def tail(
    form: Form, pool: str, dropout: bool, classifies: bool, arrays: bool = False, wanted: frozenset[str] = ALL
) -> Unit:
    """What follows the stages: ``run(total, c, h, w, classes)``; the peak is in elements of one image."""
    names = ("c", "h", "w", "classes")
    n = {name: Symbol.named(name) for name in names}
    head = SimpleNamespace(pool=pool, dropout=dropout, classes=n["classes"] if classifies else 0)
    spec: Any = SimpleNamespace(plan=[SimpleNamespace(form=form)], head=head)
    ops = lower_tail(spec, n["c"], n["h"], n["w"])  # type: ignore[arg-type]
    cost = unit_cost(ops, n["c"] * n["h"] * n["w"], form.norm_groups, last=True)
    peaks = [symbol(row.live.elements) for row in cost.rows]
    return _compile("tail", names, sums(cost), peaks, (cost.saves_x, False), arrays, wanted)


def sums(cost: UnitCost) -> dict[str, Number]:
    """The totals of a unit, by name."""
    total: dict[str, Number] = dict.fromkeys(TOTALS, 0)
    for row in cost.rows:
        for name in ADDED:
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
    name: str, arguments: Sequence[str], total: Mapping[str, Number], peaks: Sequence[Symbol],
    saves: tuple[bool, bool | None], arrays: bool, wanted: frozenset[str],
) -> Unit:  # fmt: skip
    quantities = {POSITION[key]: symbol(value) for key, value in total.items() if key in wanted}
    text = function_source(name, arguments, quantities, peaks if PEAK in wanted else (), arrays)
    scope: dict[str, Any] = {}
    if arrays:
        from numpy import maximum

        scope["maximum"] = maximum
    exec(compile(text, f"<otoyol.cost {name}>", "exec"), scope)  # noqa: S102 (our own print of our own formulas)
    return Unit(scope[name], *saves, text)
