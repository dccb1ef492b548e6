"""Rename tables: what torchvision and timm call the tensors of a design.

Derived from ``lower(spec)``: a module's foreign name follows from its slot, stage, block and ordinal, never from a
block's name. Two layouts exist. ``resnet`` (torchvision's ResNet, timm's ResNet)::

    conv1 bn1 | layer{s}.{b}.conv{i} bn{i} downsample.{0,1} se.… | fc

and ``resnetv2`` (timm's ResNetV2), for networks whose blocks begin with a norm::

    stem.conv | stages.{s}.blocks.{b}.norm{i} conv{i} downsample.conv | norm | head.fc
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Literal, NamedTuple, get_args

from otoyol.errors import WeightsError
from otoyol.ops import Op, lower
from otoyol.spec import Spec

Source = Literal["torchvision", "timm", "otoyol"]
Shape = tuple[int, ...]
COUNTER = "num_batches_tracked"

# Names inside timm's attention modules where they differ from ours (its CBAM wraps convolution and norm once more).
_TIMM_ATTENTION = {"spatial.conv": "spatial.conv.conv", "spatial.norm": "spatial.conv.bn"}


class Entry(NamedTuple):
    """One tensor: our key and shape, theirs, and the operator it belongs to."""

    ours: str
    shape: Shape
    theirs: str
    their_shape: Shape
    op: Op


def rename(spec: Spec, source: Source) -> dict[str, str]:
    """Our state-dict keys to theirs, in our order. Pure; ``otoyol`` gives our own keys.

    Raises WeightsError where ``source`` has no name for a part of the design. The norms that ``taps: postact`` gives
    the taps of a feature extractor exist nowhere else and are left out.
    """
    return {entry.ours: entry.theirs for entry in entries(spec, source)}


def entries(spec: Spec, source: Source, attention: bool = True) -> tuple[Entry, ...]:
    """Every tensor of the design that ``source`` has too; ``attention=False`` leaves that of attention out."""
    if source not in get_args(Source):
        raise WeightsError(f"source: got {source!r}; allowed: {', '.join(get_args(Source))}")
    return _entries(spec, source, attention)


@lru_cache(maxsize=32)
def _entries(spec: Spec, source: Source, attention: bool) -> tuple[Entry, ...]:
    names = module_names(spec, source, attention)
    conv_head = source != "otoyol" and layout(spec) == "resnetv2"  # timm's ResNetV2 classifies by a 1×1 convolution
    rows: list[Entry] = []
    for op in weighted(spec):
        if op.name in names:
            for suffix, shape in tensors(op):
                theirs = (*shape, 1, 1) if conv_head and op.kind == "linear" and suffix == "weight" else shape
                rows.append(Entry(f"{op.name}.{suffix}", shape, f"{names[op.name]}.{suffix}", theirs, op))
    return tuple(rows)


def weighted(spec: Spec) -> Iterator[Op]:
    """The operators that carry weights, each module once (CBAM runs its perceptron twice)."""
    seen: set[str] = set()
    for op in lower(spec).ops:
        if op.kind in ("conv", "conv1d", "linear", "norm") and op.name not in seen:
            seen.add(op.name)
            yield op


def tensors(op: Op) -> Iterator[tuple[str, Shape]]:
    """Suffix and shape of an operator's parameters and buffers, in the order torch lists them."""
    if op.kind == "norm":
        yield "weight", (op.c_in,)
        yield "bias", (op.c_in,)
        if op.detail != "group":
            yield "running_mean", (op.c_in,)
            yield "running_var", (op.c_in,)
        if op.detail in ("batch", "sync"):
            yield COUNTER, ()
        return
    if op.kind == "conv":
        yield "weight", (op.c_out, op.c_in // op.groups, op.kernel, op.kernel)
    elif op.kind == "conv1d":
        yield "weight", (1, 1, op.kernel)
    else:
        yield "weight", (op.c_out, op.c_in)
    if op.bias:
        yield "bias", (op.c_out,)


def layout(spec: Spec) -> Literal["resnet", "resnetv2"]:
    """Which of the two foreign layouts a design has: the second where a block begins with a norm."""
    return "resnetv2" if any("norm" in plan.form.preact for plan in spec.plan) else "resnet"


def head_module(kind: str) -> str:
    """The classifier's name in a layout."""
    return {"resnet": "fc", "resnetv2": "head.fc"}.get(kind, "head.fc")


def module_names(spec: Spec, source: Source, attention: bool = True) -> dict[str, str]:
    """Our module paths to theirs, for modules with weights. Raises WeightsError where there is no name."""
    ops = [op for op in weighted(spec) if op.slot != "tap" and (attention or op.slot != "attention")]
    if source == "otoyol":
        return {op.name: op.name for op in ops}
    if reasons := unnamed(spec, source, attention):
        raise WeightsError(f"{source} has no names for this design: {'; '.join(reasons)}")
    name = _resnetv2_name if layout(spec) == "resnetv2" else _resnet_name
    counts: dict[tuple[int, int, str], int] = {}
    result: dict[str, str] = {}
    for op in ops:
        ordinal = 0
        if op.slot in ("preact", "branch", "post", "stem"):
            key = (op.stage, op.block, op.kind)
            ordinal = counts[key] = counts.get(key, 0) + 1
        result[op.name] = name(op, ordinal, spec)
    return result


def unnamed(spec: Spec, source: Source, attention: bool = True) -> list[str]:
    """Why ``source`` has no key for some tensor of the design; empty where it has."""
    reasons = []
    attentions = {plan.form.attention for plan in spec.plan if attention} - {"none"}
    if "external" in attentions:
        reasons.append("attention=external is a module of your own")
    gates = {plan.form.gate for plan in spec.plan} & {"exclusive", "shortcut-only"}
    if gates:
        reasons.append(f"shortcut.gate={min(gates)} exists only here")
    if layout(spec) == "resnetv2":
        if source == "torchvision":
            reasons.append("torchvision has no pre-activation network; timm has (source='timm')")
        if attentions - {"external"}:
            reasons.append(f"timm's pre-activation networks have no attention={min(attentions)}")
        if spec.stem.activated:
            reasons.append("stem.activated=true: timm's pre-activation networks have a bare stem")
        if not all("norm" in plan.form.preact for plan in spec.plan):
            reasons.append("stages with and without a norm before the branch are mixed")
        return reasons
    if not spec.stem.activated:
        reasons.append("stem.activated=false: the stem's last convolution has a bn there")
    if source == "torchvision":
        if attentions - {"external"}:
            reasons.append(f"torchvision has no attention={min(attentions)}; timm has (source='timm')")
        if len(spec.stem.kernels) > 1:
            reasons.append("torchvision has no deep stem; timm has (source='timm')")
        if any(plan.form.shortcut == "D" for plan in spec.plan):
            reasons.append("torchvision has no shortcut=D; timm has (source='timm')")
    return reasons


def _resnet_name(op: Op, ordinal: int, spec: Spec) -> str:
    if op.slot == "stem":
        last = len(spec.stem.kernels)
        if op.kind == "conv":
            return "conv1" if last == 1 else f"conv1.{3 * (ordinal - 1)}"  # conv, bn and act take three places
        return "bn1" if ordinal == last else f"conv1.{3 * ordinal - 2}"
    if op.slot == "head":
        return "fc"
    block = f"layer{op.stage + 1}.{op.block}"
    if op.slot == "shortcut":
        pooled = spec.plan[op.stage].form.shortcut == "D"  # the pool, or an Identity in its place, comes first
        return f"{block}.downsample.{pooled + (op.kind == 'norm')}"
    if op.slot == "attention":
        inside = op.name.partition("attention.")[2]
        return f"{block}.se.{_TIMM_ATTENTION.get(inside, inside)}"
    return f"{block}.{'bn' if op.kind == 'norm' else 'conv'}{ordinal}"


def _resnetv2_name(op: Op, ordinal: int, spec: Spec) -> str:
    if op.slot == "stem":
        return f"stem.{op.kind}" if len(spec.stem.kernels) == 1 else f"stem.{op.kind}{ordinal}"
    if op.slot == "final":
        return "norm"
    if op.slot == "head":
        return "head.fc"
    block = f"stages.{op.stage}.blocks.{op.block}"
    return f"{block}.downsample.{op.kind}" if op.slot == "shortcut" else f"{block}.{op.kind}{ordinal}"
