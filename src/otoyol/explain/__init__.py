"""Answers to the questions that a residual backbone raises, with the figures of the design at hand.

``why(question, spec, lang)`` answers one, ``why_all(spec, lang)`` all five, ``audit(spec, lang)`` puts the highway
audit into words. Facts are computed without words; sentences come from one catalogue a language
(:mod:`otoyol.explain.text`), which the command line, the report and the diagrams use too.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from otoyol.errors import SpecError
from otoyol.explain.text import LANGUAGES, number, say

if TYPE_CHECKING:
    from otoyol.explain.telling import Answer, Table, Telling
    from otoyol.spec import Spec

QUESTIONS = ("bottleneck", "expansion", "preact", "projection", "attention")
ANSWERED = (*QUESTIONS, "highway")  # each by the module of its name


def why(question: str, spec: Spec, lang: str = "en") -> Answer:
    """Answer ``bottleneck``, ``expansion``, ``preact``, ``projection``, ``attention`` or ``highway`` for ``spec``.

    Totals are for one image in float32. Where the design has none of the thing asked about, the answer counts what
    it would cost. Raises SpecError for an unknown question or language.
    """
    if lang not in LANGUAGES:
        raise SpecError("lang", lang, " or ".join(LANGUAGES))
    # Imported when asked: the catalogue alone must stay quick to import.
    from otoyol.explain.telling import tell

    return tell(untold(question, spec), lang)


def untold(question: str, spec: Spec) -> Telling:
    """The answer that :func:`why` puts into words, before it has a language: its table holds numbers. Raises SpecError
    for an unknown question."""
    if question not in ANSWERED:
        raise SpecError("question", question, ", ".join(ANSWERED))
    found: Telling = importlib.import_module(f"otoyol.explain.{question}").answer(spec)
    return found


def why_all(spec: Spec, lang: str = "en") -> tuple[Answer, ...]:
    """The five questions in order."""
    return tuple(why(question, spec, lang) for question in QUESTIONS)


def audit(spec: Spec, lang: str = "en") -> Answer:
    """The highway audit in words; its facts are :func:`otoyol.audit.highway` as plain data."""
    return why("highway", spec, lang)


def __getattr__(name: str) -> Any:
    if name in ("Answer", "Table"):
        return getattr(importlib.import_module("otoyol.explain.telling"), name)
    raise AttributeError(f"module 'otoyol.explain' has no attribute {name!r}")


__all__ = ["LANGUAGES", "QUESTIONS", "Answer", "Table", "audit", "number", "say", "why", "why_all"]
