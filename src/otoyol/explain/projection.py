"""When is a projection needed? Where this design's shapes change, what stands there, and the other options."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from otoyol.audit import highway
from otoyol.audit.highway import blocks_of
from otoyol.explain.design import macs, text_of, totals, weights
from otoyol.explain.evidence import cite
from otoyol.explain.highway import joined
from otoyol.explain.telling import Cell, Line, Telling
from otoyol.explain.variants import with_shortcut
from otoyol.ops import Op, lower
from otoyol.spec import Spec

OPTIONS = ("A", "B", "C", "D")


def facts(spec: Spec) -> dict[str, Any]:
    """``blocks``: those that change shape or carry operators on the shortcut, with what stands there and its cost.
    Params include the shortcut's norms. ``options``: the same design with each shortcut kind; None where impossible.
    """
    audit = highway(spec)
    here = totals(spec)
    blocks: list[dict[str, Any]] = []
    for (_, ops), found in zip(blocks_of(lower(spec).ops), audit.blocks, strict=True):
        shortcut = [op for op in ops if op.slot == "shortcut"]
        if found.changes_shape or shortcut:
            blocks.append(
                {
                    "stage": found.stage + 1,
                    "block": found.block + 1,
                    "why": _why(found.stride_changes, found.channels_change),
                    "c_in": found.c_in,
                    "c_out": found.c_out,
                    "stands": [o.what for o in found.obstacles if o.where != "post"],
                    "weights": sum(weights(op) for op in shortcut if op.kind == "conv"),
                    "params": sum(_params(op) for op in shortcut),
                    "macs": sum(macs(op) for op in shortcut if op.kind == "conv"),
                }
            )
    spent = {name: sum(block[name] for block in blocks) for name in ("params", "macs")}
    return {
        "kind": _kinds(spec),
        "reads": spec.shortcut.reads,
        "blocks": blocks,
        "needed": sum(block.changes_shape for block in audit.blocks),
        "projected": sum("conv" in block["stands"] for block in blocks),
        "depth": len(audit.blocks),
        "pure": audit.pure,
        "run": audit.run.length,
        "shortcut_params": spent["params"],
        "shortcut_params_share": spent["params"] / here["params"],
        "shortcut_macs": spent["macs"],
        "shortcut_macs_share": spent["macs"] / here["macs"],
        "totals": here,
        "options": {kind: _option(spec, kind) for kind in OPTIONS},
    }


def _kinds(spec: Spec) -> str:
    return "/".join(dict.fromkeys(plan.form.shortcut for plan in spec.plan))


def _why(stride: bool, channels: bool) -> str:
    return {(True, True): "both", (True, False): "stride", (False, True): "channels", (False, False): "neither"}[
        stride, channels
    ]


def _params(op: Op) -> int:
    if op.kind == "norm":
        return 0 if op.detail == "frozen" else 2 * op.c_out
    return weights(op) + (op.c_out if op.bias else 0) if op.kind == "conv" else 0


def _option(spec: Spec, kind: str) -> dict[str, Any] | None:
    changed = with_shortcut(spec, kind)
    if changed is None:
        return None
    audit = highway(changed)
    return {"spec": text_of(changed), "pure": audit.pure, "run": audit.run.length, **totals(changed)}


def answer(spec: Spec) -> Telling:
    found = facts(spec)
    flat = {name: value for name, value in found.items() if isinstance(value, int | float | str)}
    paragraphs = [Line("why.projection.rule")]
    reasons = [block["why"] for block in found["blocks"] if block["why"] != "neither"]
    if reasons:
        counts = {why: reasons.count(why) for why in ("stride", "channels", "both")}
        paragraphs.append(Line("why.projection.reasons", counts))
    if found["shortcut_params"]:
        paragraphs.append(Line("why.projection.cost", flat))
    if found["needed"]:
        paragraphs.append(Line("why.projection.breaks", flat))
    if found["projected"] > found["needed"]:
        paragraphs.append(Line("why.projection.needless", flat | {"idle": found["projected"] - found["needed"]}))
    if any(plan.form.preact for plan in spec.plan):
        paragraphs.append(Line(f"why.projection.reads_{spec.shortcut.reads}"))
    paragraphs += _compared(found)
    lines, sources = cite("projection_options", "projection_everywhere", "projection_pool")
    head = ("projection_what", "why", "stands", "params", "macs", "macs_share")
    rows = _rows(found)
    return Telling(
        "projection",
        _headline(found, flat),
        (*paragraphs, *lines),
        found,
        "why.projection.caption",
        tuple(f"column.{name}" for name in head),
        tuple(rows.values()),
        sources,
        tuple(rows),
    )


def _headline(found: dict[str, Any], flat: dict[str, Any]) -> Line:
    if not found["needed"]:
        return Line("why.projection.none_needed", flat)
    at = [f"{block['stage']}.{block['block']}" for block in found["blocks"] if block["why"] != "neither"]
    return Line("why.projection.needed", flat | {"at": at})


def _compared(found: dict[str, Any]) -> list[Line]:
    """What the other options would change: A against B, D against B."""
    options = found["options"]
    lines = []
    if found["needed"] and options["A"] and options["B"]:
        saved = {name: options["B"][name] - options["A"][name] for name in ("params", "macs")}
        lines.append(Line("why.projection.option_a", saved))
    elif found["needed"] and not options["A"]:
        lines.append(Line("why.projection.no_option_a"))
    if found["needed"] and options["B"] and options["D"]:
        more = {"macs_b": options["B"]["macs"], "macs_d": options["D"]["macs"]}
        lines.append(Line("why.projection.option_d", more))
    return lines


def _rows(found: dict[str, Any]) -> dict[str, tuple[Cell | Line | str, ...]]:
    """Blocks with equal figures share a row; then a row of totals for each option. By their blocks and options."""
    rows: dict[str, tuple[Cell | Line | str, ...]] = {}
    total = found["totals"]["macs"]

    def alike(block: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(tuple(v) if isinstance(v, list) else v for k, v in block.items() if k != "block")

    for _, group in groupby(found["blocks"], alike):
        same = list(group)
        first, last = same[0], same[-1]
        name = f"{first['stage']}.{first['block']}" + (f"–{last['block']}" if len(same) > 1 else "")
        rows[name] = (
            Line("why.projection.block", {"name": name, "c_in": first["c_in"], "c_out": first["c_out"]}),
            Line(f"changes.{first['why']}"),
            joined([f"obstacle.{what}" for what in first["stands"]]),
            Cell(first["params"]),
            Cell(first["macs"], "si"),
            Cell(first["macs"] / total, ".1%"),
        )
    for kind, option in found["options"].items():
        label = Line("why.projection.option", {"kind": kind})
        if option is None:
            rows[kind] = (label, "", Line("why.projection.impossible"), *[Cell(None)] * 3)
        else:
            stands = Line("why.projection.option_run", {"pure": option["pure"], "run": option["run"]})
            rows[kind] = (label, "", stands, Cell(option["params"]), Cell(option["macs"], "si"), Cell(None))
    return rows
