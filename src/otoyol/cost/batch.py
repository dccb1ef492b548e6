"""count_batch: the costs of millions of designs that share a structure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from otoyol.cost.columns import FIELDS, Columns, Ints, columns
from otoyol.cost.compiled import CHEAP, PEAK, Depths, Unit, stage, tail
from otoyol.cost.count import Count, add_tap_norms, compose, finish, item_bytes, stem_unit
from otoyol.cost.formulas import CLASSES, Flops
from otoyol.cost.planning import edited, plan_columns
from otoyol.errors import SpecError
from otoyol.spec.model import Spec
from otoyol.spec.plan import StagePlan

CHUNK = 16_384  # designs at a time: a few dozen columns of this length stay in the cache
LARGEST = int(np.iinfo(np.int64).max)

# What each quantity of a Count is made of.
MADE_OF: dict[str, frozenset[str]] = {
    "params": frozenset({"params"}),
    "buffers": frozenset({"buffers"}),
    "macs": frozenset({"conv", "linear"}),
    "backward_macs": frozenset({"conv", "linear", "input_macs"}),
    "activations": frozenset({"activations"}),
    "forward_flops": frozenset({"conv", "linear", *CHEAP}),
    "backward_flops": frozenset({"conv", "linear", "input_macs", *(f"{name}_backward" for name in CHEAP)}),
    "weight_bytes": frozenset({"params"}),
    "train_bytes": frozenset({"held", "held_per_step", "index_bytes"}),
    "train_bytes_lean": frozenset({"held_lean", "held_per_step", "index_bytes_lean"}),
    "peak_inference_bytes": frozenset({PEAK}),
    "bytes_moved": frozenset({"moved", "params", "buffers"}),
}
QUANTITIES = tuple(MADE_OF)


@dataclass(frozen=True)
class BatchCount:
    """The costs of N designs: int64 arrays (N,) named and defined as in :class:`otoyol.cost.Count`; FLOPs are a
    :class:`otoyol.cost.Flops` of arrays. Quantities that were not asked for are None.

    ``valid`` (N,) is False where a design is impossible or a figure exceeds 2**63 - 1; its figures are 0, and
    :meth:`reason` tells why. :meth:`spec` gives a row as a spec, whose ``count`` equals the row.
    """

    valid: NDArray[np.bool_]
    batch: int
    dtype: str
    params: Ints | None = None
    buffers: Ints | None = None
    macs: Ints | None = None
    backward_macs: Ints | None = None
    activations: Ints | None = None
    forward_flops: Flops | None = None
    backward_flops: Flops | None = None
    weight_bytes: Ints | None = None
    train_bytes: Ints | None = None
    train_bytes_lean: Ints | None = None
    peak_inference_bytes: Ints | None = None
    bytes_moved: Ints | None = None
    _base: Spec = field(repr=False, kw_only=True)
    _columns: Columns = field(repr=False, kw_only=True)
    _given: frozenset[str] = field(repr=False, kw_only=True)

    def __len__(self) -> int:
        return len(self.valid)

    def spec(self, row: int) -> Spec:
        """The design of a row. Raises SpecError where it is impossible."""
        return edited(self._base, self._columns, self._given, row)

    def reason(self, row: int) -> str | None:
        """Why a row is not valid, naming the field, what was given and what is allowed; None where it is."""
        if self.valid[row]:
            return None
        try:
            self.spec(row)
        except SpecError as error:
            return str(error)
        return f"a figure of this design exceeds {LARGEST}"


def count_batch(
    spec: Spec, *, depths: ArrayLike | None = None, widths: ArrayLike | None = None,
    expansions: Any = None, groups: ArrayLike | None = None, group_widths: ArrayLike | None = None,
    stem_widths: ArrayLike | None = None, heights: ArrayLike | None = None, widths_px: ArrayLike | None = None,
    batch: int = 1, dtype: str = "float32", only: Collection[str] = QUANTITIES,
) -> BatchCount:  # fmt: skip
    """Count N designs: ``spec`` gives the structure, arrays of whole numbers replace its numbers.

    Arrays are (N,), the same number for every stage, or (N, stages); ``stem_widths`` (N,) or (N, stem convolutions);
    ``heights`` and ``widths_px``, the input's, (N,). ``expansions`` may also be floats, read by their shortest decimal
    form, or a pair of numerators and denominators. ``groups`` and ``group_widths`` replace both of the spec's.
    ``only`` names the wanted quantities; the others cost nothing.

    Impossible rows do not raise: see :attr:`BatchCount.valid`. Raises SpecError for arrays that do not fit together.
    """
    size = item_bytes(batch, dtype)
    wanted = frozenset(only)
    if unknown := wanted - MADE_OF.keys():
        raise SpecError("only", ", ".join(sorted(unknown)), ", ".join(QUANTITIES))
    given = {name: value for name, value in zip(
        FIELDS, (depths, widths, expansions, groups, group_widths, stem_widths, heights, widths_px), strict=True
    ) if value is not None}  # fmt: skip
    cells = columns(spec, given)
    job = _Job(spec, batch, dtype, size, wanted, frozenset().union(*(MADE_OF[name] for name in wanted)))
    results = {name: np.zeros(cells.size, np.int64) for name in _names(wanted)}
    valid = np.zeros(cells.size, bool)
    for low in range(0, cells.size, CHUNK):
        rows = slice(low, low + CHUNK)
        valid[rows] = _fill(job, cells.take(rows), {name: array[rows] for name, array in results.items()})
    return BatchCount(valid, batch, dtype, **_gathered(results), _base=spec, _columns=cells, _given=frozenset(given))


class _Job(NamedTuple):
    """What all rows share."""

    spec: Spec
    batch: int
    dtype: str
    size: int
    wanted: frozenset[str]
    parts: frozenset[str]


def _names(wanted: Collection[str]) -> list[str]:
    """One name an array: FLOPs are one a class."""
    return [
        name
        for quantity in QUANTITIES
        if quantity in wanted
        for name in ([f"{quantity}.{c}" for c in CLASSES] if quantity.endswith("flops") else [quantity])
    ]


def _fill(job: _Job, cells: Columns, results: dict[str, Ints]) -> NDArray[np.bool_]:
    """Write the designs' figures into ``results`` and return which designs are valid."""
    plans, possible = plan_columns(job.spec, cells)
    if not np.all(possible):
        return _fill_some(job, cells, results, np.broadcast_to(possible, cells.size))
    units = _units(job, plans)
    if not isinstance(units, list):  # the structure differs between rows
        return _fill_some(job, cells, results, units) | _fill_some(job, cells, results, ~units)
    fits = _fit(job, cells, plans)
    if not fits.all():
        return _fill_some(job, cells, results, fits)
    for name, figure in _figures(job, cells, plans, units, np.maximum).items():
        results[name][:] = figure
    return np.ones(cells.size, bool)


