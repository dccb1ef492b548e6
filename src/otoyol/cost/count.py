"""count(spec): what one design costs."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

from otoyol.cost.compiled import POSITION, TOTALS, block, stem, tail
from otoyol.cost.formulas import Flops
from otoyol.errors import SpecError
from otoyol.ops.block import strided
from otoyol.ops.network import block_groups, tap_needs_norm
from otoyol.spec.model import Spec

DType = Literal["float64", "float32", "float16", "bfloat16"]
ITEM_BYTES: dict[str, int] = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}
MAX_BATCH = 1 << 20


class Count(NamedTuple):
    """What a design, or a part of one, costs for a batch of images.

    ``macs``, ``activations`` (conv and fc output elements), FLOPs and bytes are for the whole batch; ``params`` and
    ``buffers`` (elements) do not depend on it.

    - ``macs``: multiply-accumulates of convolutions and fc, forward. ``backward_macs``: as many again for the
      gradient of the weights and as many for that of the input, which the first convolution does not need.
    - ``forward_flops``, ``backward_flops``: by operator class; :data:`otoyol.cost.formulas.PER_ELEMENT` says of what.
    - ``weight_bytes``: the parameters.
    - ``train_bytes``: distinct storages that torch's autograd holds between forward and backward, parameters and
      buffers aside, the image included. ``train_bytes_lean``: the same where every norm → act → conv holds only its
      input and computes the rest again.
    - ``peak_inference_bytes``: the most activation bytes alive at once in evaluation without gradients, the image
      included, weights aside.
    - ``bytes_moved``: in evaluation, every operator reads its inputs and writes its output once, and parameters and
      buffers are read once; no cache and no fusion.
    """

    params: int
    buffers: int
    macs: int
    backward_macs: int
    activations: int
    forward_flops: Flops
    backward_flops: Flops
    weight_bytes: int
    train_bytes: int
    train_bytes_lean: int
    peak_inference_bytes: int
    bytes_moved: int
    batch: int
    dtype: str

    @property
    def flops_per_byte(self) -> float:
        """Arithmetic intensity of evaluation: forward FLOPs of all classes over bytes moved."""
        return self.forward_flops.total / self.bytes_moved if self.bytes_moved else 0.0


def item_bytes(batch: int, dtype: str) -> int:
    """Bytes of one element. Raises SpecError for a batch or dtype that cannot be."""
    if not isinstance(batch, int) or isinstance(batch, bool) or not 1 <= batch <= MAX_BATCH:
        raise SpecError("batch", batch, f"a whole number from 1 to {MAX_BATCH}")
    if dtype not in ITEM_BYTES:
        raise SpecError("dtype", dtype, ", ".join(get_args(DType)))
    return ITEM_BYTES[dtype]


def count(spec: Spec, *, batch: int = 1, dtype: str = "float32") -> Count:
    """Totals of a design for ``batch`` images of ``spec.input`` in ``dtype``. Raises SpecError."""
    size = item_bytes(batch, dtype)
    total = [0] * len(TOTALS)
    image, stem_spec, norm, head = spec.input, spec.stem, spec.norm, spec.head
    h, w, channels = image.height, image.width, image.channels
    norm_groups = norm.groups if norm.kind == "group" else 0
    unit = stem(
        stem_spec.kernels,
        stem_spec.strides,
        stem_spec.activated,
        stem_spec.pool,
        norm.kind,
        norm_groups,
        spec.act,
        False,
    )
    image_elements = held_between = channels * h * w  # the first convolution saves the image
    peak_stem = unit.run(total, channels, h, w, size, *stem_spec.widths)
    for stride in stem_spec.strides:
        h, w = strided(h, stride), strided(w, stride)
    if stem_spec.pool == "max":
        h, w = strided(h, 2), strided(w, 2)
    saved, peak = unit.saves_y, 0
    for stage, plan in enumerate(spec.plan):
        stage_input = plan.c_in * h * w  # alive until the stage has run
        for group in block_groups(spec, plan, stage, h, w):
            n, times = group.sizes, group.repeat
            unit = block(plan.form, group.place, n.groups != 1, False)
            here = unit.run(total, times, n.c_in, n.mid, n.out, n.h, n.w, n.stride, n.groups)
            if group.first:
                here += stage_input
            if here > peak:
                peak = here
            boundaries = (saved or unit.saves_x) + (times - 1) * (unit.saves_x or unit.saves_y)
            held_between += boundaries * n.c_in * n.h * n.w
            saved = unit.saves_y
        h, w = strided(h, plan.stride), strided(w, plan.stride)
    unit = tail(plan.form, head.pool, head.dropout > 0, head.classes > 0, False)
    here = unit.run(total, plan.out, h, w, head.classes)
    held_between += (saved or unit.saves_x) * plan.out * h * w
    peak = max(peak_stem, (max(peak, here) + image_elements) * size)
    if spec.taps == "postact":
        _add_tap_norms(spec, total)
    return finish(total, held_between, peak, batch, dtype, size)


def _add_tap_norms(spec: Spec, total: list[int]) -> None:
    """Norms of the taps' own: they stand beside the forward pass, so that only their parameters count."""
    from otoyol.cost import formulas
    from otoyol.ops.network import lower

    if any(tap_needs_norm(spec, stage) for stage in range(len(spec.stages))):
        for op in lower(spec).ops:
            if op.slot == "tap":
                total[POSITION["params"]] += formulas.params(op)
                total[POSITION["buffers"]] += formulas.buffers(op)


def finish(total: list[int], held_between: int, peak: int, batch: int, dtype: str, size: int) -> Count:
    """A Count from totals for one image (in the order of TOTALS), the elements held between units, and the peak."""
    (
        params, buffers, activations, conv, linear, input_macs,
        norm, act, pool, add, elementwise, norm_back, act_back, pool_back, add_back, elementwise_back,
        moved, held, held_lean, held_per_step, index_bytes,
    ) = total  # fmt: skip
    macs = (conv + linear) * batch
    per_step = held_per_step * size
    return Count(
        params,
        buffers,
        macs,
        2 * macs - input_macs * batch,
        activations * batch,
        Flops(2 * conv * batch, 2 * linear * batch, norm * batch, act * batch, pool * batch, add * batch,
              elementwise * batch),
        Flops((4 * conv - 2 * input_macs) * batch, 4 * linear * batch, norm_back * batch, act_back * batch,
              pool_back * batch, add_back * batch, elementwise_back * batch),
        params * size,
        ((held + held_between) * size + index_bytes) * batch + per_step,
        ((held_lean + held_between) * size + index_bytes) * batch + per_step,
        peak * batch,
        (moved * batch + params + buffers) * size,
        batch,
        dtype,
    )  # fmt: skip
