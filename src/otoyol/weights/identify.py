"""What network a bare state dict comes from, as far as its keys and shapes tell."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from otoyol.errors import OtoyolError
from otoyol.spec import FAMILIES, Spec, family
from otoyol.weights.names import Shape, Source, entries, head_module, layout

_MARKS = {
    "resnet": re.compile(r"^(.*?)layer(\d+)\.(\d+)\.conv\d+\.weight$"),
    "resnetv2": re.compile(r"^(.*?)stages\.(\d+)\.blocks\.(\d+)\.conv\d+\.weight$"),
    "otoyol": re.compile(r"^(.*?)stages\.(\d+)\.(\d+)\.branch\.conv\d+\.weight$"),
}


class Identity(NamedTuple):
    """``layout``: ``resnet``, ``resnetv2``, ``otoyol`` or ``unknown``; ``families``: those with exactly these keys and
    shapes but for the head and the image's channels; ``facts``: what else the keys tell, for a sentence."""

    layout: str
    families: tuple[str, ...]
    facts: tuple[str, ...]
    prefix: str = ""

    def __str__(self) -> str:
        told = ", ".join(self.facts)
        if self.layout == "unknown":
            return "this looks like no residual network of torchvision, timm or Otoyol"
        if self.families:
            return f"this looks like {' or '.join(self.families[:4])} ({told})"
        return f"this looks like no family by name ({told})"


def identify(state_dict: Mapping[str, Any]) -> Identity:
    """Candidates for the design a state dict belongs to. Values need only a ``shape``.

    Families with equal keys and shapes are all named: ``resnet50`` and ``resnetv1_50`` differ only in meaning.
    """
    shapes = {str(key): tuple(value.shape) for key, value in state_dict.items() if hasattr(value, "shape")}
    matches = {kind: [match for match in map(mark.match, shapes) if match] for kind, mark in _MARKS.items()}
    kind, found = next(((kind, found) for kind, found in matches.items() if found), ("unknown", []))
    if not found:
        return Identity("unknown", (), ())
    prefix = found[0][1]
    shapes = {key.removeprefix(prefix): shape for key, shape in shapes.items() if key.startswith(prefix)}
    places = {(int(match[2]), int(match[3])) for match in found if match[1] == prefix}
    stages = sorted({stage for stage, _ in places})
    depths = tuple(sum(place[0] == stage for place in places) for stage in stages)
    return Identity(kind, _families(kind, shapes, depths), _facts(kind, shapes, depths), prefix)


def _families(kind: str, shapes: dict[str, Shape], depths: tuple[int, ...]) -> tuple[str, ...]:
    source: Source = "otoyol" if kind == "otoyol" else "timm"
    head = "head." if kind != "resnet" else "fc."
    grouped = not any(key.endswith("running_mean") for key in shapes)
    wanted = _core(shapes, head)
    result = []
    for name in FAMILIES:
        spec = family(name)
        if tuple(stage.depth for stage in spec.stages) != depths or (kind != "otoyol" and layout(spec) != kind):
            continue
        if grouped and spec.norm.kind != "group":
            spec, name = _with_group_norm(spec), f"{name}@norm=group"
        try:
            theirs = {entry.theirs: entry.their_shape for entry in entries(spec, source)}
        except OtoyolError:  # a design that the layout has no names for
            continue
        if _core(theirs, head) == wanted:
            result.append(name)
    return tuple(result)


def _with_group_norm(spec: Spec) -> Spec:
    try:
        return spec.model_copy(update={"norm": "group"})
    except OtoyolError:  # widths that 32 groups do not divide
        return spec


def _core(shapes: Mapping[str, Shape], head: str) -> dict[str, Shape]:
    """Shapes without head, counters and the image's channels."""
    core = {key: shape for key, shape in shapes.items() if not key.startswith(head) and len(shape) > 0}
    first = next((key for key, shape in core.items() if len(shape) == 4), None)
    if first is not None:
        core[first] = (core[first][0], 0, *core[first][2:])
    return core


def _facts(kind: str, shapes: dict[str, Shape], depths: tuple[int, ...]) -> tuple[str, ...]:
    told = [{"resnet": "torchvision's and timm's v1 keys", "resnetv2": "timm's v2 keys", "otoyol": "our keys"}[kind]]
    told.append(f"depths {'-'.join(map(str, depths))}")
    convs = {key: shape for key, shape in shapes.items() if len(shape) == 4 and key.endswith("weight")}
    block = {"resnet": "layer1.0.conv", "resnetv2": "stages.0.blocks.0.conv", "otoyol": "stages.0.0.branch.conv"}[kind]
    inside = [shape for key, shape in convs.items() if key.startswith(block)]
    if inside:
        kernels = " ".join(f"{shape[2]}x{shape[3]}" for shape in inside)
        told.append(f"first block {kernels}, {inside[0][0]} wide, {inside[-1][0]} out")
        grouped = [(prev[0], shape[1]) for prev, shape in pairwise(inside) if prev[0] != shape[1]]
        if grouped:
            told.append(f"{grouped[0][0] // grouped[0][1]} groups")
    deep = any(re.match(r"(conv1\.\d|stem\.conv[2-9])", key) for key in convs)
    told += ["deep stem"] * deep
    gates = {"se": r"\.fc1\.weight$", "eca": r"(se|attention)\.conv\.weight$", "cbam": r"spatial\..*conv\.weight$"}
    gate = [name for name, pattern in gates.items() if any(re.search(pattern, key) for key in shapes)]
    told += [f"attention {gate[-1]}"] if gate else []
    told += ["group norm"] * (not any(key.endswith("running_mean") for key in shapes))
    if head := shapes.get(f"{head_module(kind)}.weight"):
        told.append(f"{head[0]} classes")
    return tuple(told)
