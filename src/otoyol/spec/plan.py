"""From a spec to a plan: inherited choices resolved, channels computed, the impossible refused.

A :class:`StagePlan` splits a stage into *form* (what stands where, hashable plain data) and *numbers* (channels,
strides). Interpreters that cost millions of designs compile a form once and feed it numbers.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from otoyol.errors import SpecError
from otoyol.spec.blocks import Block, branch_channels, kernel_of

if TYPE_CHECKING:
    from otoyol.spec.model import Spec
    from otoyol.spec.parts import Attention, Norm, Shortcut, Stage


MAX_BLOCKS = 10_000
MAX_CHANNELS = 1_048_576


class Form(NamedTuple):
    """What stands where in a block, without numbers."""

    preact: tuple[str, ...]
    branch: tuple[str, ...]
    post: tuple[str, ...]
    inner: str
    act: str
    norm: str
    stride_token: int  # index in the branch of the convolution that carries the stride
    shortcut: str  # A B C D none
    reads: str
    shortcut_norm: bool
    gate: str
    attention: str
    attention_at: int  # branch tokens before the attention
    reduction: int
    divisor: int
    norm_groups: int  # of group norm; 0 for the other norms


class StagePlan(NamedTuple):
    """One stage, resolved. ``c_in`` is what enters its first block, ``mid`` the first block's inner width and
    ``mid_rest`` the others' (they differ where ``inner`` is ``input``)."""

    form: Form
    depth: int
    c_in: int
    mid: int
    mid_rest: int
    out: int
    stride: int
    dilation: int
    first_dilation: int
    groups: int
    groups_rest: int


def plan_stages(spec: Spec) -> tuple[StagePlan, ...]:
    """Resolve every stage. Raises SpecError where a combination cannot be built."""
    plans: list[StagePlan] = []
    forms: dict[tuple[object, ...], Form] = {}
    previous = spec.dilation_first == "previous"
    channels, dilation, blocks = spec.stem.widths[-1], 1, 0
    for index, stage in enumerate(spec.stages):
        block, shortcut = stage.block or spec.block, stage.shortcut or spec.shortcut
        attention, act = stage.attention or spec.attention, stage.act or spec.act
        stride_at = stage.stride_at or spec.stride_at
        # Stages that agree share one form, which is most of the work.
        choices = (id(block), id(shortcut), id(attention), act, stride_at)
        form = forms.get(choices)
        if form is None:
            form = forms[choices] = _form(block, shortcut, attention, act, stride_at, spec.norm, index)
        plan = _plan_stage(spec, stage, form, index, channels, dilation if previous else stage.dilation)
        plans.append(plan)
        channels, dilation, blocks = plan.out, plan.dilation, blocks + plan.depth
    if blocks > MAX_BLOCKS:
        raise SpecError("stages", f"{blocks} blocks", f"at most {MAX_BLOCKS} blocks in all")
    if spec.norm.kind == "group":
        _check_group_norm(spec, plans)
    return tuple(plans)


def _plan_stage(spec: Spec, stage: Stage, form: Form, index: int, c_in: int, first_dilation: int) -> StagePlan:
    depth, stride, dilation = stage.depth, stage.stride, stage.dilation
    expansion = expansion_of(spec, stage)
    mid = mid_rest = out = stage.width
    if form.inner == "input":
        mid = _whole(c_in, expansion, index)
        mid_rest = _whole(out, expansion, index)
    else:
        out = _whole(mid, expansion, index)
    if stride > 1 and (first_dilation > 1 or dilation > 1):
        raise SpecError(
            f"stages[{index}].dilation",
            max(first_dilation, dilation),
            f"1 in a stage of stride {stride}: a stage either strides or dilates",
        )
    if form.shortcut == "A" and out < c_in:
        allowed = f"B, C or D here: zero-padding cannot take {c_in} channels to {out}"
        raise SpecError(f"stages[{index}].shortcut", "A", allowed)
    if form.shortcut == "D" and stride > 2:
        raise SpecError(f"stages[{index}].shortcut", "D", f"A, B or C at stride {stride}: D pools 2x2")
    given = stage if stage.groups is not None or stage.group_width is not None else spec
    groups = groups_rest = 1
    if given.groups is not None or given.group_width is not None:
        groups = groups_rest = _groups(given.groups, given.group_width, form.branch, c_in, mid, out, index)
        if depth > 1:
            groups_rest = _groups(given.groups, given.group_width, form.branch, out, mid_rest, out, index)
    return StagePlan(form, depth, c_in, mid, mid_rest, out, stride, dilation, first_dilation, groups, groups_rest)


