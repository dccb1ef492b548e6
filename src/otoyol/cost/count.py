"""count(spec): what one design costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, get_args

from otoyol.cost.compiled import ALL, POSITION, TOTALS, Unit, stage, stem, tail
from otoyol.cost.formulas import Flops, buffers, params
from otoyol.errors import SpecError
from otoyol.ops.block import strided
from otoyol.ops.network import taps_with_norms
from otoyol.ops.op import INPUT, Op
from otoyol.spec.model import Spec
from otoyol.spec.parts import Stem
from otoyol.spec.plan import StagePlan

Number = Any  # int, or in a batch an array

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
      buffers aside, the image included. ``train_bytes_lean``: the same in lean training, which computes the outputs of
      norms and acts again (``otoyol.nn.memory_mode``).
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
    image, plans = spec.input, spec.plan
    total, between, peak = compose(
        count_units(spec), (image.channels, image.height, image.width), spec.stem, spec.stem.widths, plans,
        spec.head.classes, size, max,
    )  # fmt: skip
    if spec.taps == "postact":
        add_tap_norms(spec, plans, total)
    return finish(total, between, peak, batch, dtype, size)


def count_units(spec: Spec) -> list[Unit]:
    """The compiled stem, stages and tail of one design."""
    head, drop, opens, activated = spec.head, spec.drop_path > 0, True, spec.stem.activated
    units = [stem_unit(spec)]
    for form, depth, c_in, _, _, out, stride, dilation, _, groups, groups_rest in spec.plan:
        units.append(
            stage(
                form, stride != 1 or c_in != out, stride != 1, dilation > 1, drop, opens, activated,
                groups != 1 or groups_rest != 1, "one" if depth == 1 else "more",
            )
        )  # fmt: skip
        opens = False
    units.append(tail(form, head.pool, head.dropout > 0, head.classes > 0))
    return units


def stem_unit(spec: Spec, arrays: bool = False, wanted: frozenset[str] = ALL) -> Unit:
    """The compiled stem."""
    parts, norm = spec.stem, spec.norm
    return stem(
        parts.kernels, parts.strides, parts.activated, parts.pool, norm.kind, norm.groups, spec.act, arrays, wanted
    )


def compose(
    units: Sequence[Unit], image: tuple[Number, Number, Number], stem_spec: Stem, stem_widths: Sequence[Number],
    plans: Sequence[StagePlan], classes: Number, size: int, maximum: Callable[[Number, Number], Number],
) -> tuple[list[Number], Number, Number]:  # fmt: skip
    """Run stem, stages and tail on numbers that may be integers or arrays: (totals, elements held between units, peak
    bytes), for one image."""
    total: list[Number] = [0] * len(TOTALS)
    channels, h, w = image
    unit = units[0]
    peak_of_stem = unit.run(total, channels, h, w, size, *stem_widths)
    elements = channels * h * w
    between = elements if unit.saves_x else 0
    for stride in stem_spec.strides if stem_spec.pool == "none" else (*stem_spec.strides, 2):
        h, w = strided(h, stride), strided(w, stride)
    # What lies between two units is held where the one before or the one behind needs it.
    saved, peak = unit.saves_y, 0
    for unit, (_, depth, c_in, mid, mid_rest, out, stride, _, _, groups, groups_rest) in zip(
        units[1:-1], plans, strict=True
    ):
        here = unit.run(total, depth - 1, c_in, mid, mid_rest, out, h, w, stride, groups, groups_rest)
        peak = maximum(peak, here)
        if saved or unit.saves_x:
            between = between + c_in * h * w
        saved = unit.saves_y
        if stride != 1:
            h, w = strided(h, stride), strided(w, stride)
    unit = units[-1]
    peak = maximum(peak, unit.run(total, out, h, w, classes))
    if saved or unit.saves_x:
        between = between + out * h * w
    return total, between, maximum(peak_of_stem, (peak + elements) * size)


def add_tap_norms(spec: Spec, plans: Sequence[StagePlan], total: list[Number]) -> None:
    """Norms that taps have of their own stand beside the forward pass: only their parameters count."""
    for index in taps_with_norms(spec):
        c = plans[index].out
        op = Op("", "norm", "tap", -1, -1, (INPUT,), c, 1, 1, c, 1, 1, detail=plans[index].form.norm)
        total[POSITION["params"]] = total[POSITION["params"]] + params(op)
        total[POSITION["buffers"]] = total[POSITION["buffers"]] + buffers(op)


def finish(total: Sequence[Number], between: Number, peak: Number, batch: int, dtype: str, size: int) -> Count:
    """A Count from totals for one image (in the order of TOTALS), the elements held between units, and the peak."""
    (
        params, buffers, activations, conv, linear, input_macs,
        norm, act, pool, add, elementwise, norm_back, act_back, pool_back, add_back, elementwise_back,
        moved, held, held_lean, held_per_step, index_bytes, index_bytes_lean,
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
        ((held + between) * size + index_bytes) * batch + per_step,
        ((held_lean + between) * size + index_bytes_lean) * batch + per_step,
        peak * batch,
        (moved * batch + params + buffers) * size,
        batch,
        dtype,
    )  # fmt: skip
