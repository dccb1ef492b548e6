"""What a backbone says about itself: taps with channels and strides, and timm's ``default_cfg``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from otoyol.errors import SpecError
from otoyol.ops import Op, Ops
from otoyol.ops.block import strided
from otoyol.spec import Spec

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Published(NamedTuple):
    """``first`` is the stem's layer that puts out C1; ``slots`` are where the stages' taps stand: ``preact`` (of the
    next stage), ``final``, ``tap`` (a norm and act of their own), or the slot that ends the stage's last block."""

    tap_info: list[dict[str, Any]]
    tap_channels: dict[str, int]
    tap_strides: dict[str, int]
    first: str
    slots: tuple[str, ...]


def published(lowered: Ops) -> Published:
    """The taps of a network, from its operators."""
    ops, taps = lowered
    info = [
        {"num_chs": tap.channels, "reduction": tap.stride, "module": _module(ops[tap.op], tap.name), "name": tap.name}
        for tap in taps
    ]
    return Published(
        info,
        {tap.name: tap.channels for tap in taps},
        {tap.name: tap.stride for tap in taps},
        ops[taps[0].op].name.removeprefix("stem."),
        tuple(ops[tap.op].slot for tap in taps[1:]),
    )


def _module(op: Op, tap: str) -> str:
    """Path of the module that puts out the tap."""
    if op.slot == "stem":
        return op.name
    if op.slot == "preact":
        return f"stages.{op.stage}.{op.block}.preact"
    if op.slot == "final":
        return "final"
    return f"taps.{tap}" if op.slot == "tap" else f"stages.{op.stage}"


def default_cfg(spec: Spec) -> dict[str, Any]:
    """timm's description of a model without pretrained weights."""
    size = (spec.input.channels, spec.input.height, spec.input.width)
    h, w = size[1:]
    for stride in (*spec.stem.strides, 2 if spec.stem.pool == "max" else 1, *(plan.stride for plan in spec.plan)):
        h, w = strided(h, stride), strided(w, stride)
    return {
        "url": "", "num_classes": spec.head.classes, "input_size": size, "pool_size": (h, w),
        "crop_pct": 0.875, "interpolation": "bilinear", "mean": IMAGENET_MEAN, "std": IMAGENET_STD,
        "first_conv": "stem.conv1", "classifier": "head.fc", "license": "apache-2.0",
    }  # fmt: skip


def take_indices(count: int, indices: int | Sequence[int] | None) -> list[int]:
    """timm's reading of feature indices: all for None, the last so many for an integer, from the end if negative."""
    if indices is None:
        return list(range(count))
    chosen = range(count - indices, count) if isinstance(indices, int) else indices
    taken = [i if i >= 0 else i + count for i in chosen]
    if not taken or not all(0 <= i < count for i in taken) or (isinstance(indices, int) and indices > count):
        raise SpecError("indices", indices, f"1 to {count}, or a list of indices from {-count} to {count - 1}")
    return taken
