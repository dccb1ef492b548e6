"""Pre- or post-activation? What stands on this design's highway, against the other ordering."""

from __future__ import annotations

from collections import Counter
from typing import Any

from otoyol.audit import Audit, highway
from otoyol.explain.design import main_path_layers, text_of, totals
from otoyol.explain.evidence import cite
from otoyol.explain.highway import joined
from otoyol.explain.telling import Cell, Line, Telling
from otoyol.explain.variants import other_ordering
from otoyol.ops import lower
from otoyol.spec import Spec


def ordering(spec: Spec) -> str:
    """``preact`` where every stage begins with norm and act, ``v1`` where every sum meets an act alone, ``mixed``
    where stages differ, ``other`` for the remaining orderings of He et al. 2016, Fig. 4."""
    kinds = {(plan.form.preact, plan.form.post) for plan in spec.plan}
    if len(kinds) > 1:
        return "mixed"
    ((preact, post),) = kinds
    if set(preact) == {"norm", "act"} and not post:
        return "preact"
    return "v1" if post == ("act",) and not preact else "other"


def facts(spec: Spec) -> dict[str, Any]:
    """``here`` and ``other`` hold the same quantities of the design and of its other ordering."""
    changed = other_ordering(spec)
    return {
        "ordering": ordering(spec),
        "layers": main_path_layers(spec),
        "here": _side(spec),
        "other": _side(changed) if changed else None,
        "other_spec": text_of(changed) if changed else "",
        "other_ordering": ordering(changed) if changed else "",
    }


def _side(spec: Spec) -> dict[str, Any]:
    audit = highway(spec)
    return {
        "blocks": len(audit.blocks),
        "pure": audit.pure,
        "run": audit.run.length,
        "run_share": audit.run.share,
        "run_first": [i + 1 for i in audit.run.first_at],
        "run_last": [i + 1 for i in audit.run.last_at],
        "on_highway": _on_highway(audit),
        "final": [op.kind for op in lower(spec).ops if op.slot == "final"],
        "norms": len(audit.folds),
        "foldable": audit.foldable,
        "obstacles_to_folding": dict(Counter(fold.behind for fold in audit.folds if not fold.folds)),
        **totals(spec),
    }


def _on_highway(audit: Audit) -> dict[str, int]:
    """How many blocks have what on the identity path: ``conv`` on the shortcut, ``act`` after the sum, …"""
    counts: Counter[str] = Counter()
    for block in audit.blocks:
        counts.update({f"{o.where}_{o.what}" for o in block.obstacles})
    return dict(sorted(counts.items()))


def answer(spec: Spec) -> Telling:
    found = facts(spec)
    here, other = found["here"], found["other"]
    headline = Line(f"why.preact.{found['ordering']}", _named(here))
    equations = "equations_all" if here["pure"] == here["blocks"] else ("equations" if here["pure"] else "no_equations")
    paragraphs = [Line(f"why.preact.{equations}", _named(here))]
    if here["run"]:
        (a, b), (c, d) = here["run_first"], here["run_last"]
        paragraphs.append(Line("why.preact.run", _named(here) | {"first": f"{a}.{b}", "last": f"{c}.{d}"}))
    if here["final"]:
        paragraphs.append(Line("why.preact.final", {"final": joined([f"obstacle.{kind}" for kind in here["final"]])}))
    else:
        paragraphs.append(Line("why.preact.no_final"))
    if here["norms"]:
        paragraphs.append(
            Line("why.preact.fold_all" if here["foldable"] == here["norms"] else "why.preact.fold", _named(here))
        )
    paragraphs.append(Line("why.preact.memory", _named(here)))
    if other:
        both = _named(here) | {f"other_{name}": value for name, value in _named(other).items()}
        paragraphs.append(Line("why.preact.other_side", both | {"name": Line(f"ordering.{found['other_ordering']}")}))
    names = _evidence(found)
    lines, sources = cite(*names)
    return Telling(
        "preact",
        headline,
        (*paragraphs, Line(f"why.preact.depth_{_depth_band(found['layers'])}", {"layers": found["layers"]}), *lines),
        found,
        "why.preact.caption",
        ("column.quantity", "column.here", "column.other"),
        _rows(found),
        sources,
    )


def _named(side: dict[str, Any]) -> dict[str, Any]:
    rest = side["blocks"] - side["pure"]
    return {name: value for name, value in side.items() if isinstance(value, int | float)} | {
        "rest": rest,
        "unfolded": side["norms"] - side["foldable"],
        "lean_share": side["train_bytes_lean"] / side["train_bytes"] if side["train_bytes"] else 1.0,
    }


def _depth_band(layers: int) -> str:
    return "shallow" if layers < 100 else ("middle" if layers < 400 else "deep")


def _evidence(found: dict[str, Any]) -> list[str]:
    band = _depth_band(found["layers"])
    names = ["preact_shallow", "preact_spread"] if band == "shallow" else []
    names += ["preact_middle", "preact_imagenet"] if band == "middle" else []
    names.append("preact_deep")
    if found["ordering"] in ("other", "mixed"):
        names.append("preact_orderings")
    if any(what in f"{key}" for key in found["here"]["on_highway"] for what in ("_gate", "_scale", "_dropout")):
        names.append("highway_blocked")
    return names


def _rows(found: dict[str, Any]) -> tuple[tuple[Cell | Line | str, ...], ...]:
    quantities = (
        ("pure", ""), ("run", ""), ("norms", ""), ("foldable", ""), ("params", ""), ("macs", "si"),
        ("train_bytes", "bytes"), ("train_bytes_lean", "bytes"), ("peak_inference_bytes", "bytes"),
    )  # fmt: skip
    here, other = found["here"], found["other"]
    return tuple(
        (Line(f"quantity.{name}"), Cell(here[name], spec), Cell(other[name] if other else None, spec))
        for name, spec in quantities
    )
