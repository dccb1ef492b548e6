"""What does expansion do? The same design at other expansions: at the same inside, and at the same output."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from otoyol.explain.design import arrows, block_figures, text_of, totals, typical_blocks
from otoyol.explain.evidence import cite
from otoyol.explain.telling import Cell, Line, Telling
from otoyol.explain.variants import own_expansion, with_expansion, with_inside
from otoyol.spec import Spec

ALTERNATIVES = (Fraction(1), Fraction(2), Fraction(4), Fraction(6))


def facts(spec: Spec) -> dict[str, Any]:
    """``alternatives`` change the expansion at the same stage widths, ``same_output`` at the same output widths;
    where a block counts its inside from its input the two are one, and ``same_output`` is empty."""
    own = [own_expansion(plan) for plan in spec.plan]
    from_input = all(plan.form.inner == "input" for plan in spec.plan)
    choices = sorted({*ALTERNATIVES, own[0]})
    alternatives = [row for e in choices if (row := _row(spec, with_expansion(spec, e), e))]
    same_output = [] if from_input else [row for e in choices if (row := _row(spec, with_inside(spec, e), e))]
    return {
        "own": [str(e) for e in own],
        "inner": "input" if from_input else "width",
        "block": block_figures(typical_blocks(spec)[0]),
        "totals": totals(spec),
        "alternatives": alternatives,
        "same_output": same_output,
    }


def _row(spec: Spec, changed: Spec | None, expansion: Fraction) -> dict[str, Any] | None:
    if changed is None:
        return None
    block = block_figures(typical_blocks(changed)[0])
    return {
        "expansion": str(expansion),
        "own": totals(changed) == totals(spec) and [own_expansion(p) for p in changed.plan] == _own(spec),
        "spec": text_of(changed),
        "output_width": changed.plan[-1].out,
        "channels": block["channels"],
        "block_weights": block["weights"],
        "spatial_weights": block["spatial_weights"],
        **totals(changed),
    }


def _own(spec: Spec) -> list[Fraction]:
    return [own_expansion(plan) for plan in spec.plan]


def answer(spec: Spec) -> Telling:
    found = facts(spec)
    block, here = found["block"], found["totals"]
    inner = found["inner"]
    at = {row["expansion"]: row for row in found["alternatives"]}
    named: dict[str, Any] = {
        "own": found["own"][0],
        "stage": block["stage"],
        "path": arrows(block["channels"]),
        "inside": max(block["channels"][1:-1], default=block["channels"][-1])
        if inner == "input"
        else spec.plan[0].mid_rest,
        "out": block["channels"][-1],
        "weights": block["weights"],
        "spatial": block["spatial_weights"],
        "pointwise": block["weights"] - block["spatial_weights"],
        "params": here["params"],
        "macs": here["macs"],
    }
    paragraphs = [Line(f"why.expansion.inside_{inner}", named)]
    if len(set(found["own"])) > 1:
        paragraphs.append(Line("why.expansion.uneven", {"all": found["own"]}))
    if len(at) > 1:
        paragraphs.append(Line(f"why.expansion.sweep_{inner}", _ends(found["alternatives"])))
        paragraphs.append(Line("why.expansion.memory", _ends(found["alternatives"])))
    if len(found["same_output"]) > 1:
        paragraphs.append(Line("why.expansion.same_output", _ends(found["same_output"])))
    lines, sources = cite("expansion_wide", "expansion_groups")
    same = {row["expansion"]: row for row in found["same_output"]}
    head = ["expansion", "path", "output_width", "params", "macs", "train_bytes"]
    if same:
        head += ["same_path", "same_params", "same_macs"]
    return Telling(
        "expansion",
        Line(f"why.expansion.{inner}", named),
        (*paragraphs, *lines),
        found,
        "why.expansion.caption",
        tuple(f"column.{name}" for name in head),
        tuple(_cells(e, at.get(e), same.get(e), bool(same)) for e in sorted({*at, *same}, key=Fraction)),
        sources,
    )


def _ends(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The smallest and the largest alternative side by side."""
    low, high = rows[0], rows[-1]
    return {f"{end}_{name}": value for end, row in (("low", low), ("high", high)) for name, value in row.items()} | {
        "low_path": arrows(low["channels"]),
        "high_path": arrows(high["channels"]),
    }


def _cells(e: str, row: dict[str, Any] | None, same: dict[str, Any] | None, both: bool) -> tuple[Cell | str, ...]:
    cells: list[Cell | str] = [e]
    if row:
        cells += [arrows(row["channels"]), Cell(row["output_width"], "d"), Cell(row["params"])]
        cells += [Cell(row["macs"], "si"), Cell(row["train_bytes"], "bytes")]
    else:
        cells += [Cell(None)] * 5
    if both and same:
        cells += [arrows(same["channels"]), Cell(same["params"]), Cell(same["macs"], "si")]
    elif both:
        cells += [Cell(None)] * 3
    return tuple(cells)
