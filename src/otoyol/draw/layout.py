"""Where a block's graph lands on the page: lanes to x, rows to y. Pure arithmetic on text widths."""

from __future__ import annotations

from typing import NamedTuple

from otoyol.draw import labels
from otoyol.draw.graph import HIGHWAY, BlockGraph
from otoyol.draw.svg import text_width
from otoyol.ops import INPUT, Op

ROAD = 46.0  # width of the motorway
FLOW = 96.0  # width of the block's widest tensor
THIN = 8.0  # width of the narrowest glyph
MARGIN = 20.0
BOLD = 1.09  # how much wider strong text is
BETWEEN = 40.0  # from one lane's labels to the next lane's glyphs
TO_LABEL = 11.0
GAP = 12.0  # between rows
NOTE = 24.0  # added below a row that changes a shape
TURN = 16.0  # added where a wire turns off
FORK = 26.0  # added where F leaves the motorway
CAPTION = 20.0  # added above a row where a slot begins

HEIGHTS = {"conv": 30.0, "conv1d": 24.0, "linear": 24.0, "add": 24.0, "mul": 24.0}
LOW = 16.0
JOIN = 30.0


class Lane(NamedTuple):
    x: float  # centre of the glyphs
    half: float  # half the widest glyph
    right: float  # end of the labels


class Grid(NamedTuple):
    lanes: tuple[Lane, ...]
    top: tuple[float, ...]  # of each row
    height: tuple[float, ...]
    start: float  # of the motorway
    end: float
    width: float
    fork: int  # F leaves the motorway above this row

    def middle(self, row: int) -> float:
        return self.top[row] + self.height[row] / 2

    def bottom(self, row: int) -> float:
        return self.top[row] + self.height[row]

    def moved(self, down: float) -> Grid:
        return self._replace(top=tuple(y + down for y in self.top), start=self.start + down, end=self.end + down)


def glyph_height(op: Op) -> float:
    return JOIN if op.slot == "join" else HEIGHTS.get(op.kind, LOW)


def flow_scale(ops: list[Op]) -> float:
    """Pixels a channel."""
    return FLOW / max(max(op.c_in, op.c_out) for op in ops)


def changes_shape(op: Op) -> bool:
    return (op.c_in, op.h_in, op.w_in) != (op.c_out, op.h_out, op.w_out)


def first_of_slots(ops: list[Op]) -> dict[int, str]:
    """Operators that begin a slot for the first time; the addition speaks for itself."""
    starts: dict[str, int] = {}
    for i, op in enumerate(ops):
        starts.setdefault(op.slot, i)
    return {i: slot for slot, i in starts.items() if slot != "join"}


def fork_row(graph: BlockGraph) -> int:
    """The row above which F leaves the motorway: below what both share."""
    first = next((n for n in graph.nodes if n.lane == graph.branch_lane), None)
    if first is None or first.inputs[0] == INPUT:
        return 0
    return graph.nodes[first.inputs[0]].row + 1


def grid_of(graph: BlockGraph, lang: str, wide: float) -> Grid:
    """The grid of a block's picture whose motorway begins at 0; at least ``wide`` across."""
    ops = [node.op for node in graph.nodes]
    fork = fork_row(graph)
    lanes = _lanes(graph, ops, lang)
    captions = {graph.nodes[i].row for i in first_of_slots(ops)}
    height = [0.0] * graph.rows
    below = [0.0] * graph.rows
    for node in graph.nodes:
        height[node.row] = max(height[node.row], glyph_height(node.op))
        turning = any(i != INPUT and graph.nodes[i].lane != node.lane for i in node.inputs[:1])
        if turning:
            source = graph.nodes[node.inputs[0]].row
            below[source] = max(below[source], TURN)
        if changes_shape(node.op):
            below[node.row] = max(below[node.row], NOTE)
    top, y = [], 0.0
    for row in range(graph.rows):
        y += GAP + (CAPTION if row in captions else 0) + (FORK if row == fork else 0) + (TURN if row == 0 else 0)
        top.append(y)
        y += height[row] + below[row]
    y += GAP if graph.join >= 0 else GAP + FORK
    return Grid(tuple(lanes), tuple(top), tuple(height), 0.0, y + GAP, max(wide, lanes[-1].right + MARGIN), fork)


def _lanes(graph: BlockGraph, ops: list[Op], lang: str) -> list[Lane]:
    scale = flow_scale(ops)
    captions = first_of_slots(ops)
    lanes: list[Lane] = []
    for lane in range(graph.lanes):
        here = [i for i, node in enumerate(graph.nodes) if node.lane == lane]
        words = max((_label_width(ops[i], captions.get(i), lang) for i in here), default=0.0)
        if lane == HIGHWAY:
            words = max(words, 84.0, text_width(labels.say("draw.lane.highway", lang), 11.5))
            x = MARGIN + words + TO_LABEL + ROAD / 2
            lanes.append(Lane(x, ROAD / 2, x + ROAD / 2))
            continue
        half = max([max(ops[i].c_in, ops[i].c_out) * scale / 2 for i in here] + [14.0])
        x = lanes[-1].right + BETWEEN + half
        lanes.append(Lane(x, half, x + half + TO_LABEL + words))
    return lanes


def _label_width(op: Op, slot: str | None, lang: str) -> float:
    widths = [BOLD * text_width(labels.op_name(op, lang)), text_width(labels.op_detail(op, lang), 11.5)]
    if changes_shape(op):
        widths.append(text_width(labels.shape_out(op), 11.5, mono=True))
    if slot:
        widths.append(1.06 * text_width(labels.say(f"draw.slot.{slot}", lang), 11))
    return max(widths)
