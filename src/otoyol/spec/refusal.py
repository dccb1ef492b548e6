"""pydantic's complaints as one sentence: field, what was given, what is allowed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from otoyol.errors import SpecError

_PHRASES = {
    "bool_type": "true or false",
    "finite_number": "a finite number",
    "string_type": "text",
    "string_unicode": "text that is valid Unicode",
    "string_pattern_mismatch": "a lower-case letter, then at most 63 lower-case letters, digits and _",
    "tuple_type": "a list",
}
_BOUNDS = ("ge", "gt", "le", "lt", "min_length", "max_length")


def spec_error(error: ValidationError, model: type[BaseModel], *prefix: str) -> SpecError:
    """The first complaint about ``model``; ``prefix`` is the path to what was validated."""
    first = error.errors(include_url=False)[0]
    path, kind, here, field = list(prefix), first["type"], model, None
    for step in first["loc"]:
        if isinstance(step, int):
            path[-1:] = [f"{path[-1] if path else ''}[{step}]"]
        elif step in here.model_fields:
            path.append(str(step))
            field = here.model_fields[str(step)]
            here = next(_models(field.annotation), here)
    if kind == "extra_forbidden":
        path.append(str(first["loc"][-1])[:80])
        return SpecError(".".join(path), first["input"], f"fields {', '.join(here.model_fields)}")
    if kind == "missing":
        return SpecError(".".join(path), "nothing", "a value, which is required")
    return SpecError(".".join(path) or "spec", first["input"], _allowed(first, here, field))


def _allowed(first: Any, here: type[BaseModel], field: Any) -> str:
    kind = first["type"]
    if kind in _PHRASES:
        return _PHRASES[kind]
    if kind in ("model_type", "model_attributes_type"):
        return f"a mapping of {', '.join(here.model_fields)}"
    if kind == "literal_error":
        return str(first["ctx"]["expected"]).replace("'", "")
    limits = _limits(field, getattr(field, "annotation", None))
    if kind in ("too_short", "too_long"):
        return f"{_range(limits, 'min_length', 'max_length')} entries"
    if kind.startswith(("int_", "float_", "greater_", "less_")):
        whole = kind.startswith("int_") or isinstance(limits.get("ge"), int)
        return f"a {'whole ' if whole else ''}number {_range(limits, 'ge', 'le')}".strip()
    return str(first["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")


def _range(limits: dict[str, Any], low: str, high: str) -> str:
    if low in limits and high in limits:
        return f"from {_short(limits[low])} to {_short(limits[high])}"
    words = ((low, "at least"), ("gt", "more than"), (high, "at most"), ("lt", "less than"))
    return " and ".join(f"{word} {_short(limits[name])}" for name, word in words if name in limits)


def _short(limit: float) -> str:
    return f"{limit:g}" if isinstance(limit, float) else str(limit)


def _limits(marked: Any, annotation: Any) -> dict[str, Any]:
    """The bounds at a field (or any other bearer of metadata) and inside its annotation."""
    found: dict[str, Any] = {}
    for mark in getattr(marked, "metadata", ()) or getattr(marked, "__metadata__", ()):
        found |= {name: getattr(mark, name) for name in _BOUNDS if getattr(mark, name, None) is not None}
        found |= _limits(mark, None)
    for inner in get_args(annotation):
        found |= _limits(inner, inner)
    return found


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)
