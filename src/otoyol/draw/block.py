"""The diagram of one block: the identity path as a motorway, F(x) as the road beside it."""

from __future__ import annotations

from otoyol.audit.highway import BlockAudit, audit_block
from otoyol.draw import labels, marks
from otoyol.draw.graph import HIGHWAY, BlockGraph, Node, block_graph, obstacles
from otoyol.draw.labels import say
from otoyol.draw.layout import (
    MARGIN,
    ROAD,
    THIN,
    TO_LABEL,
    Grid,
    changes_shape,
    first_of_slots,
    flow_scale,
    glyph_height,
    grid_of,
)
from otoyol.draw.svg import Drawing, Theme, text_width, uid_of, wrap
from otoyol.ops import INPUT, Op
from otoyol.ops.shallow import lower_one
from otoyol.spec import Spec

MIN_WIDTH = 460.0


def block_svg(
    spec: Spec,
    stage: int | None = None,
    block: int = 0,
    lang: str = "en",
    theme: Theme = "auto",
    uid: str | None = None,
) -> str:
    """The four slots of a block as SVG text, with the block's own operators and shapes.

    ``stage`` and ``block`` count from 0 as in operators' names; without a stage it is the second, whose first
    block strides in most designs. ``theme`` ``auto`` follows the reader's system. ``uid`` prefixes the ids, where
    the same picture stands twice in one page. Raises SpecError for a block that the design does not have.
    """
    labels.check_lang(lang)
    stage = min(1, len(spec.plan) - 1) if stage is None else stage
    ops = lower_one(spec, stage, block)
    name = labels.spec_name(spec)
    uid = uid or uid_of("block", name, stage, block, lang, theme)
    place = place_words(spec, stage, block, lang)
    return block_picture(tuple(ops), audit_block(spec, ops), place, lang, theme, uid, name)


def place_words(spec: Spec, stage: int, block: int, lang: str) -> str:
    """Which block it is; ``stage`` and ``block`` count from 0."""
    return say("draw.block.place", lang, stage=stage + 1, block=block + 1, depth=spec.plan[stage].depth)


def block_picture(
    ops: tuple[Op, ...], audit: BlockAudit, place: str, lang: str, theme: Theme, uid: str, name: str = ""
) -> str:  # fmt: skip
    """The picture of :func:`block_svg` from the block alone, so that equal blocks of different designs are drawn once:
    ``ops`` are ``lower_one``'s, ``place`` is its title and ``name`` what the design is called, where that is shown."""
    graph = block_graph(list(ops))
    blocked = obstacles(graph, audit)
    status = highway_status(blocked, lang)
    d = Drawing(uid, theme, f"{name}: {place}" if name else place, describe(graph, status, lang))
    grid = grid_of(graph, lang, MIN_WIDTH)
    y = heading(d, place, name, grid.width)
    y = status_line(d, status, blocked == (), y, grid.width)
    grid = grid.moved(y + 44)
    _Picture(d, graph, grid, blocked or (), lang).draw()
    y = grid.end + 56
    for line in wrap(say("draw.legend.block", lang).split(), grid.width - 2 * MARGIN, 11.5):
        d.text(MARGIN, y, line, "small")
        y += 16
    return d.finish(grid.width, y + 4)


def heading(d: Drawing, title: str, name: str, width: float) -> float:
    """A title and the spec's text form over as many lines as it needs; the baseline of the last."""
    y = 32.0
    d.text(MARGIN, y, title, "title")
    for line in labels.text_form_lines(name, width - 2 * MARGIN) if name else ():
        y += 18
        d.text(MARGIN, y, line, "mono")
    return y


def highway_status(blocked: tuple[Op, ...] | None, lang: str) -> str:
    """One sentence: open, obstructed by what, or absent."""
    if blocked is None:
        return say("draw.highway.absent", lang)
    if not blocked:
        return say("draw.highway.open", lang)
    return say("draw.highway.obstructed", lang, what=labels.listed(blocked, lang))


def status_line(d: Drawing, status: str, is_open: bool, y: float, width: float) -> float:
    """The road sign and the status beside it; the baseline of the last line."""
    lines = wrap(status.split(), width - 2 * MARGIN - 30, 13.5)
    marks.road_sign(d, MARGIN + 10, y + 24, is_open)
    y += 28.5
    for line in lines:
        d.text(MARGIN + 30, y, line, "strong")
        y += 18
    return y - 18


def describe(graph: BlockGraph, status: str, lang: str) -> str:
    """The picture in words, for those who do not see it."""
    parts = [status]
    for lane in range(graph.lanes):
        here = [node.op for node in graph.nodes if node.lane == lane]
        if here:
            key = "highway" if lane == HIGHWAY else "branch" if lane == graph.branch_lane else "side"
            words = " → ".join(f"{labels.op_name(op, lang)} {labels.shape_out(op)}" for op in here)
            parts.append(f"{say(f'draw.lane.{key}', lang)}: {words}.")
    return " ".join(parts)


