"""An answer before it has a language: keys of sentences and the facts they ask for."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from otoyol.explain.text import number, say


class Line(NamedTuple):
    """A sentence of the catalogue and its facts."""

    key: str
    facts: dict[str, Any] = {}  # noqa: RUF012 (never written to)


class Cell(NamedTuple):
    """A number in a table; ``spec`` as in a catalogue placeholder. None shows as a dash."""

    value: float | None
    spec: str = ""


@dataclass(frozen=True)
class Telling:
    """``facts`` is plain data with units in its names; ``header`` holds keys, ``rows`` cells, lines or plain text;
    ``sources`` keys of the table ``source``. ``keys`` name what each row is of in every design, where its first cell
    says more than that."""

    question: str
    headline: Line
    paragraphs: tuple[Line, ...]
    facts: dict[str, Any]
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell | Line | str, ...], ...]
    sources: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Answer:
    """A question answered for one design in one language. ``facts`` does not depend on the language."""

    question: str
    lang: str
    title: str
    headline: str
    paragraphs: tuple[str, ...]
    table: Table
    sources: tuple[str, ...]
    facts: dict[str, Any] = field(default_factory=dict)

    def to_mapping(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)

    def text(self) -> str:
        """Headline and paragraphs as plain text."""
        return "\n\n".join((self.headline, *self.paragraphs))


def tell(telling: Telling, lang: str) -> Answer:
    """The answer in ``lang``."""
    return Answer(
        question=telling.question,
        lang=lang,
        title=say(f"why.{telling.question}.title", lang),
        headline=_line(telling.headline, lang),
        paragraphs=tuple(_line(line, lang) for line in telling.paragraphs),
        table=Table(
            say(telling.caption, lang),
            tuple(say(key, lang) for key in telling.header),
            tuple(tuple(_cell(cell, lang) for cell in row) for row in telling.rows),
        ),
        sources=tuple(say(f"source.{key}", lang) for key in telling.sources),
        facts=telling.facts,
    )


def _line(line: Line, lang: str) -> str:
    """Facts that are lines themselves (words that depend on the language) are said first."""
    facts = {name: _line(fact, lang) if isinstance(fact, Line) else fact for name, fact in line.facts.items()}
    return say(line.key, lang, **facts)


def _cell(cell: Cell | Line | str, lang: str) -> str:
    if isinstance(cell, Line):
        return _line(cell, lang)
    if isinstance(cell, Cell):
        return "–" if cell.value is None else number(cell.value, lang, cell.spec)
    return cell
