"""What training may compute again in backward instead of holding it, as pure functions of the operators.

``otoyol.nn`` trains by these rules and ``otoyol.cost`` counts bytes by them.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from typing import Literal, NamedTuple

from otoyol.ops.inplace import in_place
from otoyol.ops.op import INPUT, Op

# Norms that anybody can run again. A frozen one holds no tensor; a synchronised one would have to ask the others.
AGAIN = frozenset({"batch", "group"})
INDEX_BYTES = {False: 8, True: 2}  # of a max-pool's winner: torch's int64; lean, its distance from the window's middle
WIDEST_POOLED = 32_766  # pixels: beyond, that distance is held as torch does

ModeName = Literal["standard", "lean", "checkpoint", "sqrt", "lean+checkpoint", "lean+sqrt"]


class Mode(NamedTuple):
    """How training uses memory. ``lean``: norms and acts are computed again. ``segments``: so are whole blocks, of
    which only the input is held, one by one (``block``) or about √n in a row (``sqrt``, Chen et al. 2016)."""

    lean: bool
    segments: Literal["none", "block", "sqrt"]


MODES: dict[str, Mode] = {
    "standard": Mode(False, "none"),
    "lean": Mode(True, "none"),
    "checkpoint": Mode(False, "block"),
    "sqrt": Mode(False, "sqrt"),
    "lean+checkpoint": Mode(True, "block"),
    "lean+sqrt": Mode(True, "sqrt"),
}


def recomputed(ops: Sequence[Op]) -> tuple[bool, ...]:
    """For each operator, whether lean training computes its output again in backward.

    It does where what it takes is held anyway: a norm holds its input, and so does an act that is neither a ReLU nor
    in place; an act that overwrites the output of such a norm comes with it. The last output never is: the next unit
    holds it. ``ops`` is a unit's list: a stem, a block, or a tail. Gates on F(x) are left alone.
    """
    again: list[bool] = []
    value: dict[int, int] = {}  # for every storage, named by the operator that made it, who wrote to it last
    root: list[int] = []
    for i, (op, writes) in enumerate(zip(ops, in_place(ops), strict=True)):
        source = op.inputs[0]
        root.append(root[source] if writes and source != INPUT else i)
        value[root[i]] = i
        again.append(op.slot != "attention" and _again(op, writes, source != INPUT and again[source]))
    last = len(ops) - 1
    return tuple(flag and value[root[i]] != last and again[value[root[i]]] for i, flag in enumerate(again))


def _again(op: Op, writes: bool, source_again: bool) -> bool:
    if op.kind == "norm":
        return op.detail in AGAIN
    return op.kind == "act" and (source_again if writes else op.detail != "relu")


def segment_length(blocks: int, segments: Literal["none", "block", "sqrt"]) -> int:
    """Blocks of a segment, 0 where nothing is run again: √n of the network's n blocks to the nearest whole number."""
    if segments == "none":
        return 0
    return 1 if segments == "block" else max(1, (isqrt(4 * blocks) + 1) // 2)


__all__ = ["AGAIN", "INDEX_BYTES", "MODES", "WIDEST_POOLED", "Mode", "ModeName", "recomputed", "segment_length"]
