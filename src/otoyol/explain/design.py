"""Figures that several answers share: totals of a design, weights and MACs of single blocks."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from otoyol import cost
from otoyol.audit.highway import blocks_of
from otoyol.errors import OtoyolError
from otoyol.ops import Op, lower
from otoyol.spec import Spec, to_text

TOTALS = ("params", "macs", "train_bytes", "train_bytes_lean", "peak_inference_bytes")


@lru_cache(maxsize=64)
def _totals(spec: Spec) -> tuple[int, ...]:
    count = cost.count(spec)
    return tuple(int(getattr(count, name)) for name in TOTALS)


def totals(spec: Spec) -> dict[str, int]:
    """Parameters, MACs and bytes of one design: one image, float32."""
    return dict(zip(TOTALS, _totals(spec), strict=True))


def text_of(spec: Spec) -> str:
    """The text form, empty where the family has none."""
    try:
        return to_text(spec)
    except OtoyolError:
        return ""


def weights(op: Op) -> int:
    """Weights of a convolution, without its bias."""
    return op.c_out * (op.c_in // op.groups) * op.kernel**2


def macs(op: Op) -> int:
    """Multiply-adds of a convolution for one image."""
    return weights(op) * op.h_out * op.w_out


def branch_convs(block: Iterable[Op]) -> list[Op]:
    return [op for op in block if op.slot == "branch" and op.kind == "conv"]


def typical_blocks(spec: Spec) -> list[list[Op]]:
    """One block of every stage: the second, which repeats, or the only one."""
    # Two blocks a stage show all there is; lowering hundreds only takes longer.
    short = tuple(stage.model_copy(update={"depth": min(2, stage.depth)}) for stage in spec.stages)
    blocks: dict[int, list[Op]] = {}
    for _, block in blocks_of(lower(spec.model_copy(update={"stages": short})).ops):
        blocks[block[0].stage] = block
    return [blocks[stage] for stage in sorted(blocks)]


def block_figures(block: list[Op]) -> dict[str, Any]:
    """Channels along F, kernels, weights and MACs of its convolutions, and the share that spatial ones hold."""
    convs = branch_convs(block)
    total = sum(map(weights, convs))
    spatial = sum(weights(op) for op in convs if op.kernel > 1)
    return {
        "stage": block[0].stage + 1,
        "channels": [convs[0].c_in, *(op.c_out for op in convs)],
        "kernels": [op.kernel for op in convs],
        "depthwise": all(op.groups == op.c_in == op.c_out for op in convs if op.kernel > 1),
        "weights": total,
        "macs": sum(map(macs, convs)),
        "spatial_weights": spatial,
        "spatial_share": spatial / total,
        "positions": convs[-1].h_out * convs[-1].w_out,
    }


def main_path_layers(spec: Spec) -> int:
    """Weighted layers from image to classes, the depth that gives networks their names (He et al. 2015)."""
    return sum(
        (op.kind == "conv" and op.slot in ("stem", "branch") and not op.name.endswith(".gate")) or op.kind == "linear"
        for op in lower(spec).ops
    )


def arrows(channels: Iterable[int]) -> str:
    """256→64→64→256."""
    return "→".join(map(str, channels))
