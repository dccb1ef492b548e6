"""The parts of a spec: frozen models, one field per orthogonal choice.

Every part has a primary field, so that ``attention: se`` is short for ``attention: {kind: se}``.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from otoyol.errors import SpecError
from otoyol.spec.blocks import BlockField

Count = Annotated[int, Field(ge=1, strict=True)]
Width = Annotated[int, Field(ge=1, le=65_536, strict=True)]
Depth = Annotated[int, Field(ge=1, le=4_096, strict=True)]
Stride = Annotated[int, Field(ge=1, le=4, strict=True)]
Dilation = Annotated[int, Field(ge=1, le=64, strict=True)]
Pixels = Annotated[int, Field(ge=1, le=16_384, strict=True)]
Flag = Annotated[bool, Field(strict=True)]
Rate = Annotated[float, Field(ge=0.0, lt=1.0, allow_inf_nan=False, strict=True)]


def _odd(kernel: int) -> int:
    if kernel % 2 == 0:
        raise ValueError("an odd kernel from 1 to 31")
    return kernel


Kernel = Annotated[int, Field(ge=1, le=31, strict=True), AfterValidator(_odd)]


def _fraction(value: Any) -> Any:
    """Integers, ``3/2`` and decimal text; floats by their shortest decimal form."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Fraction):
        raise ValueError("a rational from 1/64 to 64 such as 4, 3/2 or 1.5")
    text = str(value)
    try:
        number = Fraction(text) if len(text) <= 24 and "e" not in text.lower() else None
    except (ValueError, ZeroDivisionError):
        number = None
    if number is None or not Fraction(1, 64) <= number <= 64 or number.denominator > 4096:
        raise ValueError("a rational from 1/64 to 64 such as 4, 3/2 or 1.5")
    return number


def _fraction_text(value: Fraction) -> int | str:
    return value.numerator if value.denominator == 1 else str(value)


Expansion = Annotated[
    Fraction,
    BeforeValidator(_fraction),
    PlainSerializer(_fraction_text),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string", "pattern": r"^[0-9]+(/[0-9]+)?$"}]}),
]


class Part(BaseModel):
    """A frozen model whose ``PRIMARY`` field may stand for the whole."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    PRIMARY: ClassVar[str] = "kind"
    SHORT: ClassVar[dict[str, Any]] = {}  # JSON Schema of the short form where it is not the primary field's

    @model_validator(mode="before")
    @classmethod
    def _from_primary(cls, value: Any) -> Any:
        return value if isinstance(value, dict | BaseModel) or value is None else {cls.PRIMARY: value}

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The short form beside the mapping, so that editors accept both."""
        schema = handler.resolve_ref_schema(reference := handler(core_schema))
        if "anyOf" not in schema:
            mapping = dict(schema)
            schema.clear()
            primary = mapping["properties"].get(cls.PRIMARY, {})
            short = cls.SHORT or {key: value for key, value in primary.items() if key not in ("default", "title")}
            schema |= {"title": mapping.pop("title"), "anyOf": [short, mapping]}
        return reference


class Input(Part):
    """One image, without the batch: channels × height × width; ``3x224x224`` for short."""

    SHORT: ClassVar[dict[str, Any]] = {"type": "string", "pattern": "^[0-9]{1,6}x[0-9]{1,6}x[0-9]{1,6}$"}
    channels: Width = 3
    height: Pixels = 224
    width: Pixels = 224

    @model_validator(mode="before")
    @classmethod
    def _from_primary(cls, value: Any) -> Any:
        if isinstance(value, str):
            sizes = value.split("x")
            if len(sizes) != 3 or not all(s.isdecimal() and len(s) <= 6 for s in sizes):
                raise ValueError("channels x height x width, such as 3x224x224")
            return dict(zip(("channels", "height", "width"), map(int, sizes), strict=True))
        if not isinstance(value, dict | BaseModel):
            raise ValueError("channels x height x width, such as 3x224x224")
        return value

    @property
    def text(self) -> str:
        return f"{self.channels}x{self.height}x{self.width}"


class Stem(Part):
    """Convolutions before the first stage, each followed by norm and act, then a pool.

    ``activated`` says whether the last convolution too has its norm and act. Where it does and the first block
    begins with a preact slot, that slot is left out, since the stem has done its work (He et al. 2016, appendix).
    """

    PRIMARY: ClassVar[str] = "kernels"
    SHORT: ClassVar[dict[str, Any]] = {"enum": ["imagenet", "deep", "tiered", "cifar"]}
    kernels: Annotated[tuple[Kernel, ...], Field(min_length=1, max_length=8)] = (7,)
    widths: Annotated[tuple[Width, ...], Field(min_length=1, max_length=8)] = (64,)
    strides: Annotated[tuple[Stride, ...], Field(min_length=1, max_length=8)] = (2,)
    activated: Flag = True
    pool: Literal["max", "none"] = "max"

    @model_validator(mode="before")
    @classmethod
    def _from_primary(cls, value: Any) -> Any:
        if isinstance(value, str):
            if value not in STEMS:
                raise ValueError(
                    f"one of {', '.join(STEMS)}, or a mapping of kernels, widths, strides, activated and pool"
                )
            return dict(STEMS[value])
        if not isinstance(value, dict | BaseModel):
            raise ValueError(f"one of {', '.join(STEMS)}, or a mapping of kernels, widths, strides, activated and pool")
        return value

    @model_validator(mode="after")
    def _agree(self) -> Stem:
        for name in ("widths", "strides"):
            if len(getattr(self, name)) != len(self.kernels):
                raise SpecError(f"stem.{name}", list(getattr(self, name)), f"{len(self.kernels)}, one for each kernel")
        return self


