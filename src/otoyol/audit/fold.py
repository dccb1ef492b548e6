"""Which norms of a network disappear into convolutions at inference, exactly.

At inference batch norm is one scale and one shift a channel. Behind a convolution that nothing else reads, both go
into its weights and bias. In front of convolutions (and linear layers) they can go too, if no activation comes first
and no zero padding mixes unshifted zeros into the window. Means over positions (average pools) and every-n-th-pixel
sampling commute with a channel's scale and shift, so a norm may reach through them; max pools do not, for a negative
scale turns a maximum into a minimum. Group norm depends on the image and never folds.

All is read from :class:`otoyol.ops.Op` inputs, nothing from block names.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Literal

from otoyol.ops import INPUT, Op, Ops

Verdict = Literal["preceding", "following", "none"]

_NONE: frozenset[int] = frozenset()

DROPS = {"dropout", "drop_path"}  # identities at inference
# A channel's scale and shift pass through these unchanged.
TRANSPARENT = {"avgpool", "mean", "subsample", *DROPS}


@dataclass(frozen=True)
class Fold:
    """What becomes of one norm.

    ``into`` names the convolutions or linear layers that take it over. ``behind`` and ``ahead`` say why it cannot
    go back or forward (``""`` where it can, or where the other way already serves): ``group``, ``shared`` (the
    convolution has another reader), ``padding`` (zero padding), ``output`` (the norm's output leaves the network), or
    the kind of the operator in the way (``add``, ``maxpool``, ``act``, ``mul`` …). ``alters_taps`` names
    the taps whose tensor the folding changes, though the network's output stays.
    """

    norm: str
    stage: int
    block: int
    slot: str
    verdict: Verdict
    into: tuple[str, ...]
    behind: str
    ahead: str
    alters_taps: tuple[str, ...]

    @property
    def folds(self) -> bool:
        return self.verdict != "none"


def readers(ops: Sequence[Op]) -> list[list[int]]:
    """For every operator, the operators that read its output."""
    found: list[list[int]] = [[] for _ in ops]
    for index, op in enumerate(ops):
        for source in op.inputs:
            if source != INPUT:
                found[source].append(index)
    return found


def folds(network: Ops) -> tuple[Fold, ...]:
    """One :class:`Fold` for every norm, in the order they run."""
    ops, reads = network.ops, readers(network.ops)
    behind_conv: dict[int, int] = {}  # norm → the convolution it has gone into
    result = []
    for index, op in enumerate(ops):
        if op.kind == "norm":
            fold, conv = _fold(network, index, reads, behind_conv)
            if conv is not None:
                behind_conv[index] = conv
            result.append(fold)
    return tuple(result)


def _fold(network: Ops, index: int, reads: list[list[int]], gone: dict[int, int]) -> tuple[Fold, int | None]:
    ops, op = network.ops, network.ops[index]

    def fold(
        verdict: Verdict, into: Sequence[int] = (), behind: str = "", ahead: str = "", span: Set[int] = _NONE
    ) -> Fold:
        taps = tuple(tap.name for tap in network.taps if tap.op in span)
        return Fold(
            op.name, op.stage, op.block, op.slot, verdict, tuple(ops[i].name for i in into), behind, ahead, taps
        )

    if op.detail == "group":
        return fold("none", behind="group", ahead="group"), None
    home, chain = _home(ops, op.inputs[0], gone)
    behind: str = ops[home].kind
    if behind == "conv" and all(len(reads[i]) == 1 for i in chain):
        return fold("preceding", [home], span=set(chain)), home
    behind = "shared" if behind == "conv" else behind
    span: set[int] = set()
    takers, ahead = _takers(ops, index, reads, span)
    if not ahead:
        return fold("following", takers, behind, span=span), None
    return fold("none", behind=behind, ahead=ahead), None


def _home(ops: Sequence[Op], source: int, gone: dict[int, int]) -> tuple[int, list[int]]:
    """The operator that a norm really reads at inference, and the operators from there to it: drops do nothing then,
    and a norm that has folded is part of its convolution."""
    chain = [source]
    while source in gone or ops[source].kind in DROPS:
        source = ops[source].inputs[0]
        chain.append(source)
    return source, chain


def _takers(ops: Sequence[Op], index: int, reads: list[list[int]], span: set[int]) -> tuple[list[int], str]:
    """Everything behind ``index`` that can absorb its affine map, and what stands in the way (or nothing).

    ``span`` collects the operators whose output is another tensor after the folding.
    """
    span.add(index)
    if not reads[index]:
        return [], "output"
    takers: list[int] = []
    for reader in reads[index]:
        op = ops[reader]
        if op.kind == "linear" or (op.kind == "conv" and op.kernel == 1):
            takers.append(reader)
        elif op.kind == "conv" or (op.kind == "avgpool" and op.stride == 1):
            return [], "padding"  # ResNet-D's pool in a dilated stage keeps the size by padding with zeros
        elif op.kind in TRANSPARENT or (op.kind == "norm" and op.detail != "group"):
            more, obstacle = _takers(ops, reader, reads, span)
            if obstacle:
                return [], obstacle
            takers += more
        else:
            return [], op.kind
    return takers, ""
