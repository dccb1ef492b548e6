"""Why a bottleneck? What the inside of this design's blocks costs, against two 3×3 convolutions (or a bottleneck,
where the design has none) at the same output width."""

from __future__ import annotations

from typing import Any

from otoyol.explain.design import arrows, block_figures, text_of, totals, typical_blocks
from otoyol.explain.evidence import cite
from otoyol.explain.telling import Cell, Line, Telling
from otoyol.explain.variants import as_bottlenecks, as_pairs, inside
from otoyol.spec import Spec


def pair_weights(out: int) -> int:
    """Two 3×3 convolutions at ``out`` channels: 2 · 9 · out²."""
    return 18 * out * out


def bottleneck_weights(out: int, mid: int) -> int:
    """1×1, 3×3, 1×1: out·mid + 9·mid² + mid·out."""
    return 2 * out * mid + 9 * mid * mid


def shape_of(figures: dict[str, Any]) -> str:
    """``narrow``: a spatial convolution inside reads fewer channels than the block puts out; ``wide``: the inside is
    wider than the output; ``flat``: neither. What the block itself reads, a stage's first one, is the stage before."""
    _, *inner, out = figures["channels"]
    read_by_spatial = [c for c, kernel in zip(inner, figures["kernels"][1:], strict=True) if kernel > 1]
    if read_by_spatial and min(read_by_spatial) < out:
        return "narrow"
    return "wide" if max(inner, default=out) > out else "flat"


def facts(spec: Spec) -> dict[str, Any]:
    """Stages count from 1, weights are of F's convolutions in one block, totals of the whole network."""
    stages = []
    for block in typical_blocks(spec):
        here = block_figures(block)
        out = here["channels"][-1]
        shape = shape_of(here)
        mid = inside(out)
        other_weights = bottleneck_weights(out, mid) if shape == "flat" else pair_weights(out)
        stages.append(
            here
            | {
                "shape": shape,
                "other_channels": [out, mid, mid, out] if shape == "flat" else [out, out, out],
                "other_weights": other_weights,
                "other_macs": other_weights * here["positions"],
                "ratio": here["weights"] / other_weights if shape == "flat" else other_weights / here["weights"],
            }
        )
    shapes = [stage["shape"] for stage in stages]
    shape = next((s for s in ("narrow", "wide") if s in shapes), "flat")
    other_spec = as_bottlenecks(spec) if shape == "flat" else as_pairs(spec)
    other = totals(other_spec) if other_spec else None
    return {
        "shape": shape,
        "stages": stages,
        "totals": totals(spec),
        "other": other,
        "other_spec": text_of(other_spec) if other_spec else "",
    }


def answer(spec: Spec) -> Telling:
    found = facts(spec)
    shape = found["shape"]
    first = next(stage for stage in found["stages"] if stage["shape"] == shape)
    named = {
        **{name: first[name] for name in ("stage", "weights", "other_weights", "ratio", "macs", "other_macs")},
        "path": arrows(first["channels"]),
        "other_path": arrows(first["other_channels"]),
        "out": first["channels"][-1],
        "mid": max(first["channels"][1:-1], default=first["channels"][-1])
        if shape == "wide"
        else min(first["channels" if shape == "narrow" else "other_channels"][1:-1]),
        "taps": max(first["kernels"]) ** 2,
        "spatial_share": first["spatial_share"],
        "pointwise_share": 1 - first["spatial_share"],
    }
    dense = shape == "wide" and not first["depthwise"]
    paragraphs = [Line(f"why.bottleneck.{'wide_dense' if dense else shape}_reason", named)]
    if found["other"]:
        here, other = found["totals"], found["other"]
        whole = {
            "params": here["params"],
            "macs": here["macs"],
            "train_bytes": here["train_bytes"],
            "other_params": other["params"],
            "other_macs": other["macs"],
            "other_train_bytes": other["train_bytes"],
        }
        key = "network_flat" if shape == "flat" else "network"
        paragraphs += [Line(f"why.bottleneck.{key}", whole), Line("why.bottleneck.memory", whole)]
    lines, sources = cite("bottleneck_depth", "bottleneck_pairs")
    rows = tuple(
        (
            str(stage["stage"]),
            arrows(stage["channels"]),
            Cell(stage["weights"]),
            Cell(stage["macs"], "si"),
            arrows(stage["other_channels"]),
            Cell(stage["other_weights"]),
            Cell(stage["other_macs"], "si"),
            Cell(stage["other_weights"] / stage["weights"], ".2f"),
        )
        for stage in found["stages"]
    )
    head = ("stage", "path", "weights", "macs", "other_path", "other_weights", "other_macs", "other_ratio")
    return Telling(
        "bottleneck",
        Line(f"why.bottleneck.{shape}", named),
        (*paragraphs, *lines),
        found,
        "why.bottleneck.caption",
        tuple(f"column.{name}" for name in head),
        rows,
        sources,
    )
