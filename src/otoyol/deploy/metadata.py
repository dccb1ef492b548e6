"""What an ONNX artifact says of itself, in the file's ``metadata_props``.

An artifact is one ONNX file with one input, ``image``, and the outputs of its task:

=================  ===========================================================================================
``classification`` ``logits`` (N, classes): no softmax
``features``       ``c2`` … ``c5``: the taps that were chosen (``c1`` too where asked), each (N, C, H/stride, W/stride);
                   of a network with a pool and no classifier, ``features`` (N, C)
``detection``      ``boxes`` (D, 4) as x1 y1 x2 y2 in pixels of the input, ``labels`` (D,) int64 that index
                   ``classes``, ``scores`` (D,) from 0 to 1, best first. One image at a time: N is 1. D differs from
                   image to image, 0 where nothing is found; overlapping boxes are already suppressed
=================  ===========================================================================================

``image`` is, by ``layout``:

- ``nchw``: float32 (N, C, H, W), already ``(value / 255 - mean) / std`` channel by channel;
- ``nhwc``: uint8 (N, H, W, C), as a decoder gives it, RGB: casting and normalising happen in the graph.

N is free (but for detection), H and W are ``height`` and ``width`` unless ``dynamic_size``. Resizing is the caller's: a
classifier's image is scaled to cover H × W and cropped at the centre (`otoyol.data.images.prepared`); a detector's
is scaled to fit into H × W and filled up at the right and below with ``mean`` (0 after normalisation), and its boxes
are divided by the scale (`otoyol.deploy.fitted`). Outputs are float32 but for ``labels``, whatever the precision.

Every value is text under a key that begins with ``otoyol.``: plain text, or JSON. Files come from strangers, so what is
read is checked in length, type and range before anybody uses it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from otoyol.errors import SpecError
from otoyol.spec import Spec, from_mapping, parse
from otoyol.spec.data import loads
from otoyol.spec.refusal import spec_error

Task = Literal["classification", "features", "detection"]
Layout = Literal["nchw", "nhwc"]
Precision = Literal["fp32", "int8"]

FORMAT = 1
PREFIX = "otoyol."
INPUT_NAME = "image"
DETECTIONS = ("boxes", "labels", "scores")
MAX_VALUE = 1 << 22  # characters of one value: a hundred thousand class names fit
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, channel by channel

Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Name = Annotated[str, Field(max_length=200)]
Pixels = Annotated[int, Field(ge=1, le=16_384, strict=True)]


class Metadata(BaseModel):
    """An artifact's description. Immutable.

    ``spec``: the backbone's text form (JSON where that is too long), see :meth:`design`. ``classes``: names in the
    order of the logits, or of a detector's labels; empty where nobody has named them. ``outputs``: names in order.
    ``crop_share``: the part of an image's shorter side that a classifier is to see. ``opset``: of ONNX's own operators.
    ``versions``: of the libraries that wrote the file. ``detector``: what stands on the backbone, empty where nothing
    does. ``source``: where the weights come from, for people; empty for weights as initialised. ``aliases``: weights of
    the network that stand in the file under another's name, because they are equal, or not at all (``""``), because
    they are zero.

    Raises SpecError naming the field where something does not fit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: Task
    spec: Annotated[str, Field(min_length=1, max_length=1 << 16)]
    classes: Annotated[tuple[Name, ...], Field(max_length=1_000_000)] = ()
    outputs: Annotated[tuple[Name, ...], Field(min_length=1, max_length=64)]
    layout: Layout = "nchw"
    channels: Annotated[int, Field(ge=1, le=65_536, strict=True)] = 3
    height: Pixels
    width: Pixels
    dynamic_size: Annotated[bool, Field(strict=True)] = False
    mean: tuple[Finite, ...] = MEAN
    std: tuple[Positive, ...] = STD
    crop_share: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    opset: Annotated[int, Field(ge=1, le=10_000, strict=True)]
    precision: Precision = "fp32"
    versions: dict[Name, Name] = {}
    detector: Annotated[str, Field(max_length=4096)] = ""
    source: Annotated[str, Field(max_length=4096)] = ""
    aliases: dict[Name, Name] = {}

    def __init__(self, /, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise spec_error(error, type(self), "artifact") from None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        for name in ("mean", "std"):
            if len(getattr(self, name)) != self.channels:
                raise SpecError(f"artifact.{name}", list(getattr(self, name)), f"{self.channels}, one for each channel")
        return self

    @property
    def design(self) -> Spec:
        """The backbone's spec. Raises SpecError where the text is none."""
        return from_mapping(loads(self.spec, ".json")) if self.spec.startswith("{") else parse(self.spec)

    @property
    def one_image(self) -> bool:
        """Whether N is 1 rather than free."""
        return self.task == "detection"

    def image_shape(self, batch: int, height: int | None = None, width: int | None = None) -> tuple[int, ...]:
        """The shape of ``image`` for ``batch`` images, at the artifact's size unless told otherwise."""
        h, w = height or self.height, width or self.width
        return (batch, self.channels, h, w) if self.layout == "nchw" else (batch, h, w, self.channels)

    def replaced(self, **changes: Any) -> Self:
        """The description with some fields changed, validated again."""
        return type(self)(**{**{name: getattr(self, name) for name in type(self).model_fields}, **changes})

    def to_props(self) -> dict[str, str]:
        """Keys and text as they stand in ``metadata_props``; :meth:`from_props` reads them back."""
        fields = {"format": FORMAT, **self.model_dump(mode="json")}
        return {
            PREFIX + name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, allow_nan=False)
            for name, value in fields.items()
        }

    @classmethod
    def from_props(cls, props: Mapping[str, str]) -> Self:
        """The description in ``metadata_props`` (ONNX Runtime: ``get_modelmeta().custom_metadata_map``).

        Raises SpecError where the file is none of ours, or says what cannot be.
        """
        ours = {key.removeprefix(PREFIX): value for key, value in props.items() if key.startswith(PREFIX)}
        if ours.pop("format", None) != str(FORMAT):
            allowed = f"an ONNX file that `otoyol export` has written (its metadata has {PREFIX}format {FORMAT})"
            raise SpecError("artifact", "an ONNX file with other metadata or none", allowed)
        return cls(**{name: _value(name, text) for name, text in ours.items()})


TEXT = frozenset({"task", "spec", "layout", "precision", "detector", "source"})  # the others are JSON


def _value(name: str, text: str) -> Any:
    if len(text) > MAX_VALUE:
        raise SpecError(f"artifact.{name}", f"{len(text)} characters", f"at most {MAX_VALUE}")
    if name in TEXT:
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise SpecError(f"artifact.{name}", text, "JSON") from None


def write_props(model: Any, metadata: Metadata) -> None:
    """Put the description into an ``onnx.ModelProto``, in place of one that is there."""
    others = [(prop.key, prop.value) for prop in model.metadata_props if not prop.key.startswith(PREFIX)]
    del model.metadata_props[:]
    for key, value in [*others, *metadata.to_props().items()]:
        prop = model.metadata_props.add()
        prop.key, prop.value = key, value


def read_props(model: Any) -> Metadata:
    """The description in an ``onnx.ModelProto``. Raises SpecError as :meth:`Metadata.from_props`."""
    return Metadata.from_props({prop.key: prop.value for prop in model.metadata_props})


__all__ = [
    "DETECTIONS", "INPUT_NAME", "MEAN", "STD", "Layout", "Metadata", "Precision", "Task", "read_props", "write_props",
]  # fmt: skip
