"""The survivors: designs and their costs as `otoyol search` writes them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from otoyol.errors import SpecError
from otoyol.spec import parse
from otoyol.spec.files import read_bytes

MAX_BYTES = 1 << 26
SHAPE = 'what `otoyol search --json` writes: {"designs": [{"spec": …, "macs": …}, …]}'


class Front(NamedTuple):
    """``designs``: specs in text form, each once. ``costs``: for each its quantities by name."""

    designs: tuple[str, ...]
    costs: tuple[dict[str, float], ...]


def read_front(path: str | os.PathLike[str]) -> Front:
    """Read the JSON that `otoyol search` wrote. Raises SpecError where it is none or a design cannot be built."""
    path = Path(path)
    data = read_bytes(path, "front", MAX_BYTES)
    try:
        rows = json.loads(data)["designs"]
        found = {row["spec"]: _costs(row) for row in rows}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise SpecError("front", path.name, SHAPE) from None
    if not found:
        raise SpecError("front", f"{path.name} without a design", "at least one design")
    for text in found:
        if not isinstance(text, str):
            raise SpecError("front", text, "designs in text form")
        parse(text)
    return Front(tuple(found), tuple(found.values()))


def _costs(row: dict[str, Any]) -> dict[str, float]:
    """The row's figures, and of each table's latency the one expected."""
    latency = {f"latency_ms@{where}": told["ms"] for where, told in row.get("latency", {}).items()}
    return {name: value for name, value in {**row, **latency}.items() if type(value) in (int, float)}
