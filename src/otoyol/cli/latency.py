"""Latency tables as the command line is given them: read, refused where they were made elsewhere, chosen by words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otoyol.cli.words import number, word
from otoyol.errors import SpecError
from otoyol.explain.refusal import sentence

if TYPE_CHECKING:
    from otoyol.measure import Latency, Scorer, Table

LATENCY = "latency_ms"
TOLD = 3  # warnings


class Tables:
    """The tables of ``paths``, by their settings in words (``ort,b1,t2``). Raises SpecError where one is damaged, was
    made on another machine, or has the settings of another."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths: dict[str, Path] = {}
        self._tables: dict[str, Table] = {}
        self._scorers: dict[str, Scorer] = {}
        for path in paths:
            self._read(path)

    def _read(self, path: Path) -> None:
        from otoyol.measure import check_fingerprint, here_like, load_table, where_of

        table = load_table(path)
        check_fingerprint(table.fingerprint, here_like(table.fingerprint))
        where = where_of(table.fingerprint)
        if where in self._paths:
            raise SpecError("table", f"{self._paths[where]} and {path}, both of {where}", "one table of each setting")
        self._paths[where], self._tables[where] = path, table

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def where(self, words: str = "") -> str:
        """The settings of the only table that the words fit. Raises SpecError."""
        from otoyol.measure import select, where_of

        made = {str(self._paths[where]): table.fingerprint for where, table in self._tables.items()}
        return where_of(made[select(made, words)])

    def scorer(self, where: str) -> Scorer:
        """The scorer over a table, fitted when it is first asked for."""
        from otoyol.measure import RULES, Predictor, Scorer

        if where not in self._scorers:
            table = self._tables[where]
            self._scorers[where] = Scorer(Predictor(table, RULES[table.fingerprint["engine"]]))
        return self._scorers[where]

    def notes(self, lang: str) -> list[str]:
        """A sentence for every table whose measuring was interrupted."""
        return [
            word("note.unfinished", lang, path=str(self._paths[where]))
            for where, table in self._tables.items()
            if not table.finished
        ]


def latency_facts(latency: Latency) -> dict[str, Any]:
    return {**latency._asdict(), "warnings": list(latency.warnings)}


def milliseconds(value: float, lang: str) -> str:
    """Three figures, and whole ones from 100."""
    return number(value, lang, ".3g" if value < 100 else ".0f")


def interval(told: dict[str, Any], lang: str) -> str:
    """``29.9 (27–35)``, with a star where it lies outside of what was measured."""
    middle, low, high = (milliseconds(told[key], lang) for key in _BOUNDS)
    return f"{middle} ({low}–{high})" + " *" * bool(told["warnings"])


_BOUNDS = ("ms", "low_ms", "high_ms")


def extrapolations(designs: Mapping[str, dict[str, Any]], lang: str) -> list[str]:
    """A sentence for every table outside of which some of the designs lie; ``--json`` has each design's warnings.
    ``designs`` are facts by the names that the page gives them."""
    sentences = []
    for where in next(iter(designs.values())).get("latency", ()):
        beyond = {name: row["latency"][where]["warnings"] for name, row in designs.items()}
        beyond = {name: warnings for name, warnings in beyond.items() if warnings}
        if beyond:
            what = [sentence(text, lang) for text in dict.fromkeys(text for texts in beyond.values() for text in texts)]
            told = "; ".join(what[:TOLD]) + "; …" * (len(what) > TOLD)
            sentences.append(word("note.extrapolated", lang, where=where, designs=", ".join(beyond), what=told))
    return ["\n".join(sentences)] if sentences else []