class _Picture:
    """Draws a graph on its grid; one method a kind of mark."""

    def __init__(self, d: Drawing, graph: BlockGraph, grid: Grid, blocked: tuple[Op, ...], lang: str) -> None:
        self.d, self.graph, self.grid, self.lang = d, graph, grid, lang
        self.blocked = {op.name for op in blocked}
        self.ops = [node.op for node in graph.nodes]
        self.scale = flow_scale(self.ops)
        self.road = grid.lanes[HIGHWAY].x
        self.branch = grid.lanes[graph.branch_lane]

    def draw(self) -> None:
        self._ramps()
        self._motorway()
        for node in self.graph.nodes:
            self._tensor(node)
        for i, node in enumerate(self.graph.nodes):
            self._edges(i, node)
        for i, node in enumerate(self.graph.nodes):
            self.d.group(labels.op_tooltip(node.op, self.lang), data_op=node.op.name)
            self._node(i, node)
            self.d.close()
        for i, slot in first_of_slots(self.ops).items():
            node = self.graph.nodes[i]
            self._beside(node.lane, self.grid.top[node.row] - 9, say(f"draw.slot.{slot}", self.lang), "caption")
        first, last = self.ops[0], self.ops[-1]
        self._chip(f"x  {labels.shape_in(first)}", self.grid.start - 14)
        self._chip(f"y  {labels.shape_out(last)}", self.grid.end + 25)

    def _motorway(self) -> None:
        d, grid, x = self.d, self.grid, self.road
        if self.graph.join < 0:
            close = grid.top[grid.fork] - 4
            marks.motorway(d, x, grid.start, close)
            marks.barrier(d, x, close - 4)
            marks.motorway(d, x, grid.end - 46, grid.end)
            self._beside(HIGHWAY, close, say("draw.highway.closed", self.lang), "strong")
            return
        marks.motorway(d, x, grid.start, grid.end)
        rows = [n.row for n in self.graph.nodes if n.lane == HIGHWAY]
        edges = [grid.start, *(y for row in rows for y in (grid.top[row], grid.bottom(row))), grid.end]
        free = [(b - a, (a + b) / 2) for a, b in zip(edges[::2], edges[1::2], strict=True)]
        length, middle = max(free)
        if length > 60:
            marks.arrow_on_road(d, x, middle)

    def _ramps(self) -> None:
        """F leaves the motorway and joins it again."""
        grid, x = self.grid, self.branch.x
        leave = self._fork_y()
        chain = [n for n in self.graph.nodes if n.lane == self.graph.branch_lane]
        if not chain:
            return
        marks.wire(self.d, [(self.road, leave), (x, leave), (x, leave + 20)], "ramp", tip=False)
        marks.chevron(self.d, (x + self.road + ROAD / 2) / 2, leave, 1)
        self._band(chain[0].op.c_in, leave + 14, self._crown(chain[0]))
        back = grid.middle(self.graph.nodes[self.graph.join].row) if self.graph.join >= 0 else grid.end - 24
        self._band(chain[-1].op.c_out, self._foot(chain[-1]), back - 16)
        marks.wire(self.d, [(x, back - 20), (x, back), (self.road + ROAD / 2, back)], "ramp", tip=False)
        marks.chevron(self.d, (x + self.road + ROAD / 2) / 2, back, -1)

    def _fork_y(self) -> float:
        grid = self.grid
        above = grid.bottom(grid.fork - 1) if grid.fork else grid.start
        return above + 16

    def _band(self, channels: int, top: float, bottom: float) -> None:
        width = max(THIN, channels * self.scale)
        if bottom > top:
            self.d.add("rect", "flow", x=self.branch.x - width / 2, y=top, width=width, height=bottom - top)

    def _tensor(self, node: Node) -> None:
        """What enters a node of the branch from the one above it, as wide as it has channels."""
        for source in node.inputs:
            above = self.graph.nodes[source]
            if source != INPUT and node.lane == above.lane == self.graph.branch_lane:
                self._band(node.op.c_in, self._foot(above), self._crown(node))

    def _edges(self, i: int, node: Node) -> None:
        """Lines into a node; the motorway and the ramps are drawn already."""
        if node.lane == HIGHWAY:
            for source in node.inputs:
                if i != self.graph.join and source != INPUT and self.graph.nodes[source].lane != HIGHWAY:
                    self._merge(source, node)
            return
        for position, source in enumerate(node.inputs):
            lane = HIGHWAY if source == INPUT else self.graph.nodes[source].lane
            if lane == node.lane:
                if lane != self.graph.branch_lane:
                    x = self.grid.lanes[lane].x
                    self._wire([(x, self._low(self.graph.nodes[source])), (x, self._high(node))])
            elif node.lane == self.graph.branch_lane and lane == HIGHWAY and position == 0:
                continue  # the ramp
            elif position == 0:
                self._turn_off(source, node)
            else:
                self._merge(source, node)

    def _turn_off(self, source: int, node: Node) -> None:
        """From a lane's line sideways, then down to the first node of another lane."""
        grid, x = self.grid, self.grid.lanes[node.lane].x
        row = -1 if source == INPUT else self.graph.nodes[source].row
        lane = HIGHWAY if source == INPUT else self.graph.nodes[source].lane
        y = grid.top[node.row] - 9 - (11 if self._captioned(node.row) else 0)
        if lane == HIGHWAY and node.lane > self.graph.branch_lane:
            lane = self.graph.branch_lane  # what F reads has come down the ramp
        elif row < 0:
            y = grid.start + (30 if grid.fork == 0 else 14)  # beside the ramp where that is here too
        edge = ROAD / 2 if lane == HIGHWAY else max(THIN, node.op.c_in * self.scale) / 2
        start = grid.lanes[lane].x + (edge if lane in (HIGHWAY, self.graph.branch_lane) else 0)
        self._wire([(start, y), (x, y), (x, self._high(node))])

    def _merge(self, source: int, node: Node) -> None:
        """Down from a node's lane, or down beside the target where that lane goes on, then into the target's side."""
        grid, other = self.grid, self.graph.nodes[source]
        x0, y1 = grid.lanes[other.lane].x, grid.middle(node.row)
        side = 1 if x0 > grid.lanes[node.lane].x else -1
        x1 = grid.lanes[node.lane].x + side * self._half(node)
        blocked = any(n.lane == other.lane and other.row < n.row <= node.row for n in self.graph.nodes)
        start = self._low(other)
        if blocked:
            beside = grid.lanes[node.lane].x + side * (grid.lanes[node.lane].half + 18)
            turn = start + 5
            self._wire([(x0, start), (x0, turn), (beside, turn), (beside, y1), (x1, y1)])
        else:
            self._wire([(x0, start), (x0, y1), (x1, y1)])

    def _wire(self, points: list[tuple[float, float]]) -> None:
        marks.wire(self.d, points)

    def _captioned(self, row: int) -> bool:
        return any(self.graph.nodes[i].row == row for i in first_of_slots(self.ops))

    def _high(self, node: Node) -> float:
        """The glyph's upper edge; rows are as high as their highest glyph."""
        return self.grid.middle(node.row) - glyph_height(node.op) / 2

    def _low(self, node: Node) -> float:
        return self.grid.middle(node.row) + glyph_height(node.op) / 2

    def _crown(self, node: Node) -> float:
        """Where the tensor that enters ends in the picture: behind the middle of marks that it passes unchanged."""
        return self._high(node) if node.op.kind == "conv" else self.grid.middle(node.row)

    def _foot(self, node: Node) -> float:
        return self._low(node) if node.op.kind == "conv" else self.grid.middle(node.row)

    def _half(self, node: Node) -> float:
        if node.lane == HIGHWAY:
            return ROAD / 2 + 8
        if node.op.kind in ("mul", "add"):
            return 11
        return max(THIN, node.op.c_in * self.scale) / 2

    def _node(self, i: int, node: Node) -> None:
        d, middle = self.d, self.grid.middle(node.row)
        name, detail = labels.op_name(node.op, self.lang), labels.op_detail(node.op, self.lang)
        if i == self.graph.join:
            marks.plus(d, self.road, middle)
        elif node.lane == HIGHWAY:
            (marks.barrier if node.op.name in self.blocked else marks.plate)(d, self.road, middle)
        else:
            height = glyph_height(node.op)
            marks.glyph(d, node.op, self.grid.lanes[node.lane].x, middle - height / 2, height, self.scale)
        entered = any(s != INPUT and self.graph.nodes[s].lane > node.lane for s in node.inputs[1:])
        lift = 10 if entered and node.lane != HIGHWAY else 7 if detail else 0
        self._beside(node.lane, middle + 4.5 - lift, name, "strong")
        if detail:
            self._beside(node.lane, middle + 12, detail, "small")
        if changes_shape(node.op):
            self._beside(node.lane, self.grid.bottom(node.row) + 17, labels.shape_out(node.op), "mono")

    def _beside(self, lane: int, y: float, text: str, css: str) -> None:
        place = self.grid.lanes[lane]
        if lane == HIGHWAY:
            self.d.text(place.x - ROAD / 2 - TO_LABEL - 4, y, text, css, "end")
        else:
            self.d.text(place.x + place.half + TO_LABEL, y, text, css)

    def _chip(self, text: str, middle: float) -> None:
        width = text_width(text, 11.5, mono=True) + 20
        self.d.add("rect", "panel", x=self.road - width / 2, y=middle - 12, width=width, height=24, rx=12)
        self.d.text(self.road, middle + 4, text, "mono", "middle")
