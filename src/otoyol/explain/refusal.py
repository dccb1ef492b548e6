"""Refusals in the reader's language.

Code refuses in English, by :class:`otoyol.errors.SpecError`. Here an English phrase is found among the catalogue's, its
placeholders are read back, and the same key is said in the other language. What no template fits stays English.
"""

from __future__ import annotations

import re
from functools import cache
from string import Formatter
from typing import NamedTuple

from otoyol.errors import SpecError, shown
from otoyol.explain.text import chapter

# What a placeholder stands for, by its name without digits. A text may hold a phrase of its own.
_KINDS = {"n": r"[-+\d.,/e]+", "word": r"[^\s,]+", "words": r"[^\s,]+(?:, [^\s,]+)*", "text": r".+"}
_FRAME = re.compile(r"(?P<field>\S+): got (?P<given>.+?); allowed: (?P<allowed>.+)")


class Refusal(NamedTuple):
    """A SpecError in words; ``message`` is all of them as one sentence."""

    field: str
    given: str
    allowed: str
    message: str


def refusal(error: SpecError, lang: str) -> Refusal:
    """The error in ``lang``."""
    given, allowed = shown(error.given), error.allowed
    given, allowed = _again(given, lang, "given") or given, _again(allowed, lang, "phrase") or allowed
    return Refusal(error.field, given, allowed, sentence(str(error), lang))


def sentence(text: str, lang: str) -> str:
    """A SpecError's message, or a phrase of the catalogue, in ``lang``: the whole of it, or nothing of it."""
    if lang == "en" or not (found := _FRAME.fullmatch(text)):
        return _again(text, lang, "phrase") or text
    allowed = _again(found["allowed"], lang, "phrase")
    if allowed is None:
        return text
    given = _again(found["given"], lang, "given") or found["given"]
    return chapter(lang, "refusal")["refusal.frame"].format(field=found["field"], given=given, allowed=allowed)


def _again(text: str, lang: str, table: str) -> str | None:
    """An English phrase of ``[refusal.TABLE]`` in ``lang``, None where it is none."""
    for key, pattern in _patterns(table) if lang != "en" else ():
        if found := pattern.fullmatch(text):
            facts = found.groupdict()
            inner = {name: sentence(value, lang) for name, value in facts.items() if name.startswith("text")}
            return chapter(lang, "refusal")[key].format(**facts | inner)
    return None


@cache
def _patterns(table: str) -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Keys and what their English sentences match, those with most words of their own first."""
    found = []
    for key, template in chapter("en", "refusal").items():
        if key.startswith(f"refusal.{table}."):
            pieces = list(Formatter().parse(template))
            pattern = "".join(
                re.escape(literal) + (f"(?P<{name}>{_KINDS[name.rstrip('0123456789')]})" if name else "")
                for literal, name, _, _ in pieces
            )
            found.append((sum(len(literal) for literal, *_ in pieces), key, re.compile(pattern)))
    return tuple((key, pattern) for _, key, pattern in sorted(found, key=lambda row: -row[0]))
