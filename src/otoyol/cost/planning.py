"""otoyol.spec.plan for columns: the stages' numbers and which designs are possible.

Mirrors the checks of :mod:`otoyol.spec.plan` and of the fields, row by row instead of by raising.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, cast

import numpy as np

from otoyol.cost.columns import Column, Columns
from otoyol.errors import SpecError
from otoyol.spec.blocks import branch_channels, kernel_of
from otoyol.spec.model import Spec
from otoyol.spec.plan import MAX_BLOCKS, Form, StagePlan

Truth = Any  # bool, or an array of them
MAX_DEPTH, MAX_WIDTH, MAX_PIXELS, MAX_CHANNELS, MAX_DENOMINATOR = 4096, 65_536, 16_384, 1_048_576, 4096


def plan_columns(spec: Spec, cells: Columns) -> tuple[tuple[StagePlan, ...], Truth]:
    """Every stage's plan with columns for numbers, and which rows are possible. The numbers of others mean nothing."""
    possible: Truth = _within(cells.height, MAX_PIXELS) & _within(cells.width, MAX_PIXELS)
    for width in cells.stem_widths:
        possible = possible & _within(width, MAX_WIDTH)
    possible = possible & (sum(cells.depths) <= MAX_BLOCKS)
    plans = []
    c_in = cells.stem_widths[-1]
    for index, base in enumerate(spec.plan):
        plan, fine = _plan_stage(base, cells, index, c_in)
        possible = possible & fine
        plans.append(plan)
        c_in = plan.out
    if spec.norm.kind == "group":
        for channels in (*cells.stem_widths, *(c for plan in plans for c in (plan.mid, plan.mid_rest, plan.out))):
            possible = possible & (channels % spec.norm.groups == 0)
    return tuple(plans), possible


def _plan_stage(base: StagePlan, cells: Columns, index: int, c_in: Column) -> tuple[StagePlan, Truth]:
    form, depth, width = base.form, cells.depths[index], cells.widths[index]
    possible = _within(depth, MAX_DEPTH) & _within(width, MAX_WIDTH)
    ratio = cells.expansions[index]
    possible = possible & _fair(*ratio)
    if form.inner == "input":
        out = width
        mid, whole = _times(c_in, *ratio)
        mid_rest, whole_rest = _times(out, *ratio)
        possible = possible & whole & whole_rest
    else:
        mid = mid_rest = width
        out, whole = _times(width, *ratio)
        possible = possible & whole
    if form.shortcut == "A":
        possible = possible & (out >= c_in)
    known: dict[tuple[int, int], Any] = {}
    groups, fine = _groups(form, cells, index, (c_in, mid, out), known)
    groups_rest, fine_rest = _groups(form, cells, index, (out, mid_rest, out), known)
    possible = possible & fine & (fine_rest | (depth == 1))
    numbers: Any = {
        "depth": depth, "c_in": c_in, "mid": mid, "mid_rest": mid_rest, "out": out, "groups": groups,
        "groups_rest": groups_rest,
    }  # fmt: skip
    return base._replace(**numbers), possible


def _within(value: Column, most: int) -> Truth:
    return (value >= 1) & (value <= most)


def _fair(numerator: Column, denominator: Column) -> Truth:
    """A positive rational from 1/64 to 64 with a denominator of at most four digits."""
    if isinstance(denominator, int) and isinstance(numerator, int):
        return True  # the spec's own
    plain: Truth = np.all(denominator == 1)
    if plain:
        return _within(numerator, 64)
    fine = (denominator >= 1) & (numerator >= 1) & (numerator <= 64 * denominator) & (denominator <= 64 * numerator)
    if np.any(denominator > MAX_DENOMINATOR):
        fine = fine & (denominator // np.maximum(np.gcd(numerator, denominator), 1) <= MAX_DENOMINATOR)
    return fine


def _times(channels: Column, numerator: Column, denominator: Column) -> tuple[Column, Truth]:
    """Channels × ratio, and whether it is whole and not too large."""
    product = channels * numerator
    if isinstance(denominator, int) and denominator == 1:
        return product, product <= MAX_CHANNELS
    below = denominator if isinstance(denominator, int) else np.maximum(denominator, 1)
    quotient = product // below
    return quotient, (quotient * below == product) & (quotient <= MAX_CHANNELS)


def _groups(
    form: Form, cells: Columns, index: int, channels: tuple[Column, Column, Column], known: dict[tuple[int, int], Any]
) -> tuple[Column, Truth]:
    """Groups of the spatial convolutions between (in, inner, out) channels, and whether they divide them. ``known``
    remembers divisions of columns: they are what costs most here."""
    mid, given, per_group = channels[1], cells.groups[index], cells.group_widths[index]
    possible: Truth = True
    if per_group is not None:
        groups, possible = _divided(known, mid, per_group)
    else:
        groups = 1 if given is None else given
        if isinstance(groups, int) and groups == 1:
            return 1, True
        possible = groups >= 1
    for token, pair in zip(form.branch, branch_channels(form.branch, *channels), strict=True):
        if token.startswith("conv") and kernel_of(token) > 1:
            for c in pair:
                if c is not mid or per_group is None:
                    possible = possible & _divided(known, c, groups)[1]
    return groups if isinstance(groups, int) else np.maximum(groups, 1), possible


def _divided(known: dict[tuple[int, int], Any], a: Column, b: Column) -> tuple[Column, Truth]:
    """a / b, and whether it is whole."""
    key = (id(a), id(b))
    if key not in known:
        safe = max(b, 1) if isinstance(b, int) else np.maximum(b, 1)
        quotient = a // safe
        known[key] = (quotient, (b >= 1) & (quotient * safe == a)), a, b  # the columns stay, and their ids with them
    return cast(tuple[Column, Truth], known[key][0])


def edited(spec: Spec, cells: Columns, given: frozenset[str], row: int) -> Spec:
    """The spec of one row. Raises SpecError where it is impossible."""

    def at(value: Any) -> int:
        return int(value[row]) if isinstance(value, np.ndarray) else cast(int, value)

    stages = []
    for index, stage in enumerate(spec.stages):
        changes: dict[str, Any] = {"depth": at(cells.depths[index]), "width": at(cells.widths[index])}
        if "expansions" in given:
            numerator, denominator = map(at, cells.expansions[index])
            if denominator < 1:
                raise SpecError(f"stages[{index}].expansion", f"{numerator}/{denominator}", "a positive denominator")
            changes["expansion"] = Fraction(numerator, denominator)
        if "groups" in given or "group_widths" in given:
            groups, width = cells.groups[index], cells.group_widths[index]
            changes["groups"] = at(groups) if groups is not None else None
            changes["group_width"] = at(width) if width is not None else None
        stages.append({**dict(stage), **changes})
    return spec.model_copy(
        update={
            "stages": stages,
            "stem": {**dict(spec.stem), "widths": [at(width) for width in cells.stem_widths]},
            "input": {**dict(spec.input), "height": at(cells.height), "width": at(cells.width)},
        }
    )
