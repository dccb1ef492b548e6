"""Words on the diagrams: what an operator is called, its numbers, its shape."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from otoyol.draw.svg import MONO_WIDTH
from otoyol.explain.text import catalogue, number, say
from otoyol.ops import Op
from otoyol.spec import FAMILIES, Spec
from otoyol.spec.text import any_text

# The field's own names, the same in every language.
NORMS = {"batch": "BN", "sync": "SyncBN", "frozen": "FrozenBN", "group": "GN"}
ACTS = {
    "relu": "ReLU", "relu6": "ReLU6", "leaky_relu": "LeakyReLU", "silu": "SiLU", "gelu": "GELU",
    "hardswish": "Hardswish",
}  # fmt: skip


def shape(c: int, h: int, w: int) -> str:
    """``256×56×56``: channels, height, width."""
    return f"{c}×{h}×{w}"


def shape_out(op: Op) -> str:
    return shape(op.c_out, op.h_out, op.w_out)


def shape_in(op: Op) -> str:
    return shape(op.c_in, op.h_in, op.w_in)


@lru_cache(4_096)
def op_name(op: Op, lang: str) -> str:
    """What the operator is, with its kernel: ``conv 3×3``, ``BN``, ``ReLU``, ``max pool 3×3``."""
    if op.kind == "norm":
        return NORMS.get(op.detail, op.detail)
    if op.kind in ("act", "relu"):
        return ACTS.get(op.detail or "relu", op.detail)
    kind = "depthwise" if op.kind == "conv" and op.groups == op.c_in > 1 else op.kind
    return say(f"draw.op.{kind}", lang, kernel=op.kernel)


@lru_cache(4_096)
def op_detail(op: Op, lang: str) -> str:
    """The numbers that are not the usual ones, joined by dots; empty where all are."""
    notes = []
    if op.kind == "linear":
        notes.append(f"{op.c_in} → {op.c_out}")
    if op.kind == "pad":
        notes.append(say("draw.zeros", lang, channels=op.c_out - op.c_in))
    if op.stride > 1:
        notes.append(say("draw.stride", lang, stride=op.stride))
    if op.kind == "conv" and 1 < op.groups < op.c_in:
        notes.append(say("draw.groups", lang, groups=op.groups))
    if op.dilation > 1:
        notes.append(say("draw.dilation", lang, dilation=op.dilation))
    return " · ".join(notes)


def op_tooltip(op: Op, lang: str) -> str:
    """The operator in one line: module path, what it is, shapes in and out."""
    words = " · ".join(filter(None, (op_name(op, lang), op_detail(op, lang))))
    return f"{op.name}: {words}; {shape_in(op)} → {shape_out(op)}"


def listed(ops: Sequence[Op], lang: str) -> str:
    """The operators' names in order, each once."""
    return ", ".join(dict.fromkeys(op_name(op, lang) for op in ops))


def spec_name(spec: Spec) -> str:
    """The text form; for a family of the user's own, its name and the text form of the same design as ``custom``."""
    return any_text(spec) if spec.family in FAMILIES else f"{spec.family} ({any_text(spec)})"


def text_form_lines(name: str, width: float, most: int = 6) -> list[str]:
    """The text form broken after commas, and inside a word only where that alone is too long."""
    size = int(width / (MONO_WIDTH * 11.5))
    words = [piece[i : i + size] for piece in name.replace(",", ",\0").split("\0") for i in range(0, len(piece), size)]
    lines: list[str] = []
    for word in words:
        if lines and len(lines[-1] + word) <= size:
            lines[-1] += word
        else:
            lines.append(word)
    return lines if len(lines) <= most else [*lines[: most - 1], lines[most - 1][: size - 1] + "…"]


def check_lang(lang: str) -> str:
    """``lang`` itself; raises SpecError where the catalogue has no such language."""
    catalogue(lang)
    return lang


__all__ = [
    "check_lang", "listed", "number", "op_detail", "op_name", "op_tooltip", "say", "shape", "shape_in",
    "shape_out", "spec_name", "text_form_lines",
]  # fmt: skip
