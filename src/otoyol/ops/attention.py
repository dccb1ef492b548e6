"""Operators of the attention modules; each follows timm's module of the same name, weights included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otoyol.spec.plan import Form

if TYPE_CHECKING:
    from otoyol.ops.block import Tape, Tensor

Number = Any


def squeezed(channels: Number, reduction: int, divisor: int) -> Number:
    """Width of the squeeze: channels / reduction to the nearest multiple of ``divisor``, at least one (timm's
    ``make_divisible`` with ``round_limit=0``)."""
    rounded = (2 * channels + divisor * reduction) // (2 * reduction * divisor) * divisor
    return rounded + divisor * (rounded == 0)


def eca_kernel(channels: Number) -> Number:
    """ECA's kernel, the odd number at or above |log2(C)/2 + 1/2|, at least 3 (Wang et al. 2020, Eq. 12)."""
    # int((log2 C + 1) / 2) made odd: 1 below 2^3, then one step of two for every factor of 16. Thresholds are exact.
    return 3 + sum(2 * (channels >= 2**bits) for bits in range(7, 32, 4))


def lower_attention(tape: Tape, form: Form, x: Tensor) -> Tensor:
    """The gated tensor."""
    kind = form.attention
    if kind == "none":
        return x
    if kind == "external":
        return tape.add("attention", "external", "attention", x)
    return {"se": _se, "eca": _eca, "cbam": _cbam}[kind](tape, form, x)


def _se(tape: Tape, form: Form, x: Tensor) -> Tensor:
    """Squeeze-and-excitation (Hu et al. 2018): mean, 1×1, relu, 1×1, sigmoid, scale."""
    width = squeezed(x.c, form.reduction, form.divisor)
    s = tape.add("attention.mean", "mean", "attention", x, h=1, w=1)
    s = tape.conv("attention.fc1", "attention", s, width, 1, bias=True)
    s = tape.add("attention.act", "relu", "attention", s)
    s = tape.conv("attention.fc2", "attention", s, x.c, 1, bias=True)
    s = tape.add("attention.gate", "sigmoid", "attention", s)
    return tape.add("attention.mul", "mul", "attention", x, s)


def _eca(tape: Tape, form: Form, x: Tensor) -> Tensor:
    """Efficient channel attention (Wang et al. 2020): mean, 1-d convolution over channels, sigmoid, scale."""
    del form  # ECA has no choices
    s = tape.add("attention.mean", "mean", "attention", x, h=1, w=1)
    s = tape.add("attention.conv", "conv1d", "attention", s, kernel=eca_kernel(x.c))
    s = tape.add("attention.gate", "sigmoid", "attention", s)
    return tape.add("attention.mul", "mul", "attention", x, s)


def _cbam(tape: Tape, form: Form, x: Tensor) -> Tensor:
    """CBAM (Woo et al. 2018): a perceptron over mean and max, then a 7×7 gate over the channels' mean and max."""
    width = squeezed(x.c, form.reduction, form.divisor)
    pooled = []
    for kind in ("mean", "max"):
        s = tape.add(f"attention.channel.{kind}", kind, "attention", x, h=1, w=1)
        s = tape.conv("attention.channel.fc1", "attention", s, width, 1)
        s = tape.add("attention.channel.act", "relu", "attention", s)
        pooled.append(tape.conv("attention.channel.fc2", "attention", s, x.c, 1))
    s = tape.add("attention.channel.add", "add", "attention", *pooled)
    s = tape.add("attention.channel.gate", "sigmoid", "attention", s)
    x = tape.add("attention.channel.mul", "mul", "attention", x, s)
    mean = tape.add("attention.spatial.mean", "channel_mean", "attention", x, c=1)
    peak = tape.add("attention.spatial.max", "channel_max", "attention", x, c=1)
    s = tape.add("attention.spatial.cat", "cat", "attention", mean, peak, c=2)
    s = tape.conv("attention.spatial.conv", "attention", s, 1, 7)
    norm = "batch" if form.norm == "group" else form.norm  # one channel has no groups
    s = tape.add("attention.spatial.norm", "norm", "attention", s, detail=norm)
    s = tape.add("attention.spatial.gate", "sigmoid", "attention", s)
    return tape.add("attention.spatial.mul", "mul", "attention", x, s)
