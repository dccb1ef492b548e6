"""What the page shows of a design, part by part: plain data with units in its names, numbers not yet written out.

A page asks for those parts that can be seen: most take a fraction of a millisecond, a few take several.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from otoyol.audit.highway import BlockAudit, audit_block, is_pure
from otoyol.cost import count, training
from otoyol.cost.stages import stage_costs
from otoyol.draw import network_svg
from otoyol.draw.block import block_picture, place_words
from otoyol.errors import SpecError
from otoyol.explain import Answer, say, untold
from otoyol.explain.refusal import sentence
from otoyol.explain.telling import Cell, Telling, tell
from otoyol.ops import Op, lower
from otoyol.ops.network import stage_places
from otoyol.ops.recompute import MODES
from otoyol.ops.shallow import TapView, lower_one, lower_outside, tap_views
from otoyol.search.budget import LATENCY, key
from otoyol.spec import Spec, block_text, to_text
from otoyol.spec.plan import expansion_of
from otoyol.spec.text import leaves
from otoyol.web.asks import DesignAsk, PartName
from otoyol.web.code import code
from otoyol.web.explore import EXACT
from otoyol.web.formula import op_cost
from otoyol.web.later import failure, ready
from otoyol.web.rescale import rescale
from otoyol.web.shown import check_shown, parse_shown

Scorers = Mapping[str, Any]


def describe(ask: DesignAsk, scorers: Scorers) -> dict[str, Any]:
    """The answer to a question: the design, all its fields as words of the text form, and the parts asked for.

    With ``match`` the design is the one asked for, rescaled; ``asked`` is what it was before. Raises SpecError.
    """
    spec = parse_shown(ask.spec)
    answer: dict[str, Any] = {}
    if ask.match:
        found = rescale(spec, ask.match, scorers, ask.batch, ask.dtype)
        answer["asked"] = {"spec": to_text(spec), "leaves": leaves(spec)}
        answer["match"] = {
            **found._asdict(), "spec": to_text(found.spec), "difference": found.difference,
            "reason": sentence(found.reason, ask.lang),
        }  # fmt: skip
        spec = check_shown(found.spec)
    answer |= {"spec": to_text(spec), "leaves": leaves(spec), "usual": usual(spec)}
    for name in dict.fromkeys(ask.parts):
        answer[name] = PARTS[name](spec, ask, scorers)
    return answer


def usual(spec: Spec) -> dict[str, str]:
    """What fields stand for that a design leaves open, in words of the text form."""
    stages = {f"stage{i}.expansion": str(expansion_of(spec, stage)) for i, stage in enumerate(spec.stages, 1)}
    return {"expansion": str(spec.expansion or spec.block.expansion), **stages}


class Openness(NamedTuple):
    """Whether the identity path is open in a stage's first block, and in the others, which are all alike."""

    depth: int
    first: bool
    rest: bool

    @property
    def pure(self) -> int:
        return self.first + self.rest * (self.depth - 1)


def _openness(spec: Spec) -> tuple[Openness, ...]:
    rows = []
    for stage, plan in enumerate(spec.plan):
        shortcut = spec.stages[stage].shortcut or spec.shortcut
        first, rest = (is_pure(plan.form, place, shortcut) for place in stage_places(spec, stage))
        rows.append(Openness(plan.depth, first, rest if plan.depth > 1 else first))
    return tuple(rows)


@lru_cache(maxsize=64)
def _taps(spec: Spec) -> tuple[TapView, ...]:
    return tap_views(spec)


def figures(spec: Spec, ask: DesignAsk, _: Scorers) -> dict[str, Any]:
    """Totals for the batch, and what does not depend on it."""
    cost, path = count(spec, batch=ask.batch, dtype=ask.dtype), _openness(spec)
    return {
        **{name: getattr(cost, name) for name in (
            "params", "macs", "activations", "weight_bytes", "train_bytes", "train_bytes_lean", "peak_inference_bytes",
        )},
        "depth": sum(stage.depth for stage in path),
        "pure": sum(stage.pure for stage in path),
        "receptive_field": _taps(spec)[-1].receptive_field,
    }  # fmt: skip


def stages(spec: Spec, ask: DesignAsk, _: Scorers) -> list[dict[str, Any]]:
    """Stem, stages and head: what stands there and what it costs."""
    rows = []
    for part in stage_costs(spec, batch=ask.batch, dtype=ask.dtype):
        row = part._asdict()
        if part.stage >= 0:
            plan, stage = spec.plan[part.stage], spec.stages[part.stage]
            row |= {
                "block": block_text(stage.block or spec.block), "inner": plan.mid_rest if plan.depth > 1 else plan.mid,
                "stride": plan.stride, "dilation": plan.dilation, "groups": plan.groups,
            }  # fmt: skip
        rows.append(row)
    return rows


def taps(spec: Spec, _: DesignAsk, __: Scorers) -> dict[str, Any]:
    """What each tap sees of the image, whose shorter ``side`` is in pixels."""
    rows = [tap._asdict() for tap in _taps(spec)]
    return {"side": min(spec.input.height, spec.input.width), "rows": rows}


def memory(spec: Spec, ask: DesignAsk, _: Scorers) -> list[dict[str, Any]]:
    """A training step in every memory mode."""
    return [training(spec, mode, batch=ask.batch, dtype=ask.dtype, optimizer=ask.optimizer)._asdict() for mode in MODES]


