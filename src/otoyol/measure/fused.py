"""What an engine runs as one: fused operators, derived from ``lower(spec).ops`` by each engine's rules.

Pure: nothing here runs anything. A rule set says what an engine merges into its convolutions and whether it keeps
tensors in a blocked layout (ONNX Runtime's NCHWc), where the changes of layout are operators of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from otoyol.measure.layout import Layout, Reorder
from otoyol.ops import INPUT, Op
from otoyol.ops.inplace import in_place

Number = Any  # int, or numpy array where many designs are predicted at once

# Identities in evaluation: no engine spends anything on them.
NOTHING = frozenset({"dropout", "drop_path"})
# Norms that are an affine map per channel in evaluation, so that a convolution can absorb them.
AFFINE = frozenset({"batch", "sync", "frozen"})
POINTWISE = frozenset({"norm", "act", "relu", "sigmoid", "add", "mul", "scale", "complement"})


class Rules(NamedTuple):
    """What an engine fuses. ``conv_acts`` are those that end a convolution, ``conv_add`` the block's addition too,
    ``pointwise`` runs of norms, acts and sums without a convolution, ``blocked`` the channels in a block
    of an NCHWc layout, 0 where the engine has none."""

    conv_norm: bool = False
    conv_acts: frozenset[str] = frozenset()
    conv_add: bool = False
    pointwise: bool = False
    blocked: int = 0


class FusedOp(NamedTuple):
    """One kernel's work for one image.

    ``kind`` is the first operator's, ``reorder_in`` or ``reorder_out``; ``tail`` what is merged into it, such as
    ``norm+add+relu``; ``detail`` the norm or activation where the first operator is one. ``blocked`` is the layout it
    works in, ``overwrites`` whether it works in its input's memory.
    """

    kind: str
    tail: str
    detail: str
    c_in: Number
    h_in: Number
    w_in: Number
    c_out: Number
    h_out: Number
    w_out: Number
    kernel: Number = 1
    stride: Number = 1
    dilation: Number = 1
    groups: Number = 1
    blocked: bool = False
    overwrites: bool = False

    @property
    def label(self) -> str:
        """``conv+norm+relu``, ``norm:batch``."""
        head = f"{self.kind}:{self.detail}" if self.detail else self.kind
        return f"{head}+{self.tail}" if self.tail else head


class Group(NamedTuple):
    """A fused operator and the indices of the operators in it; for a reorder, of the operator whose output it is."""

    op: FusedOp
    members: tuple[int, ...]


def fuse(ops: Sequence[Op], rules: Rules) -> list[Group]:
    """The fused operators of a network, in the order they run. ``ops`` are ``lower(spec).ops``.

    Operators of the slot ``tap`` stand beside the forward pass and are left out, as are identities of evaluation.
    """
    flow = Flow(ops)
    runs = _merged(flow, rules)
    if rules.blocked:
        return _laid_out(flow, runs, rules)
    marks = in_place(ops)
    own = not (rules.conv_norm or rules.pointwise)
    return [Group(fused_op(ops, run, overwrites=own and marks[run[0]]), run) for run in runs]


class Flow:
    """Who reads whom, identities of evaluation left out."""

    def __init__(self, ops: Sequence[Op]) -> None:
        self.ops = ops
        self.active = [i for i, op in enumerate(ops) if op.slot != "tap" and op.kind not in NOTHING]
        self.sources = {i: tuple(self._maker(s) for s in ops[i].inputs) for i in self.active}
        readers = Counter(s for i in self.active for s in self.sources[i])
        self.only_reader = {s: i for i in self.active for s in self.sources[i] if readers[s] == 1}

    def _maker(self, source: int) -> int:
        while source != INPUT and self.ops[source].kind in NOTHING:
            source = self.ops[source].inputs[0]
        return source


def _merged(flow: Flow, rules: Rules) -> list[tuple[int, ...]]:
    """Runs of operators of which each reads the one before it and nobody else does."""
    taken: set[int] = set()
    runs = []
    for i in flow.active:
        if i in taken:
            continue
        run = [i]
        while (after := flow.only_reader.get(run[-1])) is not None and _joins(flow.ops, run, after, rules):
            if any(s not in run and s >= i and s not in taken for s in flow.sources[after]):
                break  # another input is not there yet
            run.append(after)
        taken.update(run)
        runs.append(tuple(run))
    return runs


def _joins(ops: Sequence[Op], run: list[int], after: int, rules: Rules) -> bool:
    """Whether the operator ``after`` can be merged behind ``run``."""
    first, last, op = ops[run[0]], ops[run[-1]], ops[after]
    if first.kind == "conv":
        if op.kind == "norm":
            return rules.conv_norm and last.kind == "conv" and op.detail in AFFINE
        return op.kind in ("act", "relu", "sigmoid") and _word(op) in rules.conv_acts and last.kind in ("conv", "norm")
    same = (first.h_in, first.w_in) == (op.h_in, op.w_in)
    return rules.pointwise and first.kind in POINTWISE and op.kind in POINTWISE and same


def _laid_out(flow: Flow, runs: list[tuple[int, ...]], rules: Rules) -> list[Group]:
    """The runs with their layouts, the reorders between them, and what is merged once layouts are known."""
    layout = Layout(flow.ops, flow.sources, rules.blocked)
    groups: list[Group] = []
    by_output: dict[int, Group] = {}
    for run in runs:
        before = _absorber(flow, run, by_output, layout, rules)
        if before is not None:
            groups.remove(before)
            run = (*before.members, *run)
        blocked, reorders = layout.enter(run, None if before is None else before.op.blocked)
        groups += [Group(_reorder(r, flow.ops), (r.tensor,)) for r in reorders]
        groups.append(Group(fused_op(flow.ops, run, blocked=blocked), run))
        by_output[run[-1]] = groups[-1]
    if leaving := layout.leave(runs[-1][-1]):
        groups.append(Group(_reorder(leaving, flow.ops), (leaving.tensor,)))
    return groups


def _absorber(
    flow: Flow, run: tuple[int, ...], by_output: dict[int, Group], layout: Layout, rules: Rules
) -> Group | None:
    """The group into which a lone operator goes. Within the blocked layout a norm takes the rectifier behind it and a
    convolution the addition that reads it, if the other summand is blocked too; a plain convolution takes addition and
    activation together."""
    if len(run) > 1:
        return None
    op, sources = flow.ops[run[0]], flow.sources[run[0]]
    for source in sources:
        group = by_output.get(source)
        if group is None or flow.only_reader.get(source) != run[0]:
            continue
        ends = flow.ops[source].kind
        if op.kind == "add" and group.op.kind == "conv" and ends in ("conv", "norm") and rules.conv_add:
            after = flow.only_reader.get(run[0])
            if group.op.blocked and all(s in layout.native for s in sources):
                return group
            if not group.op.blocked and after is not None and _word(flow.ops[after]) in rules.conv_acts:
                return group
        summed = group.op.tail.endswith("add")
        if _word(op) in ("relu", "sigmoid") and (summed or (group.op.kind == "norm" and group.op.blocked)):
            return group
        if _word(op) in rules.conv_acts and summed and not group.op.blocked:
            return group
    return None


def fused_op(
    ops: Sequence[Op], members: tuple[int, ...], *, blocked: bool = False, overwrites: bool = False
) -> FusedOp:
    """The members as one; numbers as they stand in the operators."""
    first, last = ops[members[0]], ops[members[-1]]
    tail = "+".join(_word(ops[i]) for i in members[1:])
    detail = first.detail if first.kind in ("norm", "act") else "vector" if _is_vector(first) else ""
    return FusedOp(
        first.kind, tail, detail, first.c_in, first.h_in, first.w_in, last.c_out, last.h_out, last.w_out,
        first.kernel, first.stride, first.dilation, first.groups, blocked, overwrites,
    )  # fmt: skip


def _word(op: Op) -> str:
    return op.detail if op.kind == "act" else op.kind


def _is_vector(op: Op) -> bool:
    """An operator of a squeeze or of the head: on one position, where overhead is most of the time."""
    return isinstance(op.h_in, int) and op.slot in ("attention", "head") and op.h_in == op.w_in == 1


def _reorder(reorder: Reorder, ops: Sequence[Op]) -> FusedOp:
    op, kind = ops[reorder.tensor], "reorder_in" if reorder.into else "reorder_out"
    shape = (op.c_out, op.h_out, op.w_out)
    return FusedOp(kind, "", "", *shape, *shape)
