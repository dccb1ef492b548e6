"""A block's operators, from its form and its numbers.

The numbers may be Python integers, numpy arrays or symbols: nothing here branches on a channel count or a size,
so that one formula costs one design and millions (see ``otoyol.cost``).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from otoyol.ops.attention import lower_attention
from otoyol.ops.op import INPUT, Kind, Op, Slot
from otoyol.spec.blocks import branch_channels, kernel_of
from otoyol.spec.plan import Form

Number = Any  # int, numpy array or symbol


class Tensor(NamedTuple):
    """The output of operator ``op``: channels × height × width."""

    op: int
    c: Number
    h: Number
    w: Number


class Place(NamedTuple):
    """What distinguishes a block from others of its form: structure, not numbers."""

    projected: bool  # the shortcut must change shape
    strided: bool
    dilated: bool  # the stage is dilated (ResNet-D's pool then stays, at stride 1)
    preact: bool  # the preact slot is there; not after an activated stem
    drop_path: bool
    first: bool


class Sizes(NamedTuple):
    """A block's numbers. ``dilation`` is that of the convolution with the stride, ``dilation_rest`` of the others."""

    c_in: Number
    mid: Number
    out: Number
    h: Number
    w: Number
    stride: Number
    dilation: Number
    dilation_rest: Number
    groups: Number


def strided(size: Number, stride: Number) -> Number:
    """Output size of every strided operator here, ⌈size/stride⌉: k odd with padding k//2·dilation, or a 2×2 ceil-mode
    pool."""
    return size if isinstance(stride, int) and stride == 1 else (size + stride - 1) // stride


class Tape:
    """Collects operators and hands out their outputs."""

    def __init__(self, prefix: str, stage: int, block: int) -> None:
        self.prefix, self.stage, self.block = prefix, stage, block
        self.ops: list[Op] = []

    def add(
        self, name: str, kind: Kind, slot: Slot, *inputs: Tensor,
        c: Number = None, h: Number = None, w: Number = None,
        kernel: int = 1, stride: Number = 1, dilation: Number = 1, groups: Number = 1,
        bias: bool = False, detail: str = "",
    ) -> Tensor:  # fmt: skip
        """Append an operator; the output has the first input's shape unless told otherwise."""
        x = inputs[0]
        y = Tensor(len(self.ops), x.c if c is None else c, x.h if h is None else h, x.w if w is None else w)
        self.ops.append(
            Op(self.prefix + name, kind, slot, self.stage, self.block, tuple(i.op for i in inputs),
               x.c, x.h, x.w, y.c, y.h, y.w, kernel, stride, dilation, groups, bias, detail)
        )  # fmt: skip
        return y

    def conv(
        self, name: str, slot: Slot, x: Tensor, c: Number, kernel: int,
        stride: Number = 1, dilation: Number = 1, groups: Number = 1, bias: bool = False,
    ) -> Tensor:  # fmt: skip
        h, w = strided(x.h, stride), strided(x.w, stride)
        return self.add(name, "conv", slot, x, c=c, h=h, w=w, kernel=kernel,
                        stride=stride, dilation=dilation, groups=groups, bias=bias)  # fmt: skip

    def pointwise(self, tokens: tuple[str, ...], slot: Slot, x: Tensor, form: Form) -> Tensor:
        """A slot of norm and act tokens only (preact, post)."""
        for token, name in zip(tokens, token_names(tokens), strict=True):
            x = self.add(f"{slot}.{name}", token, slot, x, detail=form.norm if token == "norm" else form.act)  # type: ignore[arg-type]
        return x


def token_names(tokens: tuple[str, ...]) -> list[str]:
    """Module names of a slot's tokens: each kind counted from 1, as torchvision counts (conv1, norm1, act1, conv2)."""
    counts = {"conv": 0, "norm": 0, "act": 0}
    names = []
    for token in tokens:
        stem = token if token in counts else "conv"
        counts[stem] += 1
        names.append(f"{stem}{counts[stem]}")
    return names