def latency(spec: Spec, ask: DesignAsk, scorers: Scorers) -> list[dict[str, Any]]:
    """What each table predicts, for its own batch and dtype; ``ms`` is None where its laws are still being fitted, or
    where they cannot be, which ``why`` tells."""
    found: list[dict[str, Any]] = []
    for where in scorers:
        scorer = ready(scorers, where)
        if scorer is None:
            why = failure(scorers, where)
            found.append({"where": where, "ms": None} | ({"why": sentence(why, ask.lang)} if why else {}))
        else:
            told = scorer.predictor.predict(spec)
            found.append(
                {
                    "where": where,
                    **told._asdict(),
                    "warnings": [sentence(warning, ask.lang) for warning in told.warnings],
                }
            )
    return found


def road(spec: Spec, ask: DesignAsk, _: Scorers) -> dict[str, Any]:
    """The highway at a glance: a sentence, and stage by stage where the identity path is open."""
    path = _openness(spec)
    pure, depth = sum(stage.pure for stage in path), sum(stage.depth for stage in path)
    state = "open" if pure == depth else "partly" if pure else "closed"
    return {
        "headline": say(f"why.highway.{state}", ask.lang, pure=pure, depth=depth),
        "stages": [stage._asdict() for stage in path],
    }


def highway(spec: Spec, ask: DesignAsk, _: Scorers) -> dict[str, Any]:
    """The whole highway audit in words."""
    return _told("highway", spec, ask.lang)


def answers(spec: Spec, ask: DesignAsk, _: Scorers) -> dict[str, Any]:
    """The questions asked, answered with the design's figures."""
    return {question: _told(question, spec, ask.lang) for question in dict.fromkeys(ask.questions)}


@lru_cache(maxsize=64)
def _answer(question: str, spec: Spec, lang: str) -> tuple[Answer, Telling]:
    telling = untold(question, spec)
    return tell(telling, lang), telling


def _told(question: str, spec: Spec, lang: str) -> dict[str, Any]:
    """An answer in words. Of its table ``keys`` name the rows; a cell that is a number has its ``value`` and ``form``
    (a placeholder's format) beside its text, so that two designs' can be compared."""
    answer, telling = _answer(question, spec, lang)
    table = answer.table
    rows = [
        [
            {"text": text, "value": cell.value, "form": cell.spec}
            if isinstance(cell, Cell) and cell.value is not None
            else text
            for text, cell in zip(*row, strict=True)
        ]
        for row in zip(table.rows, telling.rows, strict=True)
    ]
    return {
        "title": answer.title, "headline": answer.headline, "paragraphs": answer.paragraphs, "sources": answer.sources,
        "table": {
            "caption": table.caption, "header": table.header, "rows": rows,
            "keys": telling.keys or tuple(row[0] for row in table.rows),
        },
    }  # fmt: skip


def block(spec: Spec, ask: DesignAsk, _: Scorers) -> dict[str, Any]:
    """The diagram of a block: the one asked for, or the nearest that the design has."""
    wanted = ask.block or (1, 0)
    stage = min(wanted[0], len(spec.plan) - 1)
    index = min(wanted[1], spec.plan[stage].depth - 1)
    ops = lower_one(spec, stage, index)
    svg = _picture(tuple(ops), audit_block(spec, ops), place_words(spec, stage, index, ask.lang), ask.lang)
    return {"stage": stage, "block": index, "svg": svg}


@lru_cache(maxsize=64)  # of blocks: most moves leave the one that is shown as it is
def _picture(ops: tuple[Op, ...], audit: BlockAudit, place: str, lang: str) -> str:
    return block_picture(ops, audit, place, lang, "page", "block")


@lru_cache(maxsize=32)
def _network_svg(spec: Spec, lang: str) -> str:
    return network_svg(spec, lang, "page", "network")


def network(spec: Spec, ask: DesignAsk, _: Scorers) -> str:
    """The diagram of the whole network."""
    return _network_svg(spec, ask.lang)


def op(spec: Spec, ask: DesignAsk, _: Scorers) -> dict[str, Any] | None:
    """One operator's formulas with its numbers; nothing where the design has no such operator."""
    inside = re.match(r"stages\.(\d{1,2})\.(\d{1,4})\.", ask.op)
    try:
        ops = lower_one(spec, int(inside[1]), int(inside[2])) if inside else lower_outside(spec)
    except SpecError:
        return None
    found = next((one for one in ops if one.name == ask.op), None)
    if found is None:
        return None
    told = op_cost(found, ask.lang)
    return {**told._asdict(), "lines": [line._asdict() for line in told.lines]}


def copies(spec: Spec, ask: DesignAsk, _: Scorers) -> dict[str, str]:
    """The design as things to copy."""
    return code(spec, ask.batch, ask.dtype, ask.optimizer)


def explored(spec: Spec, ask: DesignAsk, scorers: Scorers) -> dict[str, Any]:
    """The quantities of a sample's columns, by their names there; latency by those tables whose laws are fitted."""
    cost = count(spec, batch=ask.batch, dtype=ask.dtype)
    told = {where: scorer for where in scorers if (scorer := ready(scorers, where)) is not None}
    return {
        **{name: getattr(cost, name) for name in EXACT},
        "depth": lower(spec).layers,
        "receptive_field": _taps(spec)[-1].receptive_field,
        **{key(LATENCY, where): scorer.predictor.predict(spec).ms for where, scorer in told.items()},
    }


PARTS: dict[PartName, Callable[[Spec, DesignAsk, Scorers], Any]] = {
    "figures": figures, "stages": stages, "taps": taps, "memory": memory, "latency": latency, "road": road,
    "highway": highway, "answers": answers, "block": block, "network": network, "op": op, "code": copies,
    "explored": explored,
}  # fmt: skip
