"""What one operator costs: parameters, MACs, FLOPs, activations. The only place where these formulas stand.

Every function takes an :class:`otoyol.ops.Op` whose numbers are Python integers, numpy arrays or symbols
(:mod:`otoyol.cost.symbols`) and returns numbers of the same sort, for one image. Nothing branches on a number.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

from otoyol.ops.op import Op

Number = Any  # int, numpy array or symbol
OperatorClass = Literal["conv", "linear", "norm", "act", "pool", "add", "elementwise"]
CLASSES: tuple[OperatorClass, ...] = get_args(OperatorClass)


class Flops(NamedTuple):
    """Floating-point operations by operator class. Convolutions and fc count 2 a MAC."""

    conv: Number
    linear: Number
    norm: Number
    act: Number
    pool: Number
    add: Number
    elementwise: Number

    @property
    def total(self) -> Number:
        return sum(self)


class PerElement(NamedTuple):
    """FLOPs of a cheap operator for each element of its ``of`` tensor, forward (evaluation) and backward."""

    operator_class: OperatorClass
    forward: int
    backward: int
    of: Literal["in", "out"]
    reasoning: str


# Addition, subtraction, multiplication, division, comparison, exp and erf count one each. Backward is the gradient
# alone. Not counted in either: the batch statistics of training (4 an element), and sums of gradients where a tensor
# has several readers. Copies (pad, subsample, cat) have no arithmetic.
PER_ELEMENT: dict[str, PerElement] = {
    "norm:batch": PerElement("norm", 2, 9, "in", "x·scale + shift; back: x̂ 2, Σdy 1, Σdy·x̂ 2, (dy - a - x̂·b)·c 4"),
    "norm:sync": PerElement("norm", 2, 9, "in", "as batch"),
    "norm:frozen": PerElement("norm", 2, 1, "in", "x·scale + shift; back: dy·scale"),
    "norm:group": PerElement("norm", 6, 9, "in", "mean 1, variance 3 (subtract, square, add), x·scale + shift 2"),
    "act:relu": PerElement("act", 1, 1, "in", "one comparison; back: one mask"),
    "act:relu6": PerElement("act", 2, 2, "in", "two comparisons; back: two masks"),
    "act:leaky_relu": PerElement("act", 2, 2, "in", "comparison and product; back likewise"),
    "act:silu": PerElement("act", 5, 9, "in", "x·σ(x), σ 4 (negate, exp, add, divide); back: dy·σ·(1 + x·(1 - σ))"),
    "act:gelu": PerElement("act", 5, 11, "in", "x·(1 + erf(x·c))/2; back: cdf 4, pdf 4, dy·(cdf + x·pdf) 3"),
    "act:hardswish": PerElement("act", 5, 5, "in", "x·min(max(x + 3, 0), 6)/6; back: two comparisons, x/3 + 1/2, ·dy"),
    "relu": PerElement("act", 1, 1, "in", "one comparison; back: one mask"),
    "sigmoid": PerElement("act", 4, 3, "in", "negate, exp, add, divide; back: dy·s·(1 - s)"),
    "maxpool": PerElement("pool", 8, 1, "out", "3×3: eight comparisons; back: one addition to the winner"),
    "avgpool": PerElement("pool", 4, 5, "out", "2×2: three additions, one division; back: a division, four additions"),
    "mean": PerElement("pool", 1, 0, "in", "an addition for all but one and one division; back: one per output, below"),
    "max": PerElement("pool", 1, 3, "in", "one comparison; back: equal to the maximum?, how many are, share"),
    "channel_mean": PerElement("pool", 1, 0, "in", "as mean"),
    "channel_max": PerElement("pool", 1, 3, "in", "as max"),
    "add": PerElement("add", 1, 0, "out", "one addition; the gradient passes to both unchanged"),
    "mul": PerElement("elementwise", 1, 2, "out", "one product; back: one a factor"),
    "scale": PerElement("elementwise", 1, 1, "out", "one product; back likewise"),
    "complement": PerElement("elementwise", 1, 1, "out", "1 - x; back: -dy"),
    "dropout": PerElement("elementwise", 0, 1, "out", "nothing in evaluation; back: dy·mask"),
    "drop_path": PerElement("elementwise", 0, 1, "out", "nothing in evaluation; back: dy·mask"),
    "cat": PerElement("elementwise", 0, 0, "out", "a copy"),
    "subsample": PerElement("elementwise", 0, 0, "out", "a view"),
    "pad": PerElement("elementwise", 0, 0, "out", "a copy"),
    "external": PerElement("elementwise", 0, 0, "out", "the caller's module: unknown, not counted"),
}


def row_of(op: Op) -> PerElement:
    """The row of :data:`PER_ELEMENT` for an operator that is neither convolution nor linear."""
    return PER_ELEMENT[f"{op.kind}:{op.detail}" if op.kind in ("norm", "act") else op.kind]


def class_of(op: Op) -> OperatorClass:
    """The class in which the operator's FLOPs are counted."""
    if op.kind in ("conv", "conv1d"):
        return "conv"
    return "linear" if op.kind == "linear" else row_of(op).operator_class