def lower_block(form: Form, place: Place, n: Sizes, prefix: str = "", stage: int = 0, index: int = 0) -> list[Op]:
    """The block's operators in the order they run; inputs are indices into the list, INPUT is the block's x."""
    tape = Tape(prefix, stage, index)
    x = Tensor(INPUT, n.c_in, n.h, n.w)
    a = tape.pointwise(form.preact, "preact", x, form) if place.preact else x
    shortcut = _shortcut(tape, form, place, n, x, a)
    if shortcut is not None and form.gate in ("scale", "dropout"):
        shortcut = tape.add(f"shortcut.{form.gate}", form.gate, "shortcut", shortcut)  # type: ignore[arg-type]
    f = _branch(tape, form, n, a)
    if shortcut is not None and form.gate == "scale":
        f = tape.add("branch.scale", "scale", "branch", f)
    if shortcut is not None and form.gate in ("exclusive", "shortcut-only"):
        f, shortcut = _gate(tape, form, n, x, f, shortcut)
    if place.drop_path:
        f = tape.add("drop_path", "drop_path", "branch", f)
    y = f if shortcut is None else tape.add("add", "add", "join", f, shortcut)
    tape.pointwise(form.post, "post", y, form)
    return tape.ops


def _branch(tape: Tape, form: Form, n: Sizes, x: Tensor) -> Tensor:
    channels = branch_channels(form.branch, n.c_in, n.mid, n.out)
    for i, (token, name) in enumerate(zip(form.branch, token_names(form.branch), strict=True)):
        if i == form.attention_at:
            x = lower_attention(tape, form, x)
        kernel = kernel_of(token)
        if not kernel:
            x = tape.add(f"branch.{name}", token, "branch", x, detail=form.norm if token == "norm" else form.act)  # type: ignore[arg-type]
            continue
        here = i == form.stride_token
        # The convolution that would carry the stride keeps the previous stage's dilation (torchvision, timm).
        dilation = (n.dilation if _first_spatial(form) == i else n.dilation_rest) if kernel > 1 else 1
        groups = x.c if token.startswith("dw") else (n.groups if kernel > 1 else 1)
        x = tape.conv(f"branch.{name}", "branch", x, channels[i][1], kernel, n.stride if here else 1, dilation, groups)
    return lower_attention(tape, form, x) if form.attention_at == len(form.branch) else x


def _first_spatial(form: Form) -> int:
    return next((i for i, token in enumerate(form.branch) if kernel_of(token) > 1), -1)


def _shortcut(tape: Tape, form: Form, place: Place, n: Sizes, x: Tensor, a: Tensor) -> Tensor | None:
    """The shortcut's output, x itself where nothing stands on it, None where there is no shortcut."""
    if not place.projected and form.shortcut != "C":
        return x
    if form.shortcut == "none":
        return None
    if form.shortcut == "A":
        if place.strided:
            h, w = strided(x.h, n.stride), strided(x.w, n.stride)
            x = tape.add("shortcut.subsample", "subsample", "shortcut", x, h=h, w=w, stride=n.stride)
        return tape.add("shortcut.pad", "pad", "shortcut", x, c=n.out)
    x = a if form.reads == "preact" else x
    stride = n.stride
    if form.shortcut == "D" and (place.strided or place.dilated):
        h, w = strided(x.h, stride), strided(x.w, stride)
        x = tape.add("shortcut.pool", "avgpool", "shortcut", x, h=h, w=w, kernel=2, stride=stride)
        stride = 1
    x = tape.conv("shortcut.conv", "shortcut", x, n.out, 1, stride)
    return tape.add("shortcut.norm", "norm", "shortcut", x, detail=form.norm) if form.shortcut_norm else x


def _gate(tape: Tape, form: Form, n: Sizes, x: Tensor, f: Tensor, shortcut: Tensor) -> tuple[Tensor, Tensor]:
    """He et al. 2016, Table 1: what happens when the highway is not left alone."""
    g = tape.conv("shortcut.gate", "shortcut", x, n.out, 1, n.stride, bias=True)
    g = tape.add("shortcut.sigmoid", "sigmoid", "shortcut", g)
    keep = tape.add("shortcut.complement", "complement", "shortcut", g)
    shortcut = tape.add("shortcut.mul", "mul", "shortcut", shortcut, keep)
    return (tape.add("branch.mul", "mul", "branch", f, g) if form.gate == "exclusive" else f), shortcut
