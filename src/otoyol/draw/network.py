"""The diagram of a whole network: one motorway from the stem to the head, an exit for every tap."""

from __future__ import annotations

from typing import NamedTuple

from otoyol.audit.highway import audit_block
from otoyol.draw import labels, marks
from otoyol.draw.block import heading
from otoyol.draw.graph import block_graph, obstacles
from otoyol.draw.labels import number, say
from otoyol.draw.layout import BOLD, MARGIN, ROAD
from otoyol.draw.svg import Drawing, Theme, text_width, uid_of, wrap
from otoyol.ops import Op
from otoyol.ops.network import lower_stem, lower_tail
from otoyol.ops.shallow import TapView, lower_one, tap_views
from otoyol.spec import Spec

TEXT = 410.0  # width of the column right of the motorway
BAR = 220.0  # length of the widest stage's bar
LINE = 18.0


class Run(NamedTuple):
    """Consecutive blocks of a stage with the same operators and shapes. ``blocked``: what stands on their identity
    path, None where they have no shortcut."""

    first: int
    repeat: int
    branch: tuple[Op, ...]
    blocked: tuple[Op, ...] | None


def network_svg(spec: Spec, lang: str = "en", theme: Theme = "auto", uid: str | None = None) -> str:
    """The whole network as SVG text: stem, stages with their runs of equal blocks, taps, final, head.

    ``uid`` prefixes the ids, where the same picture stands twice in one page.
    """
    labels.check_lang(lang)
    name = labels.spec_name(spec)
    stages, taps = stage_runs(spec), tap_views(spec)
    total = sum(run.repeat for runs in stages for run in runs)
    clear = sum(run.repeat for runs in stages for run in runs if run.blocked == ())
    summary = say("draw.network.sum", lang, blocks=total, stages=len(stages), open=clear)
    uid = uid or uid_of("network", name, lang, theme)
    told = " ".join(tap_text(tap, lang) + "." for tap in taps)
    d = Drawing(uid, theme, f"{name}: {say('draw.network.title', lang)}", f"{summary} {told}")
    return _Road(d, spec, taps, stages, lang).draw(name, summary)


def stage_runs(spec: Spec) -> list[list[Run]]:
    """Every stage's blocks, equal neighbours together."""
    stages: list[list[Run]] = []
    for stage, plan in enumerate(spec.plan):
        runs: list[Run] = []
        last: object = None
        for index, repeat in ((0, 1), (1, plan.depth - 1)):  # behind the second all are equal
            if not repeat:
                continue
            block = lower_one(spec, stage, index)
            same = [op[1:3] + op[5:] for op in block]  # all but name, stage, block
            if same == last:
                runs[-1] = runs[-1]._replace(repeat=plan.depth)
                continue
            last = same
            branch = tuple(op for op in block if op.slot == "branch" and op.kind in ("conv", "linear"))
            runs.append(Run(index, repeat, branch, obstacles(block_graph(block), audit_block(spec, block))))
        stages.append(runs)
    return stages


def tap_text(tap: TapView, lang: str) -> str:
    shape = labels.shape(tap.channels, tap.height, tap.width)
    return say("draw.network.tap", lang, name=tap.name, shape=shape, stride=tap.stride)


