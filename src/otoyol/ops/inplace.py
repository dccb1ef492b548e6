"""Which operators run in place in the torch module, as a pure function of the operators.

In-place work saves an allocation, so ``otoyol.nn`` builds by this rule and ``otoyol.cost`` counts bytes by it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from otoyol.ops.op import INPUT, Op

# Activations whose backward reads their output, so that their input may be overwritten.
OVERWRITING = frozenset({"relu", "leaky_relu"})
# Operators whose backward reads their output, or may: what they put out must not be overwritten.
KEEPING = frozenset({"act", "relu", "sigmoid", "max", "channel_max", "external"})
# Identities outside training: what they put out may be what they were given.
TRANSPARENT = frozenset({"drop_path", "dropout"})


def in_place(ops: Sequence[Op]) -> tuple[bool, ...]:
    """For each operator, whether it overwrites its first input.

    An activation or the block's addition does, where all of this holds: its backward does not read that input;
    the tensor was made in the same block (or the same part outside the stages), so never the block's x, and not by
    the preact slot unless the operator stands there too (a shortcut or a tap may read it); nothing else reads it;
    and the operator that made it does not need it for its own backward.

    ``ops`` is a block's list (:func:`otoyol.ops.block.lower_block`) or the whole network's.
    """
    readers = Counter(i for op in ops for i in op.inputs)
    return tuple(_overwrites(ops, op, readers) for op in ops)


def _overwrites(ops: Sequence[Op], op: Op, readers: Counter[int]) -> bool:
    overwriting = op.detail in OVERWRITING if op.kind == "act" else op.kind == "relu" or op.slot == "join"
    source = op.inputs[0]
    while overwriting and source != INPUT:
        maker = ops[source]
        if readers[source] > 1 or (maker.stage, maker.block) != (op.stage, op.block):
            return False
        if maker.slot == "preact" and op.slot != "preact":
            return False
        if maker.kind not in TRANSPARENT:
            return maker.kind not in KEEPING
        source = maker.inputs[0]
    return False
