"""A block as a graph on a grid: lanes across, rows down. Pure; nothing here knows what the picture looks like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from otoyol.audit import BlockAudit
from otoyol.ops import INPUT, Op

HIGHWAY = 0


class Node(NamedTuple):
    """An operator at its place. ``inputs`` are indices of nodes, INPUT for the block's x."""

    op: Op
    inputs: tuple[int, ...]
    lane: int
    row: int


class BlockGraph(NamedTuple):
    """``nodes`` in the order they run. Lane 0 is the highway: what x passes to become y besides F. ``branch_lane``
    is that of F(x), gates of the shortcut stand left of it, side operators such as a squeeze right of it. ``join``
    is the addition's index, or -1 where the block has no shortcut."""

    nodes: tuple[Node, ...]
    join: int
    branch_lane: int
    lanes: int
    rows: int

    @property
    def highway(self) -> tuple[Op, ...]:
        """What stands between x and y on the identity path besides the addition, in order."""
        return tuple(n.op for i, n in enumerate(self.nodes) if n.lane == HIGHWAY and i != self.join)


def block_graph(ops: Sequence[Op]) -> BlockGraph:
    """Lanes and rows for a block whose inputs are counted within it."""
    rows: list[int] = []
    for op in ops:
        rows.append(1 + max((rows[i] for i in op.inputs if i != INPUT), default=-1))
    join = next((i for i, op in enumerate(ops) if op.slot == "join"), -1)
    if join >= 0:
        road = [*_chain(ops, ops[join].inputs[1]), *range(join, len(ops))]
        branch = [i for i in _chain(ops, ops[join].inputs[0]) if i not in road]
    else:
        road, branch = [], _chain(ops, len(ops) - 1)
    sides = [i for i in range(len(ops)) if i not in road and i not in branch]
    gates = _side_lanes(ops, rows, [i for i in sides if ops[i].slot == "shortcut"])
    others = _side_lanes(ops, rows, [i for i in sides if ops[i].slot != "shortcut"])
    branch_lane = 1 + (max(gates.values()) + 1 if gates else 0)
    lanes = dict.fromkeys(road, HIGHWAY) | dict.fromkeys(branch, branch_lane)
    lanes |= {i: 1 + lane for i, lane in gates.items()}
    lanes |= {i: branch_lane + 1 + lane for i, lane in others.items()}
    nodes = tuple(Node(op, op.inputs, lanes[i], rows[i]) for i, op in enumerate(ops))
    return BlockGraph(nodes, join, branch_lane, 1 + max(lanes.values()), 1 + max(rows))


def obstacles(graph: BlockGraph, audit: BlockAudit) -> tuple[Op, ...] | None:
    """What obstructs a block's identity path, in order, as the audit judges it (a scale of one, say, does not);
    None where the block has no shortcut."""
    if graph.join < 0:
        return None
    names = {obstacle.op for obstacle in audit.obstacles}
    return tuple(op for op in graph.highway if op.name in names)


def _chain(ops: Sequence[Op], end: int) -> list[int]:
    """Operators from x to ``end`` along each one's first input."""
    chain: list[int] = []
    while end != INPUT:
        chain.append(end)
        end = ops[end].inputs[0]
    return chain[::-1]


def _side_lanes(ops: Sequence[Op], rows: Sequence[int], side: Sequence[int]) -> dict[int, int]:
    """Each operator continues its first input's lane where that is free, else takes the first free lane."""
    lanes: dict[int, int] = {}
    filled: list[int] = []  # last row taken in each lane
    for i in side:
        lane = lanes.get(ops[i].inputs[0], -1)
        if lane < 0 or filled[lane] >= rows[i]:
            lane = next((k for k, row in enumerate(filled) if row < rows[i]), len(filled))
        filled[lane : lane + 1] = [rows[i]]
        lanes[i] = lane
    return lanes
