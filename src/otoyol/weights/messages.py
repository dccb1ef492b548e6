"""What is said when a checkpoint does not fit: keys, shapes, meaning, and what it looks like instead."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from otoyol.spec import Spec
from otoyol.weights.files import text_of
from otoyol.weights.identify import identify
from otoyol.weights.meaning import Difference
from otoyol.weights.names import Source, layout

_SHOWN = 8  # keys named in a message


def shape_line(ours: str, their: str, wanted: tuple[int, ...], given: tuple[int, ...]) -> str:
    line = f"{their} is {list(given)}, {list(wanted)} is needed (ours: {ours})"
    if ours.startswith("head.fc.") and wanted[0] != given[0]:
        line += (
            f"; the checkpoint has {given[0]} classes: build the design with @head={given[0]},"
            " or leave the head as initialised by fresh={'head'}"
        )
    elif ours.startswith("stem.") and len(wanted) == 4 and len(given) == 4 and wanted[1] != given[1]:
        line += f"; the checkpoint reads images of {given[1]} channels"
    return line


def mismatch_message(
    spec: Spec, source: Source, example: str, theirs: Mapping[str, Any],
    missing: list[str], extra: list[str], shapes: list[str],
) -> str:  # fmt: skip
    """Every complaint about keys and shapes; ``example`` is a key of the kind that was wanted."""
    looks = identify(theirs)
    lines = [f"the {source} checkpoint does not fit {text_of(spec)[:120]}: {looks}"]
    if looks.prefix:
        lines.append(f"its keys begin with {looks.prefix!r}; say prefix={looks.prefix!r}")
    home = "otoyol" if source == "otoyol" else layout(spec)
    if looks.layout not in (home, "unknown"):
        hint = {"resnet": "torchvision or timm", "resnetv2": "timm"}.get(looks.layout, "otoyol")
        lines.append(f"its keys are {looks.facts[0]} (source {hint}); wanted are such as {example}")
    if missing:
        lines.append(f"missing: {some(missing)}")
    if extra:
        lines.append(f"not known here: {some(extra)}")
        heads = all(key.startswith(("fc.", "head.")) for key in extra)
        if heads and not missing:
            lines.append("this design has no head; fresh={'head'} drops the checkpoint's")
    if missing and all(key.startswith(("fc.", "head.")) for key in missing):
        lines.append("the checkpoint has no head; fresh={'head'} leaves ours as initialised")
    near = [(key, close) for key in missing[:_SHOWN] for close in difflib.get_close_matches(key, extra[:200], 1, 0.9)]
    if near and not looks.prefix:
        lines.append(f"closest: {near[0][0]} and {near[0][1]}")
    lines += [f"shape: {line}" for line in shapes[:_SHOWN]]
    if len(shapes) > _SHOWN:
        lines.append(f"and {len(shapes) - _SHOWN} more shapes")
    return "\n  ".join(lines)


def some(keys: list[str]) -> str:
    shown = ", ".join(keys[:_SHOWN])
    return shown if len(keys) <= _SHOWN else f"{shown} and {len(keys) - _SHOWN} more"


def meaning_message(found: list[Difference]) -> str:
    fields = sorted({difference.field for difference in found})
    lines = ["the checkpoint has these keys and shapes, and means another network", *map(str, found[:_SHOWN])]
    if len(found) > _SHOWN:
        lines.append(f"and {len(found) - _SHOWN} more differences")
    names = ", ".join(map(repr, fields))
    lines.append(f"change the design, say what the checkpoint is by of=…, or load it by allow_meaning={{{names}}}")
    return "\n  ".join(lines)
