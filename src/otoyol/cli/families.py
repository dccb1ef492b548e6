"""otoyol families: the names to start from."""

from __future__ import annotations

from typing import Annotated

from otoyol.cli.options import Json, Lang, option
from otoyol.cli.output import Table, write, write_json
from otoyol.cli.words import language, word


def families(pattern: Annotated[str, option("pattern")] = "", /, *, json: Json = False, lang: Lang = None) -> None:
    from otoyol.spec import FAMILIES, block_text

    tongue = language(lang)
    rows = []
    for name in sorted(FAMILIES, key=_natural):
        if pattern not in name:
            continue
        spec = FAMILIES[name]()
        kinds = dict.fromkeys(block_text(stage.block or spec.block) for stage in spec.stages)
        rows.append(
            {
                "family": name,
                "block": " ".join(kinds),
                "depths": [stage.depth for stage in spec.stages],
                "shortcut": spec.shortcut.kind,
                "attention": spec.attention.kind,
                "input": spec.input.text,
                "classes": spec.head.classes,
            }
        )
    if json:
        write_json(rows)
        return
    cells = [
        (
            str(row["family"]),
            str(row["block"]),
            "-".join(map(str, row["depths"])),  # type: ignore[call-overload]
            str(row["shortcut"]),
            str(row["attention"]) if row["attention"] != "none" else "–",
            str(row["input"]),
            str(row["classes"]),
        )
        for row in rows
    ]
    head = ("family", "block", "depths", "shortcut", "attention", "input", "classes")
    write([Table("", tuple(word(f"head.{name}", tongue) for name in head), cells)])


def _natural(name: str) -> list[tuple[int, str]]:
    """resnet18 before resnet101."""
    import re

    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
