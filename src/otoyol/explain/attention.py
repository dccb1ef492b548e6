"""Where does attention go, and what does it cost? Each kind added to this design, on F(x)."""

from __future__ import annotations

from typing import Any

from otoyol.audit import highway
from otoyol.explain.design import text_of, totals
from otoyol.explain.evidence import cite
from otoyol.explain.telling import Cell, Line, Telling
from otoyol.explain.variants import with_attention
from otoyol.spec import Spec

KINDS = ("se", "eca", "cbam")
PLACES = ("start", "spatial", "end")
ADDED = ("params", "macs", "train_bytes")


def facts(spec: Spec) -> dict[str, Any]:
    """What each kind adds to the design without attention, at the place it has here; ``places`` for the design's own
    kind (SE where it has none). ``clean_without`` and ``clean_with`` count blocks whose shortcut carries bare x."""
    own = list(dict.fromkeys(plan.form.attention for plan in spec.plan))
    bare = with_attention(spec, "none") or spec
    base = totals(bare)
    kinds = {kind: _added(with_attention(spec, kind), base) for kind in KINDS}
    kind = next((k for k in own if k in KINDS), "se")
    return {
        "own": own,
        "place": str(spec.attention.place),
        "kind": kind,
        "without": base,
        "here": totals(spec),
        "kinds": kinds,
        "places": {place: _added(with_attention(spec, kind, place), base) for place in PLACES},
        "clean_without": _clean(bare),
        "clean_with": _clean(with_attention(spec, kind) or spec),
        "blocks": len(highway(spec).blocks),
    }


def _clean(spec: Spec) -> int:
    return sum(all(o.where == "post" for o in block.obstacles) for block in highway(spec).blocks)


def _added(changed: Spec | None, base: dict[str, int]) -> dict[str, Any] | None:
    if changed is None:
        return None
    here = totals(changed)
    return {"spec": text_of(changed)} | {name: here[name] - base[name] for name in ADDED}


def answer(spec: Spec) -> Telling:
    found = facts(spec)
    present = [kind for kind in found["own"] if kind != "none"]
    base = found["without"]
    here = {name: found["here"][name] - base[name] for name in ADDED}
    counted = here if present else found["kinds"][found["kind"]]
    named: dict[str, Any] = {"kind": Line(f"attention.{found['kind']}")}
    if counted:
        named |= {
            "params": counted["params"],
            "macs": counted["macs"],
            "params_share": counted["params"] / base["params"],
            "macs_share": counted["macs"] / base["macs"],
        }
    headline = "external" if present and present[0] == "external" else ("present" if present else "absent")
    clean = {name: found[name] for name in ("clean_without", "clean_with", "blocks")}
    paragraphs = [Line("why.attention.skip", clean)]
    if all(found["kinds"].values()):
        eca, cbam, se = (found["kinds"][kind] for kind in ("eca", "cbam", "se"))
        figures = {
            f"{kind}_{n}": row[n]
            for kind, row in (("se", se), ("eca", eca), ("cbam", cbam))
            for n in ("params", "macs")
        }
        paragraphs.append(Line("why.attention.kinds", figures))
    ends = [found["places"][place] for place in ("spatial", "end")]
    if all(ends) and ends[0]["params"] != ends[1]["params"]:
        places = {"kind": named["kind"], "spatial": ends[0]["params"], "end": ends[1]["params"]}
        paragraphs.append(Line("why.attention.places", places))
    paragraphs.append(Line("why.attention.memory"))
    lines, sources = cite("attention_se", "attention_place", "attention_spatial", "attention_cifar")
    head = ("attention_what", "added_params", "params_share", "added_macs", "macs_share", "added_train_bytes")
    rows = [_row(Line(f"attention.{kind}"), row, base) for kind, row in found["kinds"].items()]
    rows += [
        _row(
            Line("attention.at", {"kind": Line(f"attention.{found['kind']}"), "place": Line(f"place.{place}")}),
            row,
            base,
        )
        for place, row in found["places"].items()
    ]
    return Telling(
        "attention",
        Line(f"why.attention.{headline}", named),
        (*paragraphs, *lines),
        found,
        "why.attention.caption",
        tuple(f"column.{name}" for name in head),
        tuple(rows),
        sources,
    )


def _row(name: Line, row: dict[str, Any] | None, base: dict[str, int]) -> tuple[Cell | Line | str, ...]:
    if row is None:
        return (name, *[Cell(None)] * 5)
    return (
        name,
        Cell(row["params"]),
        Cell(row["params"] / base["params"], ".2%"),
        Cell(row["macs"]),
        Cell(row["macs"] / base["macs"], ".2%"),
        Cell(row["train_bytes"], "bytes"),
    )
