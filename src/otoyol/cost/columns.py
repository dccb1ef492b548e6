"""The numbers of many designs as columns: given arrays where there are some, the base spec's numbers elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from otoyol.errors import SpecError
from otoyol.spec.model import Spec
from otoyol.spec.plan import expansion_of

Ints = NDArray[np.int64]
Column = int | Ints  # one number for all designs, or (N,)
FIELDS = ("depths", "widths", "expansions", "groups", "group_widths", "stem_widths", "heights", "widths_px")


class Columns(NamedTuple):
    """One column a stage (or a stem convolution). Where ``groups`` has no number for a stage ``group_widths`` may."""

    size: int
    depths: tuple[Column, ...]
    widths: tuple[Column, ...]
    expansions: tuple[tuple[Column, Column], ...]  # numerators, denominators
    groups: tuple[Column | None, ...]
    group_widths: tuple[Column | None, ...]
    stem_widths: tuple[Column, ...]
    height: Column
    width: Column

    def take(self, rows: Any) -> Columns:
        """The designs that ``rows`` selects: a slice, a mask or indices."""

        def cut(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(cut(item) for item in value)
            return np.ascontiguousarray(value[rows]) if isinstance(value, np.ndarray) else value

        size = len(range(self.size)[rows]) if isinstance(rows, slice) else int(np.count_nonzero(rows))
        return Columns(size, *(cut(value) for value in self[1:]))


def columns(spec: Spec, given: Mapping[str, ArrayLike]) -> Columns:
    """Columns from arrays (N,) or (N, stages), and ``spec``. Raises SpecError naming the array that does not fit."""
    arrays = {name: _whole_numbers(name, value) for name, value in given.items() if name != "expansions"}
    ratios = _ratios(given["expansions"]) if "expansions" in given else None
    sizes = {len(array) for array in (*arrays.values(), *(ratios or ())) if array is not None and array.ndim}
    if len(sizes) != 1:
        raise SpecError(
            "count_batch", f"arrays of {sorted(sizes)} designs", "one length for all arrays, at least one array"
        )
    (size,) = sizes
    stages = len(spec.stages)

    def split(name: str, parts: int, base: Any) -> tuple[Any, ...]:
        return _split(name, arrays[name], size, parts) if name in arrays else tuple(base)

    if "groups" in arrays and "group_widths" in arrays:
        raise SpecError("group_widths", "an array", "only one of groups and group_widths")
    grouping = [stage if stage.groups is not None or stage.group_width is not None else spec for stage in spec.stages]
    base_groups = [None if "group_widths" in arrays else part.groups for part in grouping]
    base_widths = [None if "groups" in arrays else part.group_width for part in grouping]
    ours = [expansion_of(spec, stage) for stage in spec.stages]
    expansions = (
        zip(
            *((1,) * stages if part is None else _split("expansions", part, size, stages) for part in ratios),
            strict=True,
        )
        if ratios
        else ((ratio.numerator, ratio.denominator) for ratio in ours)
    )
    return Columns(
        size,
        split("depths", stages, (stage.depth for stage in spec.stages)),
        split("widths", stages, (stage.width for stage in spec.stages)),
        tuple(expansions),
        split("groups", stages, base_groups),
        split("group_widths", stages, base_widths),
        split("stem_widths", len(spec.stem.widths), spec.stem.widths),
        split("heights", 1, (spec.input.height,))[0],
        split("widths_px", 1, (spec.input.width,))[0],
    )


def _whole_numbers(name: str, value: ArrayLike) -> Ints:
    array = np.asarray(value)
    if array.dtype.kind not in "iu":
        raise SpecError(name, f"an array of {array.dtype}", "whole numbers")
    if array.dtype.kind == "u" and array.size and array.max() > np.iinfo(np.int64).max:
        raise SpecError(name, array.max(), "whole numbers below 2**63")
    return array.astype(np.int64, copy=False)


def _ratios(value: Any) -> tuple[Ints, Ints | None]:
    """Numerators and denominators (None: all 1): of whole numbers, of a pair of arrays, or of floats by their shortest
    decimal."""
    if isinstance(value, tuple):
        if len(value) != 2:
            raise SpecError("expansions", f"a tuple of {len(value)}", "an array, or numerators and denominators")
        return _whole_numbers("expansions", value[0]), _whole_numbers("expansions", value[1])
    array = np.asarray(value)
    if array.dtype.kind in "iu":
        return _whole_numbers("expansions", array), None
    if array.dtype.kind != "f" or not np.isfinite(array).all():
        raise SpecError("expansions", f"an array of {array.dtype}", "finite numbers, or numerators and denominators")
    distinct, where = np.unique(array, return_inverse=True)
    ratios = [Fraction(str(number)) for number in distinct]
    ratios = [ratio if max(abs(ratio.numerator), ratio.denominator) < 2**62 else Fraction(0) for ratio in ratios]
    parts = np.array([(ratio.numerator, ratio.denominator) for ratio in ratios], np.int64)[where.reshape(array.shape)]
    return parts[..., 0], parts[..., 1]


def _split(name: str, array: Ints, size: int, parts: int) -> tuple[Column, ...]:
    """One column a part from (N,) or (N, parts)."""
    if array.ndim == 2 and array.shape == (size, parts):
        return tuple(array[:, i] for i in range(parts))
    if array.shape == (size,):
        return (array,) * parts
    raise SpecError(name, f"an array of shape {array.shape}", f"shape ({size},) or ({size}, {parts})")
