"""build(spec): from a description to its torch module."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Literal, overload

import torch

from otoyol.errors import SpecError
from otoyol.nn.attention import Factory
from otoyol.nn.backbone import Backbone
from otoyol.nn.block import ResidualBlock
from otoyol.nn.features import FeatureBackbone
from otoyol.nn.init import init_weights
from otoyol.nn.memory import memory_mode
from otoyol.nn.options import with_options
from otoyol.ops.block import lower_block
from otoyol.ops.network import block_groups
from otoyol.spec import Spec, parse

Device = torch.device | str | int | None


@overload
def build(
    spec: Spec | str, *, features_only: Literal[True], num_classes: int | None = ..., in_chans: int | None = ...,
    out_indices: int | Sequence[int] | None = ..., output_stride: int | None = ...,
    drop_path_rate: float | None = ..., drop_rate: float | None = ..., global_pool: str | None = ...,
    attention: Factory | None = ..., lean: bool = ..., device: Device = ..., dtype: torch.dtype | None = ...,
) -> FeatureBackbone: ...  # fmt: skip
@overload
def build(
    spec: Spec | str, *, features_only: Literal[False] = ..., num_classes: int | None = ..., in_chans: int | None = ...,
    out_indices: int | Sequence[int] | None = ..., output_stride: int | None = ...,
    drop_path_rate: float | None = ..., drop_rate: float | None = ..., global_pool: str | None = ...,
    attention: Factory | None = ..., lean: bool = ..., device: Device = ..., dtype: torch.dtype | None = ...,
) -> Backbone: ...  # fmt: skip
def build(
    spec: Spec | str,
    *,
    num_classes: int | None = None,
    in_chans: int | None = None,
    features_only: bool = False,
    out_indices: int | Sequence[int] | None = None,
    output_stride: int | None = None,
    drop_path_rate: float | None = None,
    drop_rate: float | None = None,
    global_pool: str | None = None,
    attention: Factory | None = None,
    lean: bool = False,
    device: Device = None,
    dtype: torch.dtype | None = None,
) -> Backbone | FeatureBackbone:
    """The torch module of a spec (or of its text form), freshly initialised (:mod:`otoyol.nn.init`), in training mode.

    The options are timm's and edit the spec: ``module.spec`` is the result, and the module's paths and shapes are
    those of ``otoyol.lower(module.spec)``. ``features_only`` gives a :class:`FeatureBackbone`, whose ``forward``
    returns the taps ``out_indices`` (0 is C1, the stem; default all) as a list. ``output_stride`` trades strides for
    dilations. ``attention``, a function from channels to a module that keeps its input's shape, stands on F(x) in
    place of the spec's attention. ``lean`` trains with about half of the activation memory where blocks are
    pre-activated, with the same gradients (:func:`otoyol.nn.memory_mode` has this and other modes).

    Raises SpecError for what cannot be built.
    """
    spec = parse(spec) if isinstance(spec, str) else spec
    if not features_only and out_indices is not None:
        raise SpecError("out_indices", out_indices, "only with features_only")
    spec = with_options(
        spec, num_classes=num_classes, in_chans=in_chans, features_only=features_only, output_stride=output_stride,
        drop_path_rate=drop_path_rate, drop_rate=drop_rate, global_pool=global_pool, external=attention is not None,
    )  # fmt: skip
    with torch.device(device) if device is not None else nullcontext():
        model = FeatureBackbone(spec, out_indices, attention) if features_only else Backbone(spec, attention)
    if lean:
        memory_mode(model, "lean")
    return model if dtype is None else model.to(dtype)


def block(
    block: str = "bottleneck", *, c_in: int, width: int, stride: int = 1, dilation: int = 1,
    attention: Factory | str | dict[str, Any] | None = None, device: Device = None, dtype: torch.dtype | None = None,
    **choices: Any,
) -> ResidualBlock:  # fmt: skip
    """One residual block: ``block(block="bottleneck-v2", c_in=64, width=64, stride=2, shortcut={"reads": "raw"})``.

    ``width`` is the inner width (the output is width × expansion), except for blocks whose inside follows from
    their input; ``choices`` are a spec's (``expansion``, ``groups``, ``shortcut``, ``norm``, ``act``, …). The block is
    as behind a stem without norm and act, so that its preact slot is there. Raises SpecError.
    """
    external = attention if callable(attention) else None
    if external is not None:
        choices["attention"] = "external"
    elif attention is not None:
        choices["attention"] = attention
    stage = {"depth": 1, "width": width, "stride": stride, "dilation": dilation}
    stem = {"kernels": (1,), "widths": (c_in,), "strides": (1,), "activated": False, "pool": "none"}
    spec = Spec(**{"dilation_first": "same", **choices, "stages": [stage], "block": block, "stem": stem, "head": 0})
    plan = spec.plan[0]
    group = next(block_groups(spec, plan, 0, spec.input.height, spec.input.width))
    with torch.device(device) if device is not None else nullcontext():
        ops = lower_block(plan.form, group.place, group.sizes)
        module = ResidualBlock(ops, plan.form, spec.norm, spec.shortcut, spec.drop_path, external)
        init_weights(module, spec.zero_init, external)
    return module if dtype is None else module.to(dtype)
