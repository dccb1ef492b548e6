"""Spaces of designs: a base spec, choices for its fields, and ranges for its depths and widths."""

from __future__ import annotations

import itertools
import os
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from otoyol.errors import SpecError
from otoyol.spec import Spec, edit, parse, to_text
from otoyol.spec.files import read_mapping
from otoyol.spec.refusal import spec_error

MAX_STRUCTURES = 4_096


class Range(BaseModel):
    """Whole numbers from ``low`` to ``high`` in steps of ``multiple``; ``log`` draws their logarithm uniformly."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: Annotated[int, Field(ge=1, le=65_536, strict=True)]
    high: Annotated[int, Field(ge=1, le=65_536, strict=True)]
    multiple: Annotated[int, Field(ge=1, le=4_096, strict=True)] = 1
    scale: Literal["uniform", "log"] = "uniform"

    @model_validator(mode="after")
    def _possible(self) -> Range:
        if self.first > self.high:
            raise ValueError(f"a range that holds a multiple of {self.multiple}, low at most high")
        return self

    @property
    def first(self) -> int:
        """The smallest member."""
        return -(-self.low // self.multiple) * self.multiple

    @property
    def size(self) -> int:
        return (self.high - self.first) // self.multiple + 1


class RegNet(BaseModel):
    """Linear widths (Radosavovic et al. 2020, Eqs. 2 to 4): block j is ``w0 + wa·j`` wide, rounded to a power of ``wm``
    times ``w0``, then to a multiple; a stage is a run of equal widths. Bounds are inclusive and drawn uniformly (depth)
    or log-uniformly (the widths). Only draws with as many stages as the base are kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    depth: Range
    w0: Range
    wa: tuple[Annotated[float, Field(gt=0, le=1024)], Annotated[float, Field(gt=0, le=1024)]]
    wm: tuple[Annotated[float, Field(gt=1, le=16)], Annotated[float, Field(gt=1, le=16)]]
    multiple: Annotated[int, Field(ge=1, le=4_096, strict=True)] = 8

    @model_validator(mode="after")
    def _possible(self) -> RegNet:
        if self.wa[0] > self.wa[1] or self.wm[0] > self.wm[1]:
            raise ValueError("wa and wm as low, high with low at most high")
        if self.depth.high > 128:
            raise ValueError("at most 128 blocks")
        return self


class Structure(NamedTuple):
    """One combination of the choices: a spec whose depths and widths are still to be drawn."""

    spec: Spec
    text: str


class Refused(NamedTuple):
    """A combination of the choices that cannot be built, and why."""

    choices: dict[str, str]
    reason: str


class Space(BaseModel):
    """``choices`` maps fields of the text form to the values they may take; every combination is a structure, but for
    those that agree with a row of ``without``, which maps some of the fields to one value or several.
    ``depths`` and ``widths`` are one range for all stages or one a stage; left out, they are the base's.
    ``tie``: ``increasing`` widths never shrink from stage to stage, ``doubling`` draws the first and doubles it.
    ``regnet`` takes the place of both. Raises SpecError naming the field, what was given and what is allowed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: str
    choices: dict[str, tuple[str, ...]] = {}
    without: tuple[dict[str, tuple[str, ...]], ...] = ()
    depths: Range | tuple[Range, ...] | None = None
    widths: Range | tuple[Range, ...] | None = None
    tie: Literal["none", "increasing", "doubling"] = "none"
    regnet: RegNet | None = None

    @model_validator(mode="before")
    @classmethod
    def _words(cls, value: Any) -> Any:
        """Choices may be written as numbers and booleans; the text form's words are meant."""
        if not isinstance(value, dict):
            return value
        value = dict(value)
        if isinstance(value.get("choices"), dict):
            value["choices"] = {
                key: tuple(map(_word, values)) if isinstance(values, list | tuple) else values
                for key, values in value["choices"].items()
            }
        if isinstance(value.get("without"), list | tuple):
            value["without"] = [
                {key: tuple(map(_word, v)) if isinstance(v, list | tuple) else (_word(v),) for key, v in row.items()}
                if isinstance(row, dict)
                else row
                for row in value["without"]
            ]
        return value

    @model_validator(mode="after")
    def _possible(self) -> Space:
        stages = len(parse(self.base).stages)
        for name in ("depths", "widths"):
            ranges = getattr(self, name)
            if isinstance(ranges, tuple) and len(ranges) != stages:
                raise SpecError(f"space.{name}", f"{len(ranges)} ranges", f"one range, or {stages}, one a stage")
            if ranges is not None and (name in self.choices or self.regnet):
                raise SpecError(f"space.{name}", "a range", "only one of a range, choices and regnet")
        if self.regnet and {"depths", "widths"} & set(self.choices):
            raise SpecError("space.regnet", "regnet", "no choices of depths or widths beside it")
        if self.regnet and self.regnet.depth.high < stages:
            high = self.regnet.depth.high
            raise SpecError("space.regnet.depth.high", high, f"{stages} or more: the base has {stages} stages")
        for key, values in self.choices.items():
            if not values or len(set(values)) != len(values):
                raise SpecError(f"space.choices.{key}", list(values), "at least one value, each once")
        for row in self.without:
            for key, values in row.items():
                if key not in self.choices:
                    allowed = f"one of {', '.join(self.choices)}" if self.choices else "nothing: there are no choices"
                    raise SpecError("space.without", key, allowed)
                if lacking := [v for v in values if v not in self.choices.get(key, ())]:
                    raise SpecError(
                        f"space.without.{key}", lacking[0], f"one of {', '.join(self.choices.get(key, ()))}"
                    )
        count = 1
        for values in self.choices.values():
            count *= len(values)
        if count > MAX_STRUCTURES:
            raise SpecError("space.choices", f"{count} combinations", f"at most {MAX_STRUCTURES}")
        return self

    def ranges(self, name: Literal["depths", "widths"]) -> tuple[Range, ...] | None:
        """One range a stage, None where the base's numbers stay."""
        ranges = getattr(self, name)
        return (ranges,) * len(parse(self.base).stages) if isinstance(ranges, Range) else ranges


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def load_space(path: str | os.PathLike[str]) -> Space:
    """A space from a YAML, TOML or JSON file. Raises SpecError."""
    return space_from(read_mapping(path))


def space_from(fields: Any) -> Space:
    """A space from plain data. Raises SpecError."""
    if not isinstance(fields, dict):
        raise SpecError("space", type(fields).__name__, "a mapping with base, choices, depths, widths")
    try:
        return Space(**fields)
    except ValidationError as error:
        raise spec_error(error, Space, "space") from None


def structures(space: Space) -> tuple[list[Structure], list[Refused]]:
    """Every combination of the choices that can be built, and those that cannot, each with its reason."""
    base = parse(space.base)
    built, refused = [], []
    for values in itertools.product(*space.choices.values()):
        picked = dict(zip(space.choices, values, strict=True))
        if any(all(picked[key] in left_out for key, left_out in row.items()) for row in space.without):
            continue
        try:
            spec = edit(base, picked)
            built.append(Structure(spec, to_text(spec)))
        except SpecError as error:
            refused.append(Refused(picked, str(error)))
    if not built:
        reason = refused[0].reason if refused else "no choices"
        raise SpecError("space.choices", f"{len(refused)} combinations", f"at least one that can be built ({reason})")
    return built, refused
