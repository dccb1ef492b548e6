"""The text form: ``resnet50@block=bottleneck-v2,expansion=6,depths=3-4-6-3``.

A family, then the fields that differ from it. Only letters, digits and ``. , = @ - _ / :`` occur, so it needs no
quoting in a shell or in a URL's query. ``depths``, ``widths``, ``strides`` and ``dilations`` are columns over the
stages; ``stage2.attention=se`` overrides the second stage alone; ``default`` clears an optional field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError

from otoyol.errors import SpecError
from otoyol.spec.blocks import Block, block_text
from otoyol.spec.families import FAMILIES, family
from otoyol.spec.model import MAX_STAGES, Spec
from otoyol.spec.parts import Input, Part, Stage, Stem
from otoyol.spec.refusal import spec_error

MAX_TEXT = 4096
COLUMNS = {"depths": "depth", "widths": "width", "strides": "stride", "dilations": "dilation"}
CLEAR = "default"
_PARTS: dict[str, type[Part]] = {
    name: field.annotation
    for name, field in Spec.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Part)
}
_LISTS = {"stem.kernels", "stem.widths", "stem.strides"}
_TEXT = re.compile(r"[A-Za-z0-9.,=@_/:-]*\Z")


def parse(text: str) -> Spec:
    """A spec from its text form. Raises SpecError naming the field, what was given and what is allowed."""
    if len(text) > MAX_TEXT:
        raise SpecError("spec", f"{len(text)} characters", f"at most {MAX_TEXT}")
    if not _TEXT.match(text):
        raise SpecError("spec", text, "a family, then @field=value,field=value with letters, digits and .,=_/:-")
    base, at, rest = text.partition("@")
    spec = family(base)
    if not at:
        return spec
    return edit(spec, pairs(rest))


def pairs(text: str) -> dict[str, str]:
    """``field=value,field=value`` as a mapping for :func:`edit`. Raises SpecError."""
    edits: dict[str, str] = {}
    for pair in text.split(","):
        key, equals, value = pair.partition("=")
        if not equals or not key or not value:
            raise SpecError("spec", pair or "nothing", "field=value pairs separated by commas after the @")
        if key in edits:
            raise SpecError(key, f"{edits[key]} and {value}", "each field once")
        edits[key] = value
    return edits


def edit(spec: Spec, edits: Mapping[str, str]) -> Spec:
    """The spec with fields changed, keys and values as in the text form; validated as a whole."""
    fields = {name: getattr(spec, name) for name in Spec.model_fields}
    stages = [dict(stage) for stage in spec.stages]
    for key in sorted(edits, key=lambda key: key != "depths"):  # depths first: it says how many stages there are
        value = edits[key]
        head, _, tail = key.partition(".")
        if key in COLUMNS:
            _set_column(stages, key, value)
        elif found := re.fullmatch(r"stage([1-9]\d?)", head):
            index = int(found[1]) - 1
            if index >= len(stages):
                raise SpecError(key, value, f"stage1 to stage{len(stages)}")
            _set_field(stages[index], tail, value, key, Stage)
        else:
            _set_field(fields, key, value, key, Spec)
    if lacking := [i for i, stage in enumerate(stages) if "width" not in stage]:
        raise SpecError(
            "widths", "nothing", f"a width for each of the {len(stages)} stages, stage{lacking[0] + 1} has none"
        )
    try:
        return Spec(**{**fields, "stages": stages})
    except SpecError as error:
        raise SpecError(_from_one(error.field), error.given, _from_one(error.allowed)) from None


def _from_one(text: str) -> str:
    """``stages[0].depth`` as the text form calls it, ``stage1.depth``."""
    return re.sub(r"stages\[(\d+)\]", lambda found: f"stage{int(found[1]) + 1}", text)


def _set_column(stages: list[dict[str, Any]], key: str, text: str) -> None:
    values = _integers(key, text)
    if len(values) > MAX_STAGES:
        raise SpecError(key, f"{len(values)} stages", f"at most {MAX_STAGES}")
    if key == "depths":
        del stages[len(values) :]
        stages += [{"stride": 2} for _ in range(len(values) - len(stages))]
    if len(values) != len(stages):
        raise SpecError(key, text, f"{len(stages)} numbers separated by -, one a stage")
    for stage, value in zip(stages, values, strict=True):
        stage[COLUMNS[key]] = value


def _integers(key: str, text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\d{1,18}(-\d{1,18})*", text):
        raise SpecError(key, text, "whole numbers separated by -, such as 3-4-6-3")
    return tuple(map(int, text.split("-")))


def _set_field(fields: dict[str, Any], path: str, text: str, key: str, model: type[BaseModel]) -> None:
    """Set ``field`` or ``part.field``; ``part=value`` sets the part's primary field and keeps the others."""
    name, dot, leaf = path.partition(".")
    if name not in model.model_fields or name in ("family", "stages"):
        raise SpecError(key, text, f"fields {', '.join(_editable(model))}")
    if name not in _PARTS:
        if dot:
            raise SpecError(key, text, f"{name} without a dot: it has no fields of its own")
        fields[name] = None if text == CLEAR else _value(name, text)
        return
    part = _PARTS[name]
    if not dot and text == CLEAR:
        fields[name] = None if model is Stage else part()
        return
    if not dot and part in (Input, Stem):
        fields[name] = text  # 3x224x224, a named stem
        return
    leaf = leaf or part.PRIMARY
    if leaf not in part.model_fields:
        raise SpecError(key, text, f"fields {', '.join(f'{name}.{field}' for field in part.model_fields)}")
    if model is Stage and fields.get(name) is None and leaf != part.PRIMARY:
        # It would start from the part's defaults and not, as one might think, from the network's own part.
        raise SpecError(key, text, f"{key.removesuffix(leaf)[:-1]}=… before it, for the stage has no {name} yet")
    current = fields.get(name) or part()
    if not isinstance(current, Part | dict):
        try:
            current = part.model_validate(current)
        except ValidationError as error:
            raise spec_error(error, part, name) from None
    inner = dict(current)
    inner[leaf] = None if text == CLEAR else _value(f"{name}.{leaf}", text)
    fields[name] = inner