STEMS: dict[str, dict[str, Any]] = {
    "imagenet": {"kernels": (7,), "widths": (64,), "strides": (2,), "pool": "max"},
    "deep": {"kernels": (3, 3, 3), "widths": (32, 32, 64), "strides": (2, 1, 1), "pool": "max"},
    "tiered": {"kernels": (3, 3, 3), "widths": (24, 32, 64), "strides": (2, 1, 1), "pool": "max"},
    "cifar": {"kernels": (3,), "widths": (16,), "strides": (1,), "pool": "none"},
}


class Norm(Part):
    """``batch``, ``sync`` (batch statistics over all ranks), ``frozen`` (affine by stored statistics) or ``group``.

    ``groups`` is read by ``group`` only, ``momentum`` by ``batch`` and ``sync``.
    """

    kind: Literal["batch", "group", "frozen", "sync"] = "batch"
    eps: Annotated[float, Field(gt=0.0, lt=1.0, allow_inf_nan=False, strict=True)] = 1e-5
    momentum: Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False, strict=True)] = 0.1
    groups: Count = 32


Act = Literal["relu", "relu6", "leaky_relu", "silu", "gelu", "hardswish"]

_PLACES = "start, spatial, end, or the number of branch tokens before it; attention stands on F(x), never on the skip"


def _place(value: Any) -> Any:
    if isinstance(value, str) and value.isdecimal() and len(value) <= 2:
        value = int(value)
    if value in ("start", "spatial", "end") and isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 24:
        return value
    raise ValueError(_PLACES)


class Attention(Part):
    """A gate on F(x): SE (Hu et al. 2018), ECA (Wang et al. 2020), CBAM (Woo et al. 2018), or an ``external`` module.

    ``place``: ``start`` (before the branch's first token), ``spatial`` (after the first spatial convolution and
    its norm and act), ``end`` (before the addition), or a number of branch tokens. ``reduction`` is SE's and
    CBAM's r; the squeezed width is rounded to a multiple of ``divisor``, by default timm's (SE 8, CBAM 1).
    ``external`` is a module
    the caller hands to ``build``; its own cost is not known and not counted.
    """

    kind: Literal["none", "se", "eca", "cbam", "external"] = "none"
    place: Annotated[
        Literal["start", "spatial", "end"] | Annotated[int, Field(ge=0, le=24)], BeforeValidator(_place)
    ] = "end"
    reduction: Annotated[int, Field(ge=1, le=1024, strict=True)] = 16
    divisor: Annotated[int, Field(ge=1, le=1024, strict=True)] | None = None


class Shortcut(Part):
    """What carries x to the addition.

    ``kind`` (He et al. 2015, section 4.1): ``A`` zero-pads new channels, ``B`` projects by a 1×1 convolution where
    the shape changes, ``C`` projects always, ``D`` average-pools and then projects (He et al. 2019), ``none``
    leaves the shortcut out where the shape changes (MobileNetV2).
    ``reads``: what a projection reads in a block with a preact slot, the pre-activated tensor (He et al. 2016)
    or raw x. ``norm``: whether a norm follows the projection; ``auto`` mirrors the branch, whose last convolution
    is followed by one in v1 and by none in v2.
    ``gate`` and its numbers are the studies of He et al. 2016, Table 1: ``scale`` multiplies the shortcut by
    ``scale`` and F by ``branch_scale``; ``exclusive`` uses 1-g(x) and g(x); ``shortcut-only`` uses 1-g(x) and 1;
    ``dropout`` drops the shortcut with rate ``dropout``; g is a 1×1 convolution and a sigmoid, its bias starting at
    ``gate_bias``.
    """

    kind: Literal["A", "B", "C", "D", "none"] = "B"
    reads: Literal["preact", "raw"] = "preact"
    norm: Literal["auto", "yes", "no"] = "auto"
    gate: Literal["none", "scale", "exclusive", "shortcut-only", "dropout"] = "none"
    scale: Annotated[float, Field(ge=-10.0, le=10.0, allow_inf_nan=False, strict=True)] = 0.5
    branch_scale: Annotated[float, Field(ge=-10.0, le=10.0, allow_inf_nan=False, strict=True)] = 1.0
    gate_bias: Annotated[float, Field(ge=-100.0, le=100.0, allow_inf_nan=False, strict=True)] = -6.0
    dropout: Rate = 0.5


class Head(Part):
    """Global average pool, dropout and a linear classifier. ``classes`` 0 leaves the classifier out.

    ``pool`` ``none`` leaves the pool out too: the network is a feature extractor and its taps are its output.
    """

    PRIMARY: ClassVar[str] = "classes"
    classes: Annotated[int, Field(ge=0, le=1_000_000, strict=True)] = 1000
    pool: Literal["avg", "none"] = "avg"
    dropout: Rate = 0.0

    @model_validator(mode="after")
    def _agree(self) -> Head:
        if self.pool == "none" and self.classes:
            raise SpecError("head.pool", "none", f"avg where there are classes ({self.classes}), or head.classes 0")
        return self


class Stage(BaseModel):
    """``depth`` blocks of one shape; the first carries the stride. Fields left at None follow the spec.

    ``width`` is the branch's inner width (``Block.inner`` says how the output follows from it).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    depth: Depth
    width: Width
    stride: Stride = 1
    dilation: Dilation = 1
    block: BlockField | None = None
    expansion: Expansion | None = None
    groups: Count | None = None
    group_width: Count | None = None
    stride_at: Literal["first", "spatial"] | None = None
    shortcut: Shortcut | None = None
    attention: Attention | None = None
    act: Act | None = None
