"""Output stride: the same network at a finer final resolution, strides traded for dilations."""

from __future__ import annotations

from math import prod

from otoyol.errors import SpecError
from otoyol.spec.model import Spec


def with_output_stride(spec: Spec, output_stride: int) -> Spec:
    """The spec with every stage beyond ``output_stride`` at stride 1 and dilated by the stride it gave up.

    Weights keep their shapes, so that a checkpoint of ``spec`` fits. ``spec.dilation_first`` says what the first
    block of a stage does; ``previous`` is torchvision's ``replace_stride_with_dilation`` and timm's
    ``output_stride`` (Chen et al. 2017, 1706.05587, section 3.1).

    Raises SpecError where the network never has that stride.
    """
    stride = prod(spec.stem.strides) * (2 if spec.stem.pool == "max" else 1)
    allowed, factor, stages = [stride], 1, []
    for stage in spec.stages:
        allowed.append(allowed[-1] * stage.stride)
        if allowed[-1] > output_stride:
            factor *= stage.stride
            stages.append(stage.model_copy(update={"stride": 1, "dilation": stage.dilation * factor}))
        else:
            stages.append(stage)
    if isinstance(output_stride, bool) or output_stride not in allowed:
        raise SpecError("output_stride", output_stride, " or ".join(map(str, sorted(set(allowed)))))
    return spec.model_copy(update={"stages": tuple(stages)})
