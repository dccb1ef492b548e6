"""timm's build options as edits of the spec."""

from __future__ import annotations

from typing import Any

from otoyol.errors import SpecError
from otoyol.spec import Spec
from otoyol.spec.dilate import with_output_stride

POOLS = {"avg": "avg", "": "none", "none": "none"}


def with_head(spec: Spec, num_classes: int | None = None, global_pool: str | None = None) -> Spec:
    """The spec with another classifier (0 leaves it out) or pool (``avg``; ``""`` leaves pool and classifier out)."""
    head: dict[str, Any] = {}
    if num_classes is not None:
        head["classes"] = num_classes
    if global_pool is not None:
        if global_pool not in POOLS:
            raise SpecError("global_pool", global_pool, "avg, or '' for none")
        head["pool"] = POOLS[global_pool]
    return spec.model_copy(update={"head": {**spec.head.model_dump(), **head}}) if head else spec


def with_options(
    spec: Spec,
    *,
    num_classes: int | None = None,
    in_chans: int | None = None,
    features_only: bool = False,
    output_stride: int | None = None,
    drop_path_rate: float | None = None,
    drop_rate: float | None = None,
    global_pool: str | None = None,
    external: bool = False,
) -> Spec:
    """The spec that the options of :func:`otoyol.nn.build` describe. Raises SpecError.

    ``features_only`` leaves pool and classifier out; ``external`` puts the caller's attention where the spec has
    its own (at its place), or at the end of every branch.
    """
    if features_only:
        num_classes, global_pool = 0, ""
    if drop_rate is not None and not features_only:
        spec = spec.model_copy(update={"head": {**spec.head.model_dump(), "dropout": drop_rate}})
    spec = with_head(spec, num_classes, global_pool)
    if in_chans is not None:
        spec = spec.model_copy(update={"input": {**spec.input.model_dump(), "channels": in_chans}})
    if drop_path_rate is not None:
        spec = spec.model_copy(update={"drop_path": drop_path_rate})
    if output_stride is not None:
        spec = with_output_stride(spec, output_stride)
    if external and all(plan.form.attention != "external" for plan in spec.plan):
        spec = spec.model_copy(update={"attention": {**spec.attention.model_dump(), "kind": "external"}})
    return spec
