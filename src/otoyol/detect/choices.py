"""What a detector is besides its backbone: one frozen description, whose defaults are torchvision's for each kind."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from otoyol.errors import SpecError
from otoyol.spec.parts import Norm, Part
from otoyol.spec.refusal import spec_error

Kind = Literal["retinanet", "fcos", "fasterrcnn"]
Extra = Literal["none", "pool", "p6p7", "p6p7_c5"]
BoxLoss = Literal["l1", "smooth_l1", "giou", "diou", "ciou"]

Channels = Annotated[int, Field(ge=1, le=4096, strict=True)]
Few = Annotated[int, Field(ge=0, le=16, strict=True)]
Side = Annotated[int, Field(ge=1, le=16_384, strict=True)]
Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0.0, le=1e6, allow_inf_nan=False)]
Colour = Annotated[float, Field(allow_inf_nan=False)]
Mean = Annotated[tuple[Colour, ...], Field(min_length=1, max_length=64)]
Std = Annotated[tuple[Positive, ...], Field(min_length=1, max_length=64)]

GROUP = {"kind": "group", "groups": 32}
OCTAVE = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))

# torchvision's retinanet_resnet50_fpn_v2 (Zhang et al. 2020, 1912.02424), fcos_resnet50_fpn (Tian et al. 2020,
# 2006.09214) and fasterrcnn_resnet50_fpn (Ren et al. 2015 with Lin et al. 2017), a row each. What a row does not
# name, that kind does not have. Anchor sides are `scales` times the level's stride, cut to whole pixels.
KINDS: dict[str, dict[str, Any]] = {
    "retinanet": {
        "taps": ("C3", "C4", "C5"), "extra": "p6p7_c5", "head_norm": GROUP, "head_convs": 4, "box_loss": "giou",
        "scales": tuple(4 * scale for scale in OCTAVE), "sizes": (), "ratios": (0.5, 1.0, 2.0), "foreground_iou": 0.5,
        "background_iou": 0.4, "score": 0.05, "nms_iou": 0.5, "detections": 300, "candidates": 1000,
    },
    "fcos": {
        "taps": ("C3", "C4", "C5"), "extra": "p6p7", "head_norm": GROUP, "head_convs": 4, "radius": 1.5,
        "score": 0.2, "nms_iou": 0.6, "detections": 100, "candidates": 1000,
    },
    "fasterrcnn": {
        "taps": ("C2", "C3", "C4", "C5"), "extra": "pool", "head_norm": None, "head_convs": 1, "box_convs": 0,
        "box_width": 1024, "scales": (8.0,), "sizes": (), "ratios": (0.5, 1.0, 2.0), "foreground_iou": 0.7,
        "background_iou": 0.3, "score": 0.05, "nms_iou": 0.5, "detections": 100, "candidates": 1000,
    },
}  # fmt: skip


class Detector(Part):
    """A detector of ``kind``; ``detector: fcos`` is short for ``{kind: fcos}``. Unset fields are torchvision's.

    Pyramid: ``taps`` of the backbone, shallow to deep; ``extra`` levels: ``pool`` (P5 subsampled), ``p6p7`` (two
    strided convolutions on P5) or ``p6p7_c5`` (on C5); ``channels`` of every level; ``fpn_norm``.
    Head: ``head_norm`` (none, or a norm in each of its convolutions), ``head_convs`` before each output (RetinaNet,
    FCOS: 4; Faster R-CNN: of its proposal network), ``box_convs`` and ``box_width`` (Faster R-CNN's box head).
    Anchors (not FCOS): sides are ``scales`` × stride of the level, or ``sizes``, a list of sides in pixels for each
    level; ``ratios`` are height / width. An anchor is an object's from ``foreground_iou``, background below
    ``background_iou``. ``radius`` of FCOS's centre sampling in strides. ``box_loss`` is RetinaNet's.
    Image: the shorter side is brought to ``min_size`` and the longer to at most ``max_size`` pixels; ``mean`` and
    ``std`` of values from 0 to 1; padded to multiples of ``divisor``.
    Results: above ``score``, from ``candidates`` a level, overlaps above ``nms_iou`` removed, ``detections`` an image.

    Raises SpecError naming the field, also for a field that the kind does not have.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind = "retinanet"
    taps: Annotated[tuple[str, ...], Field(min_length=1, max_length=16)] = ()
    extra: Extra = "none"
    channels: Channels = 256
    fpn_norm: Norm | None = None
    head_norm: Norm | None = None
    head_convs: Few = 4
    box_convs: Few = 0
    box_width: Channels = 1024
    box_loss: BoxLoss = "giou"
    scales: Annotated[tuple[Positive, ...], Field(max_length=32)] = ()
    sizes: tuple[Annotated[tuple[Positive, ...], Field(min_length=1, max_length=32)], ...] = ()
    ratios: Annotated[tuple[Positive, ...], Field(max_length=32)] = (1.0,)
    foreground_iou: Share = 0.5
    background_iou: Share = 0.4
    radius: Positive = 1.5
    min_size: Side = 800
    max_size: Side = 1333
    mean: Mean = (0.485, 0.456, 0.406)
    std: Std = (0.229, 0.224, 0.225)
    divisor: Side = 32
    score: Share = 0.05
    nms_iou: Share = 0.5
    detections: Annotated[int, Field(ge=1, le=100_000, strict=True)] = 100
    candidates: Annotated[int, Field(ge=1, le=1_000_000, strict=True)] = 1000

    def __init__(self, /, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise spec_error(error, type(self), "detector") from None

    @model_validator(mode="before")
    @classmethod
    def _with_row(cls, value: Any) -> Any:
        """The kind's row under what is given."""
        if isinstance(value, str):
            value = {"kind": value}
        if not isinstance(value, dict) or not isinstance(kind := value.get("kind", "retinanet"), str):
            return value
        row = KINDS.get(kind)
        if row is None:
            return value  # refused by the field
        lacking = [name for name in value if name in PARTICULAR and name not in row]
        if lacking:
            raise SpecError(f"detector.{lacking[0]}", value[lacking[0]], f"not for kind {kind}, which has none")
        return {**row, **value}

    @model_validator(mode="after")
    def _agree(self) -> Detector:
        if self.background_iou > self.foreground_iou:
            raise SpecError("detector.background_iou", self.background_iou, f"at most {self.foreground_iou:g}")
        if self.min_size > self.max_size:
            raise SpecError("detector.min_size", self.min_size, f"at most max_size, {self.max_size}")
        if len(self.mean) != len(self.std):
            raise SpecError("detector.std", list(self.std), f"{len(self.mean)} numbers, as mean has")
        if self.kind == "fasterrcnn" and self.head_norm is not None and not self.box_convs:
            raise SpecError("detector.head_norm", self.head_norm.kind, "none without box_convs, which it would follow")
        if self.kind != "fcos":
            if not self.ratios or not (self.scales or self.sizes):
                raise SpecError("detector.ratios", list(self.ratios), "at least one ratio, and scales or sizes")
            if len({len(sides) for sides in self.sizes}) > 1:
                raise SpecError("detector.sizes", [list(s) for s in self.sizes], "as many sides on every level")
        return self

    @model_serializer(mode="wrap")
    def _own(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what the kind does not have, so that it can be read back."""
        fields: dict[str, Any] = handler(self)
        return {name: value for name, value in fields.items() if name not in PARTICULAR or name in KINDS[self.kind]}

    @property
    def levels(self) -> int:
        """How many maps the pyramid puts out."""
        return len(self.taps) + {"none": 0, "pool": 1, "p6p7": 2, "p6p7_c5": 2}[self.extra]


PARTICULAR = frozenset(name for row in KINDS.values() for name in row) - {"taps", "extra", "head_norm"}
