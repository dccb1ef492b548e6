"""Reading what a page asks: bounded JSON into frozen models; SpecError names the field that is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from otoyol.cost.count import MAX_BATCH, DType
from otoyol.cost.training import Optimizer
from otoyol.errors import SpecError
from otoyol.explain import ANSWERED, LANGUAGES
from otoyol.search.match import Quantity
from otoyol.spec.data import loads
from otoyol.spec.refusal import spec_error
from otoyol.spec.text import MAX_TEXT

Model = TypeVar("Model", bound=BaseModel)
SpecText = Annotated[str, Field(max_length=MAX_TEXT)]
if TYPE_CHECKING:  # which takes no words that are known at run time alone
    Lang = str
    Question = str
else:
    Lang = Literal[LANGUAGES]
    Question = Literal[ANSWERED]
Batch = Annotated[int, Field(ge=1, le=MAX_BATCH, strict=True)]
Index = Annotated[int, Field(ge=0, le=4_096, strict=True)]


class Ask(BaseModel):
    """The base of all questions: immutable, and no field is unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class MatchAsk(Ask):
    """Rescale the design to the budget of ``baseline``: ``equal`` is a quantity of :data:`otoyol.search.EQUAL`, or
    ``latency`` as the table ``where`` predicts it."""

    baseline: SpecText
    equal: Quantity | Literal["latency"]
    vary: Literal["widths", "depths", "both"] = "widths"
    where: Annotated[str, Field(max_length=64)] = ""


PartName = Literal[
    "figures", "stages", "taps", "memory", "latency", "road", "highway", "answers", "block", "network", "op", "code",
    "explored",
]  # fmt: skip


class DesignAsk(Ask):
    """One design and the parts of its description that are wanted. ``block`` is (stage, block) from 0, ``op`` an
    operator's name; ``questions`` are those that ``answers`` answers."""

    spec: SpecText
    parts: Annotated[tuple[PartName, ...], Field(max_length=16)] = ("figures", "stages")
    batch: Batch = 1
    dtype: DType = "float32"
    optimizer: Optimizer = "momentum"
    lang: Lang = "en"
    block: tuple[Index, Index] | None = None
    op: Annotated[str, Field(max_length=80)] = ""
    questions: Annotated[tuple[Question, ...], Field(max_length=len(ANSWERED))] = ()
    match: MatchAsk | None = None


class SpecAsk(Ask):
    """One design."""

    spec: SpecText


class ReportAsk(Ask):
    """A report on one design, or on several compared with the first."""

    specs: Annotated[tuple[SpecText, ...], Field(min_length=1, max_length=4)]
    batch: Batch = 1
    dtype: DType = "float32"
    lang: Lang = "en"


def read(model: type[Model], body: bytes) -> Model:
    """The question that a request's body holds. Raises SpecError."""
    try:
        fields = loads(body.decode("utf-8"), ".json")
    except UnicodeDecodeError as error:
        raise SpecError("body", f"byte {error.start}", "UTF-8 text") from None
    except SpecError as error:
        raise SpecError("body", error.given, error.allowed) from None
    if not isinstance(fields, dict):
        raise SpecError("body", fields, "a JSON object")
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise spec_error(error, model) from None
