"""count(spec): what one design costs."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

from otoyol.cost.compiled import POSITION, TOTALS, StageKey, stage, stem, tail
from otoyol.cost.formulas import Flops
from otoyol.errors import SpecError
from otoyol.ops.block import strided
from otoyol.ops.network import tap_needs_norm
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
    image, norm, head = spec.input, spec.norm, spec.head
    kernels, strides, activated, pool = spec.stem.kernels, spec.stem.strides, spec.stem.activated, spec.stem.pool
    h, w, channels = image.height, image.width, image.channels
    unit = stem(kernels, strides, activated, pool, norm.kind, norm.groups, spec.act, False)
    peak_of_stem = unit.run(total, channels, h, w, size, *spec.stem.widths)
    image_elements = channels * h * w
    held_between = image_elements if unit.saves_x else 0
    for stride in strides if pool == "none" else (*strides, 2):
        h, w = strided(h, stride), strided(w, stride)
    # What lies between two units is held where the one before or the one behind needs it.
    saved, peak, opens, drop = unit.saves_y, 0, True, spec.drop_path > 0
    for form, depth, c_in, mid, mid_rest, out, stride, dilation, _, groups, groups_rest in spec.plan:
        unit = stage(
            StageKey(
                form, stride != 1 or c_in != out, stride != 1, dilation > 1, drop, opens, activated,
                groups != 1 or groups_rest != 1, "one" if depth == 1 else "more",
            )
        )  # fmt: skip
        here = unit.run(total, depth - 1, c_in, mid, mid_rest, out, h, w, stride, groups, groups_rest)
        peak = here if here > peak else peak
        if saved or unit.saves_x:
            held_between += c_in * h * w
        saved, opens = unit.saves_y, False
        if stride != 1:
            h, w = strided(h, stride), strided(w, stride)
    unit = tail(form, head.pool, head.dropout > 0, head.classes > 0, False)
    here = unit.run(total, out, h, w, head.classes)
    peak = here if here > peak else peak
    held_between += out * h * w if saved or unit.saves_x else 0
    if spec.taps == "postact":
        _add_tap_norms(spec, total)
    peak_bytes = max(peak_of_stem, (peak + image_elements) * size)
    return finish(total, held_between, peak_bytes, batch, dtype, size)


def _add_tap_norms(spec: Spec, total: list[int]) -> None:
    """Norms of the taps' own: they stand beside the forward pass, so that only their parameters count."""
    from otoyol.cost import formulas
    from otoyol.ops.network import lower

    if any(tap_needs_norm(spec, index) for index in range(len(spec.stages))):
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
