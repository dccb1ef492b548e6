"""The same design with one choice changed: what a counterfactual answer counts.

Every function returns a spec, or None where the change cannot be built (the sentence then does without).
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import gcd
from typing import Any

from otoyol.errors import SpecError
from otoyol.spec import Attention, Block, Spec, Stage
from otoyol.spec.blocks import kernel_of
from otoyol.spec.plan import StagePlan

Slot = tuple[str, ...]


def possible(build: Callable[[], Spec]) -> Spec | None:
    """The spec, or None where it cannot be built."""
    try:
        return build()
    except SpecError:
        return None


def with_shortcut(spec: Spec, kind: str) -> Spec | None:
    """Shortcut option A, B, C, D or none in every stage; gates and what projections read stay."""
    stages = [
        stage.model_copy(update={"shortcut": stage.shortcut.model_copy(update={"kind": kind})})
        if stage.shortcut
        else stage
        for stage in spec.stages
    ]
    shortcut = spec.shortcut.model_copy(update={"kind": kind})
    return possible(lambda: spec.model_copy(update={"shortcut": shortcut, "stages": tuple(stages)}))


def with_attention(spec: Spec, kind: str, place: str | None = None) -> Spec | None:
    """Attention of one kind in every stage, at ``place`` or where it stands now."""
    changed: dict[str, Any] = {"kind": kind} | ({"place": place} if place else {})
    return possible(
        lambda: spec.model_copy(
            update={
                "attention": spec.attention.model_copy(update=changed),
                "stages": _stages(spec, lambda _, __: {"attention": None}),
            }
        )
    )


def with_expansion(spec: Spec, expansion: Fraction) -> Spec | None:
    """Another expansion at the same stage widths."""
    return possible(lambda: spec.model_copy(update={"stages": _stages(spec, lambda _, __: {"expansion": expansion})}))


def with_inside(spec: Spec, expansion: Fraction) -> Spec | None:
    """Another expansion at the same output widths: the inside changes. Groups keep their number of channels."""

    def change(_: Stage, plan: StagePlan) -> dict[str, Any]:
        if plan.form.inner == "input":
            return {"expansion": expansion}
        width = plan.out / expansion
        if width.denominator != 1:
            raise SpecError("width", str(width), "whole channels")
        return {"width": int(width), "expansion": expansion}

    return possible(lambda: spec.model_copy(update={"stages": _stages(spec, change)}))


def as_pairs(spec: Spec) -> Spec | None:
    """Two 3×3 convolutions a block at the same output widths, in the same order of norm and act."""

    def change(_: Stage, plan: StagePlan) -> dict[str, Any]:
        between, tail = _pointwise(plan.form.branch)
        branch = ("conv3", *between, "conv3", *tail)
        block = Block(preact=plan.form.preact, branch=branch, post=plan.form.post)
        return {"block": block, "width": plan.out, "expansion": Fraction(1), "groups": 1, "group_width": None}

    return _reblocked(spec, change)


def as_bottlenecks(spec: Spec, narrow: int = 4) -> Spec | None:
    """1×1, 3×3, 1×1 around an inside ``narrow`` times narrower than the output."""

    def change(_: Stage, plan: StagePlan) -> dict[str, Any]:
        between, tail = _pointwise(plan.form.branch)
        branch = ("conv1", *between, "conv3", *between, "conv1", *tail)
        block = Block(preact=plan.form.preact, branch=branch, post=plan.form.post)
        mid = inside(plan.out, narrow)
        return {
            "block": block, "width": mid, "expansion": Fraction(plan.out, mid), "groups": 1, "group_width": None,
        }  # fmt: skip

    return _reblocked(spec, change)


def inside(out: int, narrow: int = 4) -> int:
    """The counterfactual bottleneck's inner width."""
    return max(1, out // narrow)


def other_ordering(spec: Spec) -> Spec | None:
    """Post-activation turned into full pre-activation (He et al. 2016, Fig. 4 e), everything else into v1."""
    to_preact = not any(plan.form.preact for plan in spec.plan)

    def change(_: Stage, plan: StagePlan) -> dict[str, Any]:
        between = _pointwise(plan.form.branch)[0]
        body = _trimmed(plan.form.branch)
        preact, branch, post = (between, body, ()) if to_preact else ((), (*body, "norm"), ("act",))
        block = Block(preact=preact, branch=branch, post=post, inner=plan.form.inner)
        return {"block": block, "expansion": own_expansion(plan)}

    return _reblocked(spec, change, stem_activated=None if to_preact else True)


def own_expansion(plan: StagePlan) -> Fraction:
    """Output over inside, or inside over input where the block counts from its input."""
    return Fraction(plan.mid, plan.c_in) if plan.form.inner == "input" else Fraction(plan.out, plan.mid)


def _placed(attention: Attention | None) -> Attention | None:
    """A place counted in tokens means nothing in another branch; the end does."""
    if attention is None or isinstance(attention.place, str):
        return attention
    return attention.model_copy(update={"place": "end"})


def _pointwise(branch: Slot) -> tuple[Slot, Slot]:
    """Norms and acts between the first two convolutions (``norm act`` where there is one), and after the last."""
    at = [i for i, token in enumerate(branch) if kernel_of(token)]
    between = branch[at[0] + 1 : at[1]] if len(at) > 1 else ("norm", "act")
    return between or ("norm", "act"), branch[at[-1] + 1 :]


def _trimmed(branch: Slot) -> Slot:
    """From the first convolution to the last."""
    at = [i for i, token in enumerate(branch) if kernel_of(token)]
    return branch[at[0] : at[-1] + 1]


def _stages(spec: Spec, change: Callable[[Stage, StagePlan], dict[str, Any]]) -> tuple[Stage, ...]:
    return tuple(
        stage.model_copy(update=change(stage, plan)) for stage, plan in zip(spec.stages, spec.plan, strict=True)
    )


def _reblocked(
    spec: Spec, change: Callable[[Stage, StagePlan], dict[str, Any]], stem_activated: bool | None = None
) -> Spec | None:
    """Every stage with another block, attention at the end where its place no longer exists."""

    def build(norm_groups: int | None = None) -> Spec:
        update: dict[str, Any] = {
            "stages": _stages(spec, lambda stage, plan: {"attention": _placed(stage.attention), **change(stage, plan)}),
            "attention": _placed(spec.attention),
        }
        if stem_activated is not None:
            update["stem"] = spec.stem.model_copy(update={"activated": stem_activated})
        if norm_groups is not None:
            update["norm"] = spec.norm.model_copy(update={"groups": norm_groups})
        return spec.model_copy(update=update)

    def widths() -> int:
        stages = _stages(spec, change)
        return gcd(*spec.stem.widths, *(stage.width for stage in stages), *(plan.out for plan in spec.plan))

    if spec.norm.kind == "group":  # the other widths may need other groups
        return possible(build) or possible(lambda: build(widths()))
    return possible(build)