def elements_in(op: Op) -> Number:
    """Elements of the operator's first input."""
    return op.h_in * op.w_in * op.c_in


def elements_out(op: Op) -> Number:
    """Elements of the operator's output."""
    return op.h_out * op.w_out * op.c_out


def weights(op: Op) -> Number:
    """Elements of the convolution's or linear layer's weight, bias aside: k²·C_in/groups·C_out."""
    if op.kind == "conv":
        return op.kernel * op.kernel * (op.c_in // op.groups) * op.c_out
    if op.kind == "linear":
        return op.c_in * op.c_out
    return op.kernel if op.kind == "conv1d" else 0


def params(op: Op) -> Number:
    """Trainable elements. Norms have gain and bias, except frozen ones, whose numbers are all buffers."""
    if op.kind == "norm":
        return 0 if op.detail == "frozen" else 2 * op.c_in
    return weights(op) + op.c_out if op.bias else weights(op)


def buffers(op: Op) -> Number:
    """Stored elements that are not trained: running mean and variance and the counter of a batch norm, or the four
    vectors of a frozen one."""
    if op.kind != "norm" or op.detail == "group":
        return 0
    return 4 * op.c_in if op.detail == "frozen" else 2 * op.c_in + 1


def macs(op: Op) -> Number:
    """Multiply-accumulates of convolutions and fc: weights × positions. A bias is the sum's first value: free."""
    if op.kind == "conv1d":  # ECA: the kernel slides over the channels
        return op.kernel * op.c_out
    return weights(op) * (op.h_out * op.w_out)


def activations(op: Op) -> Number:
    """Output elements of convolutions and fc (Radosavovic et al. 2020, "Designing Network Design Spaces", sec. 3.1)."""
    return elements_out(op) if op.kind in ("conv", "conv1d", "linear") else 0


def flops(op: Op) -> tuple[Number, Number]:
    """FLOPs (forward, backward), each belonging to :func:`class_of` the operator.

    Convolutions and fc: 2·MACs forward; backward as much for the input's gradient and as much for the weight's.
    The network's first convolution needs no gradient of its input: the caller subtracts it.
    """
    if op.kind in ("conv", "conv1d", "linear"):
        forward = 2 * macs(op)
        return forward, 2 * forward
    row = row_of(op)
    elements = elements_in(op) if row.of == "in" else elements_out(op)
    backward = row.backward * elements
    if op.kind in ("mean", "channel_mean"):
        backward = elements_out(op)  # one division, then a copy to every element
    elif op.kind == "mul" and op.slot == "attention":
        backward = backward + elements  # the gate's gradient is summed over what it was broadcast to
    return row.forward * elements, backward
