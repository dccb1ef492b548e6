"""The catalogue: sentences by key, one TOML file a language, and numbers as each language writes them.

A file laid beside the others is one more language: nothing else names them.

Catalogues hold the same keys and the same placeholders. A placeholder is a Python format field whose numbers are
localised: ``{n}`` 1,179,648 (tr 1.179.648) · ``{n:d}`` 2048, ungrouped · ``{x:.1f}`` 16.9 (tr 16,9) ·
``{share:.1%}`` 5.3% (tr %5,3) · ``{macs:si}`` 4.09 G · ``{n:bytes}`` 21.2 MiB · ``{n:# block|# blocks}`` the first
form where n is 1, # being the number. Lists are joined with commas.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any, NamedTuple

from otoyol.errors import SpecError

LANGUAGES = tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.toml")))
_SI = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_BYTES = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


class Locale(NamedTuple):
    """What a language calls itself, and how it writes numbers: the table ``[locale]`` of its catalogue."""

    name: str
    group: str
    point: str
    percent: str


def language_of(tag: str) -> str:
    """The language that a tag such as ``en-GB`` or ``tr_TR.UTF-8`` begins with; English where there is none."""
    first = re.split("[^a-z]", tag.lower(), maxsplit=1)[0]
    return first if first in LANGUAGES else "en"


def say(key: str, lang: str = "en", /, **facts: Any) -> str:
    """The sentence ``key`` (``table.name``) in ``lang`` with its facts. Raises SpecError for an unknown language."""
    sentence = chapter(lang, key.partition(".")[0])[key]
    return _Localised(locale(lang)).vformat(sentence, (), facts) if facts or "{" in sentence else sentence


@cache
def catalogue(lang: str) -> Mapping[str, str]:
    """Every sentence of a language by its dotted key."""
    return dict(_flat(tomllib.loads(_text(lang)), ""))


@cache
def chapter(lang: str, name: str) -> Mapping[str, str]:
    """The sentences whose keys begin with ``name``: a command reads its own words and not the whole catalogue."""
    return dict(_flat(tomllib.loads(_own(lang, name)), ""))


@cache
def locale(lang: str) -> Locale:
    """How ``lang`` writes numbers. Raises SpecError for an unknown language."""
    return Locale(**tomllib.loads(_own(lang, "locale"))["locale"])


def _own(lang: str, name: str) -> str:
    """The text of the tables ``[name]`` and ``[name.…]``."""
    return "".join(table for table in _tables(lang) if re.match(rf"\[{re.escape(name)}[.\]]", table))


@cache
def _tables(lang: str) -> tuple[str, ...]:
    return tuple(re.split(r"^(?=\[)", _text(lang), flags=re.MULTILINE))


@cache
def _text(lang: str) -> str:
    if lang not in LANGUAGES:
        raise SpecError("lang", lang, " or ".join(LANGUAGES))
    return Path(__file__).with_name(f"{lang}.toml").read_text(encoding="utf-8")


def _flat(table: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in table.items():
        if isinstance(value, str):
            yield prefix + name, " ".join(value.split())
        else:
            yield from _flat(value, f"{prefix}{name}.")


def placeholders(sentence: str) -> set[str]:
    """Names of the facts that a sentence asks for."""
    return {name for _, name, _, _ in Formatter().parse(sentence) if name}


def number(value: float, lang: str = "en", spec: str = "") -> str:
    """A number as ``lang`` writes it; ``spec`` as in a placeholder."""
    return _Localised(locale(lang)).format_field(value, spec)


class _Localised(Formatter):
    def __init__(self, locale: Locale) -> None:
        self.locale = locale

    def format_field(self, value: Any, format_spec: str) -> str:
        if isinstance(value, bool | str):
            return str(value)
        if isinstance(value, Sequence):
            return ", ".join(self.format_field(item, format_spec) for item in value)
        if "|" in format_spec:
            one, many = format_spec.split("|")
            return (one if value == 1 else many).replace("#", self._swap(f"{value:,}"))
        if format_spec == "si":
            return self._scaled(value, _SI)
        if format_spec == "bytes":
            return self._scaled(value, _BYTES) if value >= 1 << 10 else f"{value} B"
        if format_spec.endswith("%"):
            return self.locale.percent.format(self._swap(f"{value:,{format_spec}}".rstrip("%")))
        if format_spec == "d":
            return f"{value:d}"
        return self._swap(f"{value:,{format_spec or ('d' if isinstance(value, int) else '.3g')}}")

    def _scaled(self, value: float, units: tuple[tuple[float, str], ...]) -> str:
        """Three significant digits and a unit."""
        for size, unit in units:
            if abs(value) >= size * 0.9995:
                scaled = value / size
                digits = max(0, 3 - len(str(round(abs(scaled)))))
                return f"{self._swap(f'{scaled:,.{digits}f}')} {unit}"
        return self._swap(f"{value:,}")

    def _swap(self, text: str) -> str:
        return text.translate(str.maketrans(",.", self.locale.group + self.locale.point))