def expansion_of(spec: Spec, stage: Stage) -> Fraction | int:
    """The stage's own expansion, else the spec's for the spec's own block, else the block's default."""
    if stage.expansion is not None:
        return stage.expansion
    if stage.block is not None:
        return stage.block.expansion
    return spec.expansion or spec.block.expansion


def _whole(channels: int, expansion: Fraction | int, index: int) -> int:
    product, rest = divmod(channels * expansion.numerator, expansion.denominator)
    if rest or product > MAX_CHANNELS:
        allowed = f"at most {MAX_CHANNELS} channels, not {channels} x {expansion}"
        if rest:
            near = _nearest(channels, expansion)
            allowed = f"a rational that takes {channels} channels to a whole number, such as {near}"
        raise SpecError(f"stages[{index}].expansion", str(expansion), allowed)
    return product


def _nearest(channels: int, expansion: Fraction | int) -> str:
    whole = max(1, round(channels * expansion))
    return f"{whole}/{channels}"


def _groups(
    groups: int | None, group_width: int | None, branch: tuple[str, ...], c_in: int, mid: int, out: int, index: int
) -> int:
    """Groups of the spatial convolutions, from ``groups`` or from ``group_width``."""
    if groups is not None and group_width is not None:
        raise SpecError(f"stages[{index}].group_width", group_width, f"only one of groups ({groups}) and group_width")
    if group_width is not None:
        if mid % group_width:
            raise SpecError(f"stages[{index}].group_width", group_width, f"a divisor of the inner width {mid}")
        groups = mid // group_width
    groups = groups or 1
    if groups > 1:
        for token, pair in zip(branch, branch_channels(branch, c_in, mid, out), strict=True):
            for channels in pair:
                if token.startswith("conv") and kernel_of(token) > 1 and channels % groups:
                    allowed = f"a divisor of the {channels} channels at {token}"
                    raise SpecError(f"stages[{index}].groups", groups, allowed)
    return groups


class Landmarks(NamedTuple):
    """Places in a branch that other choices refer to."""

    first: int  # its first convolution
    spatial: int  # its first spatial convolution, the first one where there is none
    after_spatial: int  # the token after that one and its norm and act
    ends_in_norm: bool  # a norm follows the last convolution


@lru_cache(4_096)  # of blocks written out there is no end
def landmarks(branch: tuple[str, ...]) -> Landmarks:
    """Where things are in a branch."""
    convolutions = [i for i, token in enumerate(branch) if kernel_of(token)]
    spatial = next((i for i in convolutions if kernel_of(branch[i]) > 1), convolutions[0])
    after = next((i for i in convolutions if i > spatial), len(branch))
    return Landmarks(convolutions[0], spatial, after, "norm" in branch[convolutions[-1] + 1 :])


def _form(
    block: Block, shortcut: Shortcut, attention: Attention, act: str, stride_at: str, norm: Norm, index: int
) -> Form:
    branch, marks = block.branch, landmarks(block.branch)
    place = attention.place
    if attention.kind == "none" or place == "start":
        place = 0
    elif place == "end":
        place = len(branch)
    elif place == "spatial":
        place = marks.after_spatial
    elif place > len(branch):
        raise SpecError(f"stages[{index}].attention.place", place, f"0 to {len(branch)}, the branch's tokens")
    return Form(
        block.preact, branch, block.post, block.inner, act, norm.kind,
        marks.first if stride_at == "first" else marks.spatial,
        shortcut.kind, shortcut.reads if block.preact else "raw",
        marks.ends_in_norm if shortcut.norm == "auto" else shortcut.norm == "yes",
        shortcut.gate, attention.kind, place, attention.reduction,
        attention.divisor or (8 if attention.kind == "se" else 1), norm.groups if norm.kind == "group" else 0,
    )  # fmt: skip


def _check_group_norm(spec: Spec, plans: list[StagePlan]) -> None:
    groups = spec.norm.groups
    widths = {(f"stem.widths[{i}]", width) for i, width in enumerate(spec.stem.widths)}
    for index, plan in enumerate(plans):
        widths |= {(f"stages[{index}].width", width) for width in (plan.mid, plan.mid_rest, plan.out)}
    for field, width in sorted(widths):
        if width % groups:
            raise SpecError("norm.groups", groups, f"a divisor of every normalised width, and {field} gives {width}")
