"""The records of benchmarks/record.py as tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from otoyol.explain.text import number
from otoyol_docs.markdown import code, table

FOLDER = Path(__file__).resolve().parents[2] / "evidence"
_ELSEWHERE = {"machine", "date", "versions", "command", "benchmark"}  # the record itself says these


def records(lang: str, folder: str = "") -> str:
    """Every record of the folder: what was run, when, on what, and each figure."""
    paths = sorted(Path(folder or FOLDER).glob("*.json"))
    return "\n\n".join(_record(json.loads(path.read_text(encoding="utf-8")), lang) for path in paths)


def _record(record: dict[str, Any], lang: str) -> str:
    machine = record["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    memory = f", {number(machine['memory_gib'], lang, '.1f')} GiB" if machine["memory_gib"] else ""
    facts = [
        ("command", code(record["command"])),
        ("date", record["date"]),
        ("commit", code(record["commit"] or "none")),
        ("machine", f"{machine['processor']}, {machine['cores']} cores{memory}, {machine['system']}"),
        ("versions", f"Python {machine['python']}, {versions}"),
    ]
    figures = [(code(name), value) for name, value in _flat(record["figures"], lang)]
    return "\n\n".join(
        [
            f"## {record['benchmark']}",
            table(("what", "of this record"), facts),
            table(("figure", "value"), figures, "lr"),
        ]
    )


def _flat(figures: dict[str, Any], lang: str, prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in figures.items():
        if not prefix and name in _ELSEWHERE:
            continue
        if isinstance(value, dict):
            yield from _flat(value, lang, f"{prefix}{name}.")
        else:
            yield prefix + name, _written(value, lang)


def _written(value: Any, lang: str) -> str:
    if isinstance(value, list):
        return ", ".join(_written(item, lang) for item in value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return number(value, lang)
    return number(value, lang, ".0f" if abs(value) >= 1000 else ".4g")
