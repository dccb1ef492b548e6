"""What a design does beyond its keys and shapes, as facts that can be compared.

Two networks can have the same keys and shapes and compute different things: the stride on the 1×1 or on the 3×3,
another eps, a dilation. A design, a living torchvision or timm module, and the layout of a state dict each tell facts;
:func:`differences` compares them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from otoyol.ops import Op, lower
from otoyol.ops.block import token_names
from otoyol.spec import Spec
from otoyol.spec.blocks import kernel_of
from otoyol.spec.plan import StagePlan
from otoyol.weights.names import Source, layout

Value = str | int | float | None  # None: cannot be told
Facts = dict[str, dict[str, Value]]  # field → where (an operator's or a block's path) → value

# Every field a comparison can name, and so every word allow_meaning accepts.
FIELDS = {
    "stride_at": "which convolution of a block carries its stride (v1: the first, v1.5: the 3×3)",
    "stride": "how far a block or a stem convolution steps",
    "dilation": "dilation of a convolution",
    "groups": "groups of a convolution",
    "padding": "padding of a convolution",
    "conv": "kind of convolution (plain, weight-standardised)",
    "norm": "kind of norm (batch, frozen, group)",
    "eps": "eps of a norm",
    "momentum": "momentum of a norm's running statistics",
    "norm_groups": "groups of a group norm",
    "act": "activation",
    "stem_pool": "pooling after the stem",
    "shortcut": "what carries x to the addition",
    "reads": "what a projection reads (raw x or the pre-activated input)",
    "order": "order of convolutions, norms, activations and attention in a block",
    "gate": "what multiplies the shortcut or the branch",
    "anti_alias": "a low-pass filter beside the stride",
}
MAX_POOL = "3x3 max, stride 2, padding 1"
D_POOL = "2x2 average pool, stride {}, {} edges, then 1x1"
CONV, ORDINARY = "plain", "none"


class Difference(NamedTuple):
    field: str
    where: tuple[str, ...]
    here: Value
    there: Value

    def __str__(self) -> str:
        shown = ", ".join(self.where[:3]) + (f" and {len(self.where) - 3} more" if len(self.where) > 3 else "")
        return f"{self.field}: {self.here} here, {self.there} in the checkpoint ({shown})"


def differences(ours: Facts, theirs: Facts, ignore: Collection[str] = ()) -> list[Difference]:
    """Where both sides tell a fact and disagree; equal disagreements of one field are gathered."""
    gathered: dict[tuple[str, Value, Value], list[str]] = {}
    for field in FIELDS:
        if field in ignore:
            continue
        here, there = ours.get(field, {}), theirs.get(field, {})
        for where, value in here.items():
            other = there.get(where)
            if value is not None and other is not None and value != other:
                gathered.setdefault((field, value, other), []).append(where)
    return [Difference(field, tuple(where), a, b) for (field, a, b), where in gathered.items()]


def of_spec(spec: Spec, attention: bool = True) -> Facts:
    """A design's facts. ``attention=False`` leaves attention out of the orders (its weights are to start fresh)."""
    facts: Facts = {field: {} for field in FIELDS}
    blocks: dict[str, list[Op]] = {}
    for op in lower(spec).ops:
        if op.slot == "attention":
            continue  # shapes tell everything but its place, which the order tells
        if op.stage >= 0:
            blocks.setdefault(f"stages.{op.stage}.{op.block}", []).append(op)
        if op.kind == "conv":
            facts["dilation"][op.name], facts["groups"][op.name] = op.dilation, op.groups
            facts["padding"][op.name], facts["conv"][op.name] = op.dilation * (op.kernel // 2), CONV
            if op.slot == "stem":
                facts["stride"][op.name] = op.stride
        elif op.kind == "norm":
            facts["norm"][op.name] = "batch" if op.detail == "sync" else op.detail
            facts["eps"][op.name] = spec.norm.eps
            if op.detail == "group":
                facts["norm_groups"][op.name] = spec.norm.groups
            elif op.detail != "frozen":
                facts["momentum"][op.name] = spec.norm.momentum
        elif op.kind == "act":
            facts["act"][op.name] = op.detail
    facts["stem_pool"]["stem"] = MAX_POOL if spec.stem.pool == "max" else ORDINARY
    for name, ops in blocks.items():
        _block_facts(facts, name, ops, spec.plan[ops[0].stage], attention)
    return facts


def _block_facts(facts: Facts, name: str, ops: list[Op], plan: StagePlan, attention: bool) -> None:
    strides = {op.name.rpartition(".")[2]: op.stride for op in ops if op.slot == "branch" and op.kind == "conv"}
    facts["stride"][name], facts["stride_at"][name] = stride_facts(strides)
    facts["order"][name] = order_of(plan, attention, preact=any(op.slot == "preact" for op in ops))
    facts["anti_alias"][name] = ORDINARY
    kinds = {op.kind: op for op in ops if op.slot == "shortcut" and not op.name.endswith("gate")}
    if "pad" in kinds:
        facts["shortcut"][name] = "zero-padding"
    elif "conv" in kinds:
        pool = kinds.get("avgpool")
        edges = "ceil" if pool and pool.stride > 1 else "same"
        facts["shortcut"][name] = D_POOL.format(pool.stride, edges) if pool else "1x1 projection"
        if plan.form.preact:
            facts["reads"][name] = plan.form.reads
    else:
        facts["shortcut"][name] = "identity" if any(op.kind == "add" for op in ops) else ORDINARY
    facts["gate"][name] = plan.form.gate


def stride_facts(strides: dict[str, int]) -> tuple[int, Value]:
    """A block's total stride, and the convolutions that carry it (None where there is no choice or no stride)."""
    total = 1
    for stride in strides.values():
        total *= stride
    carriers = " and ".join(name for name, stride in strides.items() if stride > 1)
    return total, carriers if total > 1 and len(strides) > 1 else None


def order_of(plan: StagePlan, attention: bool, preact: bool) -> str:
    """The block's tokens in the order they run, such as ``conv norm act conv norm + act``."""
    form = plan.form
    branch = [_bare(token) for token in form.branch]
    if attention and form.attention != "none":
        branch.insert(form.attention_at, form.attention)
    before = form.preact if preact else ()
    return " ".join([*before, *branch, "+", *form.post])


def _bare(token: str) -> str:
    return "conv" if kernel_of(token) else token


def of_source(spec: Spec, source: Source, attention: bool = True) -> Facts:
    """What a bare state dict of ``source`` means where nothing else is known, told about this design's places.

    torchvision and timm put the stride on the first spatial convolution, use eps 1e-5, pool after the stem, project
    where the shape changes and order their blocks as He et al. 2015 (or 2016, in the ``resnetv2`` layout). Dilation,
    momentum, timm's activation and whether norms are frozen cannot be told, and are not compared.
    """
    facts: Facts = {field: {} for field in FIELDS}
    if source == "otoyol":
        return facts
    ours = of_spec(spec)
    facts["eps"] = dict.fromkeys(ours["eps"], 1e-5)
    facts["stem_pool"]["stem"] = MAX_POOL
    facts["gate"] = dict.fromkeys(ours["gate"], "none")
    facts["reads"] = dict.fromkeys(ours["reads"], "preact")
    if source == "torchvision":
        facts["act"] = dict.fromkeys(ours["act"], "relu")
    v2 = layout(spec) == "resnetv2"
    if v2 and spec.norm.kind == "group":
        facts["conv"] = dict.fromkeys(ours["conv"], "plain or weight-standardised (BiT), which its keys do not tell")
    for stage, plan in enumerate(spec.plan):
        convs = [token for token in plan.form.branch if kernel_of(token)]
        names = [name for name in token_names(plan.form.branch) if name.startswith("conv")]
        spatial = next((name for name, token in zip(names, convs, strict=True) if kernel_of(token) > 1), None)
        for block in range(plan.depth):
            where = f"stages.{stage}.{block}"
            if ours["stride_at"][where] is not None:
                facts["stride_at"][where] = spatial
            facts["order"][where] = usual_order(len(convs), v2, [plan.form.attention] if attention else [])
            if ours["shortcut"][where] in ("zero-padding", ORDINARY):  # a projection would have keys; these have none
                facts["shortcut"][where] = "not told by its keys"
    return facts


def usual_order(convs: int, v2: bool, attention: Iterable[str] = ()) -> str:
    """The order of torchvision's and timm's blocks."""
    if v2:
        return " ".join(["norm act conv"] * convs) + " +"
    gate = [kind for kind in attention if kind != "none"]
    return " ".join(["conv norm act"] * (convs - 1) + ["conv norm", *gate, "+ act"])
