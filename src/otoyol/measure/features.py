"""Fused operators as numbers for a regressor, for one operator or for arrays of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from otoyol.measure.fused import FusedOp

Floats = NDArray[np.float64]

# Logarithms, then flags. Of the first thirteen, time must not fall where one of them grows and the others stay: groups
# too, since at equal MACs more of them leave less to each. ``macs_16``, ``macs_64``: those of channels rounded up.
COLUMNS = (
    "macs", "elements_in", "elements_out", "weights", "c_in", "c_out", "positions", "kernel", "groups",
    "group_in", "group_out", "macs_16", "macs_64", "w_out", "stride", "dilation", "unaligned", "add", "acts",
)  # fmt: skip
MONOTONE = 13
# A kernel works on whole registers of channels, of 8 or 16 floats, and on up to four of them at once: what a
# convolution costs is the work of its channels rounded up to these. (read, written)
WHOLE = ((8, 8), (16, 16), (16, 32), (16, 64))
NUMBERS = ("c_in", "h_in", "w_in", "c_out", "h_out", "w_out", "kernel", "stride", "dilation", "groups")


class Batch(NamedTuple):
    """Operators of one class. ``x`` (n, COLUMNS) for trees; ``work`` (n, 11) for a linear law: MACs, elements in and
    out, weights, MACs of channels rounded up as WHOLE says, window elements, groups, and 1."""

    x: Floats
    work: Floats


def arrays(ops: Sequence[FusedOp]) -> dict[str, NDArray[Any]]:
    """The operators' numbers as columns, with ``add`` and ``acts`` from their tails."""
    columns = {name: np.array([getattr(op, name) for op in ops], dtype=np.int64) for name in NUMBERS}
    return columns | {"tail": np.array([tail_code(op.tail) for op in ops], dtype=np.int64)}


def tail_code(tail: str) -> int:
    """Bit 0: an addition is merged; bits above: how many activations and norms beyond it cost something."""
    words = [word for word in tail.split("+") if word]
    return int("add" in words) + 2 * sum(word not in ("add", "norm") for word in words)


def class_names(op: FusedOp, columns: dict[str, NDArray[Any]]) -> list[tuple[str, NDArray[np.bool_]]]:
    """The classes that have a law of their own, with the rows that belong to each. Convolutions are told apart by
    kernel and groups, everything else by what it is; the layout always counts."""
    layout = "/blocked" if op.blocked else "/in-place" if op.overwrites else ""
    if op.kind != "conv":
        everything = np.ones(len(columns["c_in"]), dtype=bool)
        words = op.tail if op.kind not in ("linear",) else ""
        head = f"{op.kind}:{op.detail}" if op.detail else op.kind
        return [(f"{head}+{words}{layout}" if words else head + layout, everything)]
    groups, kernel = columns["groups"], columns["kernel"]
    grouped = groups > 1
    depthwise = grouped & (groups == columns["c_in"])
    if op.detail == "vector":
        return [("conv:vector" + layout, np.ones(len(groups), dtype=bool))]
    found = [
        ("conv:pointwise", ~grouped & (kernel == 1)),
        ("conv:spatial", ~grouped & (kernel > 1)),
        ("conv:grouped", grouped & ~depthwise),
        ("conv:depthwise", depthwise),
    ]
    return [(name + layout, rows) for name, rows in found if rows.any()]


def aligned(columns: dict[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """Whether channels, and those of a group unless it has one, are multiples of 8."""
    per_group = np.minimum(columns["c_in"], columns["c_out"]) // columns["groups"]
    whole = (columns["c_in"] % 8 == 0) & (columns["c_out"] % 8 == 0)
    return np.asarray(whole & ((per_group % 8 == 0) | (per_group == 1)))


def batch_of(columns: dict[str, NDArray[Any]]) -> Batch:
    """Features of operators given as columns."""
    number = {name: values.astype(np.float64) for name, values in columns.items()}
    positions = number["h_out"] * number["w_out"]
    elements_in = number["c_in"] * number["h_in"] * number["w_in"]
    elements_out = number["c_out"] * positions
    add = columns["tail"] & 1
    square = number["kernel"] ** 2
    group_in, group_out = number["c_in"] / number["groups"], number["c_out"] / number["groups"]
    weights = square * group_in * number["c_out"]
    macs = weights * positions
    whole = []
    for read, written in WHOLE:  # fewer channels than a register holds, and a group's, are read as they are
        plain = (number["groups"] > 1) | (group_in < read)
        inside = np.where(plain, group_in, _up(number["c_in"], read))
        whole.append(square * inside * _up(number["c_out"], written) * positions)
    logs = (macs, elements_in, elements_out, weights, number["c_in"], number["c_out"], positions, number["kernel"],
            number["groups"], group_in, group_out, whole[1], whole[3], number["w_out"], number["stride"],
            number["dilation"])  # fmt: skip
    flags = (~aligned(columns), add, columns["tail"] >> 1)
    x = np.stack([*(np.log2(v) for v in logs), *(np.asarray(v, dtype=np.float64) for v in flags)], axis=1)
    windows = square * number["c_in"] * positions  # what a multiplication of matrices is given of a plain convolution
    sums = elements_in + add * elements_out
    work = (macs, sums, elements_out, weights, *whole, windows, number["groups"], np.ones_like(macs))
    return Batch(x, np.stack(work, axis=1))


def _up(channels: Floats, block: int) -> Floats:
    return np.ceil(channels / block) * block
