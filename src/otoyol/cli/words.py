"""Which language to speak, and the command line's words in it: the ``[cli]`` tables of the catalogue."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from otoyol.explain.text import language_of, number, say

ENVIRONMENT = ("OTOYOL_LANG", "LC_ALL", "LC_MESSAGES", "LANG")


def language(chosen: str | None = None, environment: Mapping[str, str] = os.environ) -> str:
    """``chosen``, or the language of the first variable of :data:`ENVIRONMENT` that is set."""
    if chosen:
        return chosen
    first = next((environment[name] for name in ENVIRONMENT if environment.get(name)), "en")
    return language_of(first)


def word(key: str, lang: str, **facts: Any) -> str:
    """The word or sentence ``cli.<key>``."""
    return say(f"cli.{key}", lang, **facts)


def signed(value: float, lang: str, spec: str = "") -> str:
    """A difference with its sign before it, as :func:`number` writes it."""
    return ("-" if value < 0 else "+") + number(abs(value), lang, spec)


__all__ = ["ENVIRONMENT", "language", "number", "signed", "word"]
