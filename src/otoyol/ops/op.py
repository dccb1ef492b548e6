"""One operator as a flat fact."""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal[
    "conv",  # 2-d convolution; bias says whether it has one
    "linear",
    "norm",
    "act",  # the spec's activation; relu and sigmoid of attention are "relu" and "sigmoid"
    "relu",
    "sigmoid",
    "maxpool",
    "avgpool",
    "mean",  # over height and width
    "max",  # over height and width (CBAM)
    "channel_mean",
    "channel_max",
    "cat",
    "conv1d",  # over channels (ECA)
    "subsample",  # every stride-th pixel
    "pad",  # zero channels appended
    "scale",  # by a constant
    "complement",  # 1 - x
    "mul",
    "add",
    "dropout",
    "drop_path",
    "external",  # a module the caller supplies
]

Slot = Literal["stem", "preact", "branch", "attention", "shortcut", "join", "post", "tap", "final", "head"]

INPUT = -1  # in Op.inputs: the image (lower) or the block's x (lower_block)


class Op(NamedTuple):
    """An operator: what it is, where it stands, and its shapes for one image.

    ``name`` is the path of the module in ``otoyol.nn``, so that costs, weights and modules meet by name.
    ``inputs`` are indices of the operators read, :data:`INPUT` for the image. ``stage`` and ``block`` count from 0
    and are -1 outside. ``kernel``, ``stride``, ``dilation`` and ``groups`` are 1 where they mean nothing.
    Heights and widths of vectors are 1.
    """

    name: str
    kind: Kind
    slot: Slot
    stage: int
    block: int
    inputs: tuple[int, ...]
    c_in: int
    h_in: int
    w_in: int
    c_out: int
    h_out: int
    w_out: int
    kernel: int = 1
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    bias: bool = False
    detail: str = ""  # norm kind, activation name


class Tap(NamedTuple):
    """A feature map handed to a detector.

    ``receptive_field`` is in input pixels, along either axis, over the convolutional paths (a squeeze such as SE's
    sees the whole image besides). Pixel i of the tap sees input pixels ``offset + i * stride`` to
    ``offset + i * stride + receptive_field - 1``; a negative offset reaches into the padding.
    """

    name: str
    op: int
    channels: int
    height: int
    width: int
    stride: int
    receptive_field: int
    offset: int


class Ops(NamedTuple):
    """A whole network: operators in the order they run, and its taps C1, C2, …"""

    ops: tuple[Op, ...]
    taps: tuple[Tap, ...]

    @property
    def layers(self) -> int:
        """Convolutions and linear layers on the longest way from input to output, as He et al. 2015 count depth:
        projections, gates and attention do not count."""
        return sum(op.kind in ("conv", "linear") and op.slot in ("stem", "branch", "head") for op in self.ops)
