"""What the page shows of a design, part by part: plain data with units in its names, numbers not yet written out.

A page asks for those parts that can be seen: most take a fraction of a millisecond, a few take several.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from otoyol.audit import highway
from otoyol.cost import count, training
from otoyol.cost.stages import stage_costs
from otoyol.draw import block_svg, network_svg
from otoyol.explain import Answer, audit, why
from otoyol.ops import Ops, lower
from otoyol.ops.recompute import MODES
from otoyol.spec import Spec, block_text, to_text
from otoyol.spec.text import leaves
from otoyol.web.asks import DesignAsk, PartName
from otoyol.web.code import code
from otoyol.web.formula import op_cost
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
        found = rescale(spec, ask.match, scorers)
        answer["asked"] = {"spec": to_text(spec), "leaves": leaves(spec)}
        answer["match"] = {**found._asdict(), "spec": to_text(found.spec), "difference": found.difference}
        spec = check_shown(found.spec)
    answer |= {"spec": to_text(spec), "leaves": leaves(spec)}
    for name in dict.fromkeys(ask.parts):
        answer[name] = PARTS[name](spec, ask, scorers)
    return answer


@lru_cache(maxsize=32)
def _network(spec: Spec) -> Ops:
    return lower(spec)


def figures(spec: Spec, ask: DesignAsk, _: Scorers) -> dict[str, Any]:
    """Totals for the batch, and what does not depend on it."""
    cost, path, last = count(spec, batch=ask.batch, dtype=ask.dtype), highway(spec), _network(spec).taps[-1]
    return {
        **{name: getattr(cost, name) for name in (
            "params", "buffers", "macs", "activations", "weight_bytes", "train_bytes", "train_bytes_lean",
            "peak_inference_bytes",
        )},
        "forward_flops": cost.forward_flops.total,
        "backward_flops": cost.backward_flops.total,
        "intensity": cost.flops_per_byte,
        "depth": len(path.blocks),
        "pure": path.pure,
        "receptive_field": last.receptive_field,
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
    rows = [{key: value for key, value in tap._asdict().items() if key != "op"} for tap in _network(spec).taps]
    return {"side": min(spec.input.height, spec.input.width), "rows": rows}


def memory(spec: Spec, ask: DesignAsk, _: Scorers) -> list[dict[str, Any]]:
    """A training step in every memory mode."""
    return [training(spec, mode, batch=ask.batch, dtype=ask.dtype, optimizer=ask.optimizer)._asdict() for mode in MODES]


def latency(spec: Spec, _: DesignAsk, scorers: Scorers) -> list[dict[str, Any]]:
    """What each table predicts, for its own batch and dtype."""
    found = []
    for where, scorer in scorers.items():
        told = scorer.predictor.predict(spec)
        found.append({"where": where, **told._asdict(), "warnings": list(told.warnings)})
    return found


def path(spec: Spec, ask: DesignAsk, _: Scorers) -> dict[str, Any]:
    """The highway audit in words, and block by block whether the identity path is open."""
    answer = _told("highway", spec, ask.lang)
    blocks = [{"stage": block.stage, "block": block.block, "open": block.pure} for block in highway(spec).blocks]
    return {**answer, "blocks": blocks}


def answers(spec: Spec, ask: DesignAsk, _: Scorers) -> dict[str, Any]:
    """The questions asked, answered with the design's figures."""
    return {question: _told(question, spec, ask.lang) for question in dict.fromkeys(ask.questions)}


@lru_cache(maxsize=64)
def _answer(question: str, spec: Spec, lang: str) -> Answer:
    return audit(spec, lang) if question == "highway" else why(question, spec, lang)


def _told(question: str, spec: Spec, lang: str) -> dict[str, Any]:
    answer = _answer(question, spec, lang)
    return {
        "title": answer.title, "headline": answer.headline, "paragraphs": answer.paragraphs,
        "table": asdict(answer.table), "sources": answer.sources,
    }  # fmt: skip


def block(spec: Spec, ask: DesignAsk, _: Scorers) -> dict[str, Any]:
    """The diagram of a block: the one asked for, or the nearest that the design has."""
    wanted = ask.block or (1, 0)
    stage = min(wanted[0], len(spec.plan) - 1)
    index = min(wanted[1], spec.plan[stage].depth - 1)
    return {"stage": stage, "block": index, "svg": _block_svg(spec, stage, index, ask.lang)}


@lru_cache(maxsize=64)
def _block_svg(spec: Spec, stage: int, index: int, lang: str) -> str:
    return block_svg(spec, stage, index, lang, "page", "block")


@lru_cache(maxsize=32)
def _network_svg(spec: Spec, lang: str) -> str:
    return network_svg(spec, lang, "page", "network")


def network(spec: Spec, ask: DesignAsk, _: Scorers) -> str:
    """The diagram of the whole network."""
    return _network_svg(spec, ask.lang)


def op(spec: Spec, ask: DesignAsk, _: Scorers) -> dict[str, Any] | None:
    """One operator's formulas with its numbers; nothing where the design has no such operator."""
    found = next((one for one in _network(spec).ops if one.name == ask.op), None)
    if found is None:
        return None
    told = op_cost(found, ask.lang)
    return {**told._asdict(), "lines": [line._asdict() for line in told.lines]}


def copies(spec: Spec, ask: DesignAsk, _: Scorers) -> dict[str, str]:
    """The design as things to copy."""
    return code(spec, ask.batch, ask.dtype, ask.optimizer)


PARTS: dict[PartName, Callable[[Spec, DesignAsk, Scorers], Any]] = {
    "figures": figures, "stages": stages, "taps": taps, "memory": memory, "latency": latency, "highway": path,
    "answers": answers, "block": block, "network": network, "op": op, "code": copies,
}  # fmt: skip
