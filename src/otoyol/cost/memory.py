"""Which tensors a unit of the network holds: for backward, and during inference.

A unit is the stem, a block, or the tail: a list of operators whose inputs are indices into it, ``INPUT`` for the
unit's x. What is held is structure, decided once a unit; only the sizes are numbers (of any sort, as in
:mod:`otoyol.cost.formulas`), for one image. The rules follow torch's autograd and the modules of ``otoyol.nn``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from otoyol.cost.formulas import elements_out
from otoyol.ops.inplace import in_place
from otoyol.ops.op import INPUT, Op
from otoyol.ops.recompute import INDEX_BYTES, recomputed

Number = Any
# What torch's derivatives (tools/autograd/derivatives.yaml) read; activations apart.
SAVES_INPUTS = frozenset({"conv", "linear", "conv1d", "norm", "maxpool", "avgpool", "max", "channel_max", "mul"})
SAVES_OUTPUT = frozenset({"relu", "sigmoid", "max", "channel_max"})
IDENTITIES_IN_EVALUATION = frozenset({"dropout", "drop_path"})
# Local variables of the attention modules: what they name lives until the operator named here has run.
NAMED_UNTIL = {
    "attention.fc2": "attention.mul",
    "attention.channel.fc2": "attention.channel.mul",
    "attention.spatial.cat": "attention.spatial.mul",
}

GATING = frozenset({"shortcut.mul", "branch.mul"})  # where the frame that computes the gates ends


class Held(NamedTuple):
    """What one operator adds to the memory held for backward; the storage itself is told by index."""

    storages: frozenset[int]  # saved tensors, by the index of the operator whose storage they are
    per_image: Number = 0  # further elements for each image: masks, statistics of group norm
    per_step: Number = 0  # further elements whatever the batch: statistics of batch norm
    index_bytes: Number = 0  # bytes of a max-pool's winners for each image


class Moment(NamedTuple):
    """What is alive while one operator runs, for each image."""

    elements: Number
    index_bytes: Number


def saves(op: Op, writes: bool) -> tuple[bool, bool]:
    """Whether autograd saves the operator's (inputs, output). An activation in place saves its output, as relu does
    anyway; a frozen norm is a product with a constant and saves neither."""
    if op.kind == "act":
        output = writes or op.detail == "relu"
        return not output, output
    if op.kind == "norm" and op.detail == "frozen":
        return False, False
    return op.kind in SAVES_INPUTS, op.kind in SAVES_OUTPUT


def roots(ops: Sequence[Op], training: bool) -> list[int]:
    """For every operator the one whose storage its output is, itself where it allocates; INPUT for x. One more entry
    at the end, so that ``roots[INPUT]`` is INPUT."""
    found: list[int] = [INPUT] * (len(ops) + 1)
    for i, (op, writes) in enumerate(zip(ops, in_place(ops), strict=True)):
        view = op.kind == "subsample" or (not training and op.kind in IDENTITIES_IN_EVALUATION)
        found[i] = found[op.inputs[0]] if view or writes else i
    return found


def held(ops: Sequence[Op], norm_groups: int, lean: bool, again: Sequence[bool] | None = None) -> list[Held]:
    """What every operator holds for backward: by plain autograd, or by lean training, which neither holds what it
    computes again (:func:`otoyol.ops.recompute.recomputed`) nor the input of a max-pool, of which only the shape is
    read. ``ops`` is a unit's list, or a network's with ``again`` from its units."""
    root = roots(ops, training=True)
    if again is None:
        again = recomputed(ops) if lean else (False,) * len(ops)
    rows = []
    for i, (op, writes) in enumerate(zip(ops, in_place(ops), strict=True)):
        if op.kind == "avgpool" and _same(op):
            rows.append(Held(frozenset(), per_image=_padded(op)))
            continue
        inputs, output = saves(op, writes)
        if lean and op.kind == "maxpool":
            inputs = False
        tensors = [*(op.inputs if inputs else ()), *((i,) if output else ())]
        storages = frozenset(root[t] for t in tensors if t == INPUT or not again[t])
        rows.append(_extras(op, storages, norm_groups, lean))
    return rows


def _extras(op: Op, storages: frozenset[int], norm_groups: int, lean: bool) -> Held:
    if op.kind == "norm" and op.detail == "group":
        return Held(storages, per_image=2 * norm_groups)  # mean and 1/σ of each group
    if op.kind == "norm":  # the scale of a frozen norm; mean and 1/σ of the batch
        return Held(storages, per_step=op.c_in if op.detail == "frozen" else 2 * op.c_in)
    if op.kind == "dropout":
        return Held(storages, per_image=elements_out(op))
    if op.kind == "drop_path":
        return Held(storages, per_image=1)
    return Held(storages, index_bytes=INDEX_BYTES[lean] * elements_out(op) if op.kind == "maxpool" else 0)


def moments(ops: Sequence[Op], x: Number, norm_groups: int) -> list[Moment]:
    """What is alive while each operator runs in evaluation without gradients; ``x`` is the unit's input in elements.

    An operator's inputs and output are alive together, and what the frames of ``otoyol.nn`` hold: x until the unit
    ends (until the final norm and act have run in the tail), and the tensors of :func:`_last_moments`. Scratch memory
    inside torch's kernels is not seen, nor are the C-sized vectors of a frozen norm.
    """
    root = roots(ops, training=False)
    last = _last_moments(ops, root)
    final = [i for i, op in enumerate(ops) if op.slot == "final"]
    found = []
    for i, op in enumerate(ops):
        x_here = 0 if final and i > final[-1] else x
        alive = sum((elements_out(ops[t]) for t in range(i + 1) if root[t] == t and last[t] >= i), x_here)
        index_bytes: Number = 0
        if op.kind == "maxpool":
            index_bytes = INDEX_BYTES[False] * elements_out(op)
        elif op.kind == "avgpool" and _same(op):
            alive = alive + _padded(op)
        elif op.kind == "norm" and op.detail == "group":
            alive = alive + 2 * norm_groups
        found.append(Moment(alive, index_bytes))
    return found


def _last_moments(ops: Sequence[Op], root: list[int]) -> list[int]:
    """The last operator during which each storage is alive."""
    end = len(ops)
    last = [0] * end
    slots = [op.slot for op in ops]
    by_name = {op.name: i for i, op in enumerate(ops)}
    gating = max((i for i, op in enumerate(ops) if op.name in GATING), default=end)

    def hold(tensor: int, until: int) -> None:
        if root[tensor] != INPUT:
            last[root[tensor]] = max(last[root[tensor]], until)

    for i, op in enumerate(ops):
        hold(i, i)
        for source in op.inputs:
            hold(source, i)
            if source == INPUT or slots[source] == op.slot:
                continue
            if op.slot == "attention":  # the argument of the module
                hold(source, max(k for k, slot in enumerate(slots) if slot == "attention"))
            elif op.slot in ("post", "head"):  # the argument of a sequence of layers
                hold(source, end)
        if op.slot == "join":
            hold(op.inputs[1], end)  # the block's variable `shortcut`
        if op.name == "shortcut.sigmoid":
            hold(i, gating)
        if op.name == "shortcut.mul":
            hold(op.inputs[0], gating)
        if op.name in NAMED_UNTIL:
            hold(i, by_name[NAMED_UNTIL[op.name]])
    if ops:
        hold(end - 1, end)
    return last


def _same(op: Op) -> bool:
    """Whether a ResNet-D pool has stride 1: it then pads first, and what it reads is the padded copy."""
    return isinstance(op.stride, int) and op.stride == 1


def _padded(op: Op) -> Number:
    return op.c_in * (op.h_in + 1) * (op.w_in + 1)
