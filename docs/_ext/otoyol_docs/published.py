"""Figures that others published: those of :mod:`otoyol.explain.evidence` and, beside them, published.toml."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from otoyol.explain.evidence import EVIDENCE
from otoyol.explain.text import number, say
from otoyol_docs.markdown import table


@cache
def others() -> dict[str, dict[str, Any]]:
    return tomllib.loads((Path(__file__).parent / "published.toml").read_text(encoding="utf-8"))


def published(path: str) -> float:
    """The figure ``row.name``. Raises KeyError where there is none."""
    row, _, name = path.partition(".")
    return EVIDENCE[row][0][name] if row in EVIDENCE else others()[row][name]


def rows(lang: str) -> str:
    """All of them, with where each was printed."""
    lines = [
        (say(f"evidence.{row}", lang, **figures), "; ".join(say(f"source.{source}", lang) for source in sources))
        for row, (figures, sources) in EVIDENCE.items()
    ]
    for row in others().values():
        figures = ", ".join(
            f"{name.replace('_', '-')} {number(value, lang, '.2f')}"
            for name, value in row.items()
            if name not in ("source", "what")
        )
        lines.append((f"{row['what']}: {figures}", row["source"]))
    return table(("published", "in"), lines)