def _editable(model: type[BaseModel]) -> list[str]:
    names = [name for name in model.model_fields if name not in ("family", "stages")]
    return names + ([*COLUMNS, "stage1.…"] if model is Spec else [])


def _value(path: str, text: str) -> Any:
    if path in _LISTS:
        return _integers(path, text)
    if path == "expansion" or path.endswith(".place"):
        return text
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"-?\d{1,18}", text):
        return int(text)
    if re.fullmatch(r"-?(\d{1,18}\.?\d{0,24}|\.\d{1,24})(e[+-]?\d{1,3})?", text):
        return float(text)
    return text


def to_text(spec: Spec) -> str:
    """The shortest text that parses back to an equal spec."""
    base = spec.family if spec.family in FAMILIES else None
    if base is None:
        raise SpecError("family", spec.family, "a known family, or custom, where a text form is wanted")
    old, new = _base_leaves(base), leaves(spec)
    pairs = [f"{key}={value}" for key, value in new.items() if old.get(key) != value]
    pairs += [f"{key}={CLEAR}" for key in old if key not in new and int(key[5:].partition(".")[0]) <= len(spec.stages)]
    return f"{base}@{','.join(pairs)}" if pairs else base


def any_text(spec: Spec) -> str:
    """The text form; of a family of one's own, that of the same design as ``custom``."""
    return to_text(spec if spec.family in FAMILIES else spec.model_copy(update={"family": "custom"}))


@cache
def _base_leaves(name: str) -> dict[str, str]:
    return leaves(family(name))


def leaves(spec: Spec) -> dict[str, str]:
    """Every field as one key and one word of the text form, in the models' order."""
    words: dict[str, str] = {}
    for name in Spec.model_fields:
        value = getattr(spec, name)
        if name == "stages":
            for column, field in COLUMNS.items():
                words[column] = "-".join(str(getattr(stage, field)) for stage in value)
        elif name != "family":
            _leaf(words, name, value)
    for index, stage in enumerate(spec.stages, 1):
        for name in Stage.model_fields:
            if name not in COLUMNS.values() and getattr(stage, name) is not None:
                _leaf(words, f"stage{index}.{name}", getattr(stage, name))
    return words


@cache
def _defaults(part: type[Part]) -> dict[str, Any]:
    return {name: field.default for name, field in part.model_fields.items()}


def _leaf(words: dict[str, str], key: str, value: Any) -> None:
    if isinstance(value, Input):
        words[key] = value.text
    elif isinstance(value, Part):
        for field, default in _defaults(type(value)).items():
            inner = getattr(value, field)
            if "stage" not in key or field == value.PRIMARY or inner != default:
                short = field == value.PRIMARY and not isinstance(value, Stem)
                words[key if short else f"{key}.{field}"] = _word(inner)
    else:
        words[key] = _word(value)


def _word(value: Any) -> str:
    if isinstance(value, Block):
        return block_text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "-".join(map(str, value))
    return CLEAR if value is None else str(value)
