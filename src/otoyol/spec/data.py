"""Plain data from YAML, TOML and JSON text, and nothing but: no tags, aliases, duplicate keys or deep nesting.

YAML is read by the core schema of YAML 1.2, in which ``no`` and ``off`` are words, ``010`` is not eight and ``1:30``
is not ninety.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable
from functools import cache
from typing import Any

from otoyol.errors import SpecError

MAX_NESTING = 16
MAX_DOTS = 200  # on a line of TOML: a block's slots written out have up to 75

# YAML 1.2.2, section 10.3.2, without hexadecimal and octal forms and leading zeros.
_RESOLVERS = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
)


def loads(text: str, suffix: str = ".yaml") -> Any:
    """Plain data from text in the format that ``suffix`` names. Raises SpecError."""
    read = {".json": _json, ".toml": _toml}.get(suffix, _yaml)
    try:
        value = read(text)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:  # JSONDecodeError and TOMLDecodeError are ValueErrors
        raise SpecError("file", str(error).splitlines()[0], f"valid {suffix[1:].upper()}") from None
    _check_nesting(value)
    return value


def _too_deep() -> SpecError:
    return SpecError("file", "data nested too deeply", f"at most {MAX_NESTING} levels")


def _check_nesting(value: Any) -> None:
    level = [value]
    for _ in range(MAX_NESTING + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise _too_deep()


def _json(text: str) -> Any:
    import json

    return json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise _twice([name for name, _ in pairs])
    return fields


def _twice(names: list[Any]) -> SpecError:
    name = next(name for name, times in Counter(names).items() if times > 1)
    return SpecError("file", f"the key {name} twice", "each key once")


def _toml(text: str) -> Any:
    import tomllib

    if any(line.count(".") > MAX_DOTS for line in text.splitlines()):  # tomllib is quadratic in a.a.a.a…
        raise _too_deep()
    return tomllib.loads(text)


def _yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.load(text, _loader())  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark else "the text"
        why = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"
        raise SpecError("file", where, f"valid YAML ({why})") from None


@cache
def _loader() -> type:
    import yaml

    class Loader(yaml.SafeLoader):
        """Safe, and without aliases: they are how a small file becomes a large one."""

        yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012 (PyYAML's own)
        level = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            event = self.peek_event()
            if isinstance(event, yaml.AliasEvent):
                raise SpecError("file", f"the alias *{event.anchor}", "YAML without aliases")
            if getattr(event, "tag", None):
                raise SpecError("file", f"the tag {event.tag}", "YAML without tags")
            self.level += 1
            if self.level > MAX_NESTING:
                raise _too_deep()
            node = super().compose_node(parent, index)
            self.level -= 1
            return node

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
            fields = super().construct_mapping(node, deep)
            if len(fields) < len(node.value):
                raise _twice([key.value for key, _ in node.value])
            return fields

    for kind, pattern, first in _RESOLVERS:
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{kind}", re.compile(rf"(?:{pattern})\Z"), list(first))
    return Loader
