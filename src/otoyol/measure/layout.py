"""ONNX Runtime's blocked layout (NCHWc): what works in it, and where tensors are reordered.

After onnxruntime/core/optimizer/nchwc_transformer.cc; a block has as many channels as a register has floats. Channels
are read as whole numbers, so that a layout belongs to one design, or to many that are aligned alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import NamedTuple

from otoyol.ops import INPUT, Op

ALIGNED = 4  # what a reorder asks of the channels


def block_here() -> int:
    """Channels in a block on this processor: 16 with AVX-512, otherwise 8 (MLAS, platform.cpp, NchwcBlockSize)."""
    core = import_module("numpy._core" if find_spec("numpy._core") else "numpy.core")  # its name from numpy 2 on
    features: dict[str, bool] = core._multiarray_umath.__cpu_features__
    return 16 if features.get("AVX512F") else 8


class Reorder(NamedTuple):
    """The output of operator ``tensor``, ``into`` the blocked layout or out of it."""

    tensor: int
    into: bool


class Layout:
    """Which tensors exist in which layout, while the operators are walked in order."""

    def __init__(self, ops: Sequence[Op], sources: Mapping[int, tuple[int, ...]], block: int) -> None:
        """``sources``: the operators that each operator reads, identities left out; ``block``: channels in a block."""
        self.ops, self.sources, self.block = ops, sources, block
        self.native: set[int] = set()  # made in the blocked layout
        self.blocked: set[int] = set()  # made in it, or reordered into it
        self.plain: set[int] = {INPUT}

    def enter(self, members: tuple[int, ...], blocked: bool | None = None) -> tuple[bool, list[Reorder]]:
        """Whether this run of operators works blocked (unless that is given), and the reorders that precede it."""
        op = self.ops[members[0]]
        sources = [s for s in dict.fromkeys(s for i in members for s in self.sources[i]) if s not in members]
        if blocked is None:
            blocked = self._works_blocked(op, sources)
        # A convolution of less than a block of channels reads them as they are.
        narrow = blocked and op.kind == "conv" and op.groups == 1 and op.c_in < self.block
        reorders = []
        for position, source in enumerate(sources):
            into = blocked and not (narrow and position == 0)
            have = self.blocked if into else self.plain
            if source not in have:
                reorders.append(Reorder(source, into))
                have.add(source)
        (self.blocked if blocked else self.plain).add(members[-1])
        if blocked:
            self.native.add(members[-1])
        return blocked, reorders

    def leave(self, last: int) -> Reorder | None:
        """The reorder of the network's output, where there is one."""
        return None if last in self.plain else Reorder(last, False)

    def _works_blocked(self, op: Op, sources: list[int]) -> bool:
        if op.kind == "conv":
            return _conv_blocked(op, self.block)
        here = all(s in self.native for s in sources)
        whole = op.c_in % self.block == 0
        match op.kind:
            case "maxpool":
                return whole
            case "avgpool":
                return whole and op.stride > 1
            case "mean":
                return here and op.slot == "head" and whole
            case "norm":
                return here and op.detail in ("batch", "sync", "frozen") and whole
            case "act":
                return here and op.detail in ("relu", "silu")
            case "relu" | "sigmoid" | "add":
                return here
        return False


def _conv_blocked(op: Op, block: int) -> bool:
    if op.groups > 1:
        if op.c_out % block:
            return False
        depthwise = op.c_in == op.groups == op.c_out
        return depthwise or ((op.c_in // op.groups) % block == 0 and (op.c_out // op.groups) % block == 0)
    return op.c_in < block or op.c_in % ALIGNED == 0
