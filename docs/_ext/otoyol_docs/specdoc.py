"""The reference of the spec, from the models' JSON Schema; only the meanings are written by hand (fields.toml).

A field without a meaning, and a meaning without a field, fail the build.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from otoyol.spec import Spec
from otoyol_docs.markdown import code, table

PARTS = ("Spec", "Stage", "Stem", "Input", "Shortcut", "Attention", "Norm", "Head")


@cache
def meanings() -> dict[str, dict[str, str]]:
    return tomllib.loads((Path(__file__).parent / "fields.toml").read_text(encoding="utf-8"))


def schemas() -> dict[str, dict[str, Any]]:
    """The JSON Schema of every model by its name."""
    schema = Spec.model_json_schema()
    return {"Spec": schema, **{name: _in_full(part) for name, part in schema["$defs"].items()}}


def _in_full(schema: dict[str, Any]) -> dict[str, Any]:
    """Of a part that a short form may stand for, the mapping."""
    return next((choice for choice in schema.get("anyOf", ()) if "properties" in choice), schema)


def fields(lang: str) -> str:
    del lang
    models, words = schemas(), meanings()
    if set(models) != set(PARTS):
        raise ValueError(f"models {sorted(set(models) ^ set(PARTS))} are documented or exist, but not both")
    parts = []
    for name in PARTS:
        properties = models[name]["properties"]
        if odd := set(properties) ^ set(words[name]) - {"about"}:
            raise ValueError(f"{name}: {sorted(odd)} are in the models or in fields.toml, but not in both")
        rows = [
            (code(field), *_kind_and_limits(value), _default(models[name], field), words[name][field])
            for field, value in properties.items()
        ]
        parts.append(f"## {name}\n\n{words[name]['about']}\n\n" + table(HEAD, rows))
    return "\n\n".join(parts)


HEAD = ("field", "type", "allowed", "default", "meaning")
_LIMITS = {"minimum": "≥ {}", "exclusiveMinimum": "> {}", "maximum": "≤ {}", "exclusiveMaximum": "< {}"}


def _kind_and_limits(value: dict[str, Any]) -> tuple[str, str]:
    """The type and what is allowed, as words."""
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})", "see there"
    if "anyOf" in value:
        if value.get("title") == "Block":
            return "[block](blocks.md)", "a row's name, the slots as text, or a mapping"
        if value.get("title") == "Expansion":
            return "rational", "1/64 to 64 (`4`, `3/2`, `1.5`) that gives whole channels"
        choices = [choice for choice in value["anyOf"] if choice.get("type") != "null"]
        pairs = [_kind_and_limits(choice) for choice in choices]
        kinds, limits = (list(dict.fromkeys(column)) for column in zip(*pairs, strict=True))
        return " or ".join(kinds), "; ".join(limit for limit in limits if limit)
    if "enum" in value:
        return "word", " · ".join(code(word) for word in value["enum"])
    if value.get("type") == "array":
        items = value["items"]
        kind, limit = ("stage", "") if "$ref" in items else _kind_and_limits(items)
        return f"list of {kind}s", f"{value['minItems']} to {value['maxItems']} of them" + (
            f", each {limit}" * bool(limit)
        )
    limits = [text.format(_short(value[key])) for key, text in _LIMITS.items() if key in value]
    if "pattern" in value:
        limits.append(code(value["pattern"]))
    return {"integer": "integer", "number": "number", "string": "text", "boolean": "true or false"}[value["type"]], (
        ", ".join(limits)
    )


def _short(limit: float) -> str:
    return f"{limit:,}" if isinstance(limit, int) else f"{limit:g}"


def _default(schema: dict[str, Any], field: str) -> str:
    if field in schema.get("required", ()):
        return "required"
    default = schema["properties"][field].get("default")
    if default is None:
        return "–"
    if isinstance(default, dict):
        return "its own"
    if isinstance(default, list):
        default = "-".join(map(str, default))
    if isinstance(default, bool):
        return code(str(default).lower())
    return code(f"{default:g}" if isinstance(default, float) else default)