class _Road:
    """Draws downwards; ``y`` is where the next part starts."""

    def __init__(
        self, d: Drawing, spec: Spec, taps: tuple[TapView, ...], stages: list[list[Run]], lang: str
    ) -> None:  # fmt: skip
        self.d, self.spec, self.taps, self.stages, self.lang = d, spec, taps, stages, lang
        self.sign = max(self._sign_width(tap) for tap in taps)
        self.x = MARGIN + self.sign + 34 + ROAD / 2
        self.text = self.x + ROAD / 2 + 30
        self.width = self.text + TEXT + MARGIN
        self.y = 0.0
        self.scale = BAR / max(plan.out for plan in spec.plan)

    def draw(self, name: str, summary: str) -> str:
        d, lang = self.d, self.lang
        y = heading(d, say("draw.network.title", lang), name, self.width)
        for line in wrap(summary.split(), self.width - 2 * MARGIN):
            y += 20
            d.text(MARGIN, y, line)
        stem, last = lower_stem(self.spec), self.taps[-1]
        tail = lower_tail(self.spec, last.channels, last.height, last.width)
        self._chip(say("draw.network.input", lang, shape=labels.shape_in(stem[0])), y + 30)
        self.y = y + 42
        road = d.layer()
        start = self.y
        self._part("stem", stem)
        self._exit(self.taps[0], self.y - 12)
        for stage, runs in enumerate(self.stages):
            self._stage(stage, runs)
        self._part("final", [op for op in tail if op.slot == "final"])
        self._part("head", [op for op in tail if op.slot == "head"])
        self.y += 8
        d.at = road
        marks.motorway(d, self.x, start, self.y)
        d.at = d.body
        classes = self.spec.head.classes
        end = say("draw.network.out", lang, n=classes) if classes else say("draw.network.features", lang)
        self._chip(end, self.y + 24)
        y = self.y + 60
        for line in wrap(say("draw.legend.network", lang).split(), self.width - 2 * MARGIN, 11.5):
            d.text(MARGIN, y, line, "small")
            y += 16
        return d.finish(self.width, y + 4)

    def _part(self, slot: str, ops: list[Op]) -> None:
        """Operators outside the stages, as one list."""
        if not ops:
            return
        d, top = self.d, self.y
        d.group(" → ".join(labels.op_tooltip(op, self.lang) for op in ops))
        y = top + 26
        d.text(self.text, y, say(f"draw.slot.{slot}", self.lang), "strong")
        words = [self._words(op) for op in ops]
        for line in wrap([*(word + " →" for word in words[:-1]), words[-1]], TEXT, 12):
            y += LINE
            d.text(self.text, y, line, "small")
        d.close()
        self.y = max(y + 16, top + 58)
        self._rule()

    def _words(self, op: Op) -> str:
        words = [labels.op_name(op, self.lang)]
        if op.kind == "conv":
            words.append(number(op.c_out, self.lang, "d"))
        if detail := labels.op_detail(op, self.lang):
            words.append(detail)
        return ", ".join(words)

    def _stage(self, stage: int, runs: list[Run]) -> None:
        d, plan, lang, tap = self.d, self.spec.plan[stage], self.lang, self.taps[stage + 1]
        y = self.y + 26
        title = say("draw.network.stage", lang, stage=stage + 1)
        d.text(self.text, y, title, "strong")
        after = self.text + BOLD * text_width(title) + 10
        d.text(after, y, say("draw.network.repeat", lang, n=plan.depth), "strong")
        d.text(self.text + TEXT, y, labels.shape(tap.channels, tap.height, tap.width), "mono", "end")
        y += 9
        d.add("rect", "conv", x=self.text, y=y, width=max(4.0, plan.out * self.scale), height=7, rx=2)
        y += 10
        for run in runs:
            y = self._run(run, stage, y)
        self.y = max(y + 10, self.y + 76)
        self._exit(tap, self.y - 22)
        self._rule()

    def _run(self, run: Run, stage: int, y: float) -> float:
        """Equal blocks: which, their convolutions, and what stands on their identity path."""
        d, lang = self.d, self.lang
        top = y
        key, last = ("one", run.first) if run.repeat == 1 else ("many", run.first + run.repeat - 1)
        who = say(f"draw.network.{key}", lang, first=run.first + 1, last=last + 1)
        blocked = run.blocked
        if blocked is None:
            state = say("draw.highway.none", lang)
        else:
            state = labels.listed(blocked, lang) if blocked else say("draw.highway.clear", lang)
        d.group(f"stages.{stage}.{run.first}: {state}")
        for line in wrap([f"{who}:", *state.split()], TEXT - 26, 13):
            y += LINE
            d.text(self.text + 26, y, line)
        middle = top + 14
        marks.road_sign(d, self.text + 9, middle, blocked == ())
        if blocked != ():
            marks.barrier(d, self.x, middle)
        convs = [f"{self._words(op)}" for op in run.branch]
        for line in wrap([*(word + " →" for word in convs[:-1]), convs[-1]], TEXT - 26, 11.5):
            y += LINE - 2
            d.text(self.text + 26, y, line, "small")
        d.close()
        return y + 6

    def _rule(self) -> None:
        self.d.add("line", "rule", x1=self.text, y1=self.y, x2=self.text + TEXT, y2=self.y)

    def _sign_width(self, tap: TapView) -> float:
        lines = self._sign_lines(tap)
        return max(BOLD * text_width(lines[0]), *(text_width(line, 11.5, mono=True) for line in lines[1:])) + 20

    def _sign_lines(self, tap: TapView) -> tuple[str, str, str]:
        shape = labels.shape(tap.channels, tap.height, tap.width)
        return tap.name, shape, say("draw.stride", self.lang, stride=tap.stride)

    def _exit(self, tap: TapView, y: float) -> None:
        """A tap as an exit: a green sign and a ramp that leaves the motorway to the left."""
        d = self.d
        lines = self._sign_lines(tap)
        width, height = self.sign, 58.0
        right = self.x - ROAD / 2 - 34
        top = y - height + 12
        d.group(tap_text(tap, self.lang), data_tap=tap.name)
        marks.wire(d, [(self.x - ROAD / 2, y), (right - 1, y)])
        d.add("rect", "sign", x=right - width, y=top, width=width, height=height, rx=6)
        d.add("rect", "rim", x=right - width + 3, y=top + 3, width=width - 6, height=height - 6, rx=4)
        d.text(right - width + 10, top + 20, lines[0], "strong onsign")
        d.text(right - width + 10, top + 35, lines[1], "onmono")
        d.text(right - width + 10, top + 49, lines[2], "onmono")
        d.close()

    def _chip(self, text: str, middle: float) -> None:
        width = text_width(text, 11.5, mono=True) + 20
        self.d.add("rect", "panel", x=self.x - width / 2, y=middle - 12, width=width, height=24, rx=12)
        self.d.text(self.x, middle + 4, text, "mono", "middle")


__all__ = ["Run", "network_svg", "stage_runs", "tap_text"]