def _fill_some(job: _Job, cells: Columns, results: dict[str, Ints], rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The same for some of the rows; the others count as not valid."""
    valid = np.zeros(cells.size, bool)
    if rows.any():
        part = {name: array[rows] for name, array in results.items()}
        valid[rows] = _fill(job, cells.take(rows), part)
        for name, array in results.items():
            array[rows] = part[name]
    return valid


def _units(job: _Job, plans: tuple[StagePlan, ...], arrays: bool = True) -> list[Unit] | NDArray[np.bool_]:
    """Stem, stages and tail compiled for these rows; or, where the rows have not one structure, a mask that parts
    them."""
    spec, head = job.spec, job.spec.head
    units = [stem_unit(spec, arrays, job.parts)]
    for index, plan in enumerate(plans):
        projected = plan.stride != 1 or plan.c_in != plan.out
        if isinstance(projected, np.ndarray):
            if projected.any() != projected.all():
                return projected
            projected = bool(projected[0])
        least, most = np.min(plan.depth), np.max(plan.depth)
        depths: Depths = "one" if most == 1 else "more" if least > 1 else "mixed"
        grouped = not all(isinstance(groups, int) and groups == 1 for groups in (plan.groups, plan.groups_rest))
        unit = stage(
            plan.form, projected, plan.stride != 1, plan.dilation > 1, spec.drop_path > 0, index == 0,
            spec.stem.activated, grouped, depths, arrays, job.parts,
        )  # fmt: skip
        if unit.saves_y is None:
            return np.asarray(plan.depth == 1)
        units.append(unit)
    units.append(tail(plans[-1].form, head.pool, head.dropout > 0, head.classes > 0, arrays, job.parts))
    return units


def _run(
    job: _Job, cells: Columns, plans: Sequence[StagePlan], units: list[Unit], maximum: Callable[[Any, Any], Any]
) -> Count:
    spec = job.spec
    image = (spec.input.channels, cells.height, cells.width)
    total, between, peak = compose(
        units, image, spec.stem, cells.stem_widths, plans, spec.head.classes, job.size, maximum
    )
    add_tap_norms(spec, plans, total)
    return finish(total, between, peak, job.batch, job.dtype, job.size)


def _fit(job: _Job, cells: Columns, plans: Sequence[StagePlan]) -> NDArray[np.bool_]:
    """Which designs have figures below 2**63.

    One design with every column's largest number (and smallest groups), counted in Python's integers, nearly always
    answers for all; where it does not, the designs are counted in floating point.
    """
    units = _units(job, tuple(plans), arrays=False)
    largest = _figures(job, *_each(cells, plans, lambda c: int(c.max()), lambda c: int(c.min())), units, max)
    if max(largest.values(), default=0) <= LARGEST:
        return np.ones(cells.size, bool)
    units = _units(job, tuple(plans))
    with np.errstate(over="ignore"):
        figures = _figures(job, *_each(cells, plans, _float, _float), units, np.maximum)
    fits: NDArray[np.bool_] = np.ones(cells.size, bool)
    for figure in figures.values():
        fits &= figure < LARGEST * (1 - 1e-9)  # the sums' rounding is far below this
    return fits


def _float(column: Ints) -> NDArray[np.float64]:
    return column.astype(np.float64)


def _each(
    cells: Columns, plans: Sequence[StagePlan], change: Callable[[Ints], Any], change_groups: Callable[[Ints], Any]
) -> tuple[Columns, list[StagePlan]]:
    """The columns and plans with every array changed."""

    known: dict[int, Any] = {}  # a stage's output is the next one's input

    def changed(value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return value
        if id(value) not in known:
            known[id(value)] = change(value)
        return known[id(value)]

    narrow = [
        StagePlan(plan.form, *map(changed, plan[1:]))._replace(
            **{
                name: change_groups(value)
                for name in ("groups", "groups_rest")
                if isinstance(value := getattr(plan, name), np.ndarray)
            }
        )
        for plan in plans
    ]
    stem_widths = tuple(map(changed, cells.stem_widths))
    return cells._replace(stem_widths=stem_widths, height=changed(cells.height), width=changed(cells.width)), narrow


def _figures(
    job: _Job, cells: Columns, plans: Sequence[StagePlan], units: Any, maximum: Callable[[Any, Any], Any]
) -> dict[str, Any]:
    """The wanted figures, FLOPs by class, by :func:`_names`."""
    counted = _run(job, cells, plans, units, maximum)
    return {name: _pick(counted, name) for name in _names(job.wanted)}


def _pick(counted: Count, name: str) -> Any:
    quantity, _, operator_class = name.partition(".")
    value = getattr(counted, quantity)
    return getattr(value, operator_class) if operator_class else value


def _gathered(results: dict[str, Ints]) -> dict[str, Any]:
    """The fields of a BatchCount."""
    fields: dict[str, Any] = {name: array for name, array in results.items() if "." not in name}
    for quantity in ("forward_flops", "backward_flops"):
        if f"{quantity}.{CLASSES[0]}" in results:
            fields[quantity] = Flops(*(results[f"{quantity}.{name}"] for name in CLASSES))
    return fields
