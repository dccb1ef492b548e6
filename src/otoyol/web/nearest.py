"""The nearest valid designs to one that cannot be: what a change of one field, or giving it back, can mend."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from fractions import Fraction
from math import log
from typing import Any, Literal, NamedTuple, get_args, get_origin

from otoyol.errors import SpecError
from otoyol.spec import FAMILIES, Spec, Stage, family, to_text
from otoyol.spec.blocks import BLOCKS, Block
from otoyol.spec.parts import STEMS, Part, Stem
from otoyol.spec.text import CLEAR, COLUMNS, MAX_TEXT, edit, leaves, pairs
from otoyol.web.shown import check_shown

OFFERS = 3
# What one question may cost: so many values are tried of the field that the refusal names, of each other one, and of
# each where two fields are wrong, which no change of one will mend but by chance.
MOST, OTHERS, FEW = 200, 64, 16
FIELDS = 8
CHOICE = log(2)  # how far one word is from another where there is no order
BACK = log(3)  # and the family's own value, where nothing nearer will do
STEPS = (1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 32, 48, 64)
GRAINS = (2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
LIMITS = (0, 1, 4, 16, 24, 31, 64, 1_024, 4_096, 16_384, 65_536, 1_000_000)
DIGITS = 18  # of a whole number, as many as the text form reads
MAX_NAME = 64  # of a family, for names that are compared with it
RATES = ("0.0", "0.1", "0.2", "0.5", "0.9", "1.0")
KIN = ("groups", "group_width", "expansion", "widths", "depths", "strides", "dilations", "shortcut", "norm.groups")

Candidate = tuple[float, str]  # how far, and the word


class Offer(NamedTuple):
    """A valid design one field away from what was asked: ``field`` was ``given`` and is ``word``, in words of the text
    form. ``word`` is empty where no such field exists."""

    spec: str
    field: str
    given: str
    word: str


def nearest(text: str, most: int = OFFERS) -> tuple[Offer, ...]:
    """Valid designs that differ in one field from the impossible one that ``text`` asks for: the nearest of the field
    that the refusal names, then the nearest of others.

    How far a value is goes by the ratio of numbers; a word without an order is as far as half or double. Empty where
    ``text`` is valid, where it cannot be read, or where no single field mends it. For an unknown family those are
    offered whose names are most like it.
    """
    base, at, rest = text[:MAX_TEXT].partition("@")
    try:
        asked = pairs(rest) if at else {}
    except SpecError:
        return ()
    try:
        start = family(base)
    except SpecError:
        return _families(base, asked, most)
    refusal = _try(start, asked)
    if isinstance(refusal, Spec):
        return ()
    own = leaves(start)
    words = own | asked
    found: list[tuple[bool, float, Offer]] = []
    suspects = _suspects(refusal.field, words, asked)
    fields = suspects[:FIELDS]
    asked_for = [field for field in suspects if field in asked][: 2 * FIELDS]
    one = any(isinstance(_try(start, _without(asked, field)), Spec) for field in asked_for)  # is wrong, and no more
    for field in fields:
        tries = (MOST if field == fields[0] else OTHERS) if one else FEW
        if (mended := _mend(start, asked, field, own.get(field), words[field], tries)) is not None:
            distance, word, spec = mended
            found.append((field != fields[0], distance, Offer(to_text(spec), field, words[field], word)))
    found.sort(key=lambda item: item[:2])
    return tuple(offer for _, _, offer in found)[:most]


def _families(name: str, asked: dict[str, str], most: int) -> tuple[Offer, ...]:
    """Families called much like ``name`` in which what is asked can be built."""
    found = []
    for near in get_close_matches(name[:MAX_NAME], FAMILIES, n=most):
        if isinstance(spec := _try(family(near), asked), Spec):
            found.append(Offer(to_text(spec), "family", name, near))
    return tuple(found)


def _without(asked: Mapping[str, str], field: str) -> dict[str, str]:
    return {key: value for key, value in asked.items() if key != field}


def _try(start: Spec, edits: Mapping[str, str]) -> Spec | SpecError:
    try:
        return check_shown(edit(start, edits))
    except SpecError as error:
        return error


def _mend(
    start: Spec, asked: dict[str, str], field: str, own: str | None, word: str, tries: int
) -> tuple[float, str, Spec] | None:  # fmt: skip
    """The nearest of the ``tries`` values of one field next to ``word`` that makes the design valid, the family's own
    besides."""
    candidates = sorted(_values(field, word))[:tries]
    if field in asked:
        candidates.append((BACK, ""))
    for distance, new in sorted(candidates):
        edits = _without(asked, field) | ({field: new} if new else {})
        spec = _try(start, edits)
        if isinstance(spec, Spec):
            return distance, new or own or "", spec
    return None


def _suspects(named: str, words: Mapping[str, str], asked: Mapping[str, str]) -> list[str]:
    """Fields that may be changed: the one that the refusal names, those asked for, the last said first, and those that
    have to go together with others."""
    inside = re.fullmatch(r"stage\d+\.(.+)", named)
    own = inside[1] if inside else named
    columns = {singular: plural for plural, singular in COLUMNS.items()}
    order = (named, columns.get(own, own), own.partition(".")[0], re.sub(r"\[\d+\]", "", own), *list(asked)[::-1], *KIN)
    return [field for field in dict.fromkeys(order) if field in words]


def _values(field: str, word: str) -> Iterator[Candidate]:
    """Other values of a field, each with its distance from ``word``."""
    for choice in _choices(field):
        if choice != word:
            yield CHOICE, choice
    entries = re.split(r"([-x])", word)
    if all(entry.isdecimal() and len(entry) <= DIGITS for entry in entries[::2]) and len(word) <= 400:
        yield from _numbers(entries)
    elif re.fullmatch(r"\d{1,6}(/\d{1,6}|\.\d{1,6})?", word) and field.endswith("expansion"):
        yield from _ratios(Fraction(word))
    elif re.fullmatch(r"-?\d{1,9}\.\d{0,9}", word):
        yield from ((abs(float(rate) - float(word)), rate) for rate in RATES)
    if field.endswith("expansion") and word.isdecimal() and 0 < int(word) < 1_000:
        yield from _ratios(Fraction(word))


def _numbers(entries: list[str]) -> Iterator[Candidate]:
    """One of the whole numbers changed, or all of them brought to a grain. Every other entry is what joins them."""
    values = [int(entry) for entry in entries[::2]]

    def told(new: list[int]) -> Candidate:
        far = sum(abs(log((b + 1) / (a + 1))) for a, b in zip(values, new, strict=True))
        joined = list(entries)
        joined[::2] = map(str, new)
        return far, "".join(joined)

    for i, value in enumerate(values):
        near = {value + sign * step for step in STEPS for sign in (1, -1)}
        near |= {grain * round(value / grain) for grain in GRAINS} | {limit for limit in LIMITS if limit < value}
        yield from (told([*values[:i], new, *values[i + 1 :]]) for new in near if new >= 0 and new != value)
    for grain in GRAINS:
        grained = [max(1, round(value / grain)) * grain for value in values]
        if grained != values:
            yield told(grained)


def _ratios(value: Fraction) -> Iterator[Candidate]:
    for bottom in (1, 2, 4, 8, 16):
        middle = round(value * bottom)
        for top in range(max(1, middle - 4), middle + 5):
            new = Fraction(top, bottom)
            if new != value and value > 0:
                yield abs(log(new / value)), str(new)


def _choices(field: str) -> tuple[str, ...]:
    """The words that a field may be, where they can be listed; and how it is cleared."""
    inside = re.fullmatch(r"stage\d+\.(.+)", field)
    model: Any = Stage if inside else Spec
    name, _, leaf = (inside[1] if inside else field).partition(".")
    if name not in model.model_fields:
        return ()
    annotation = model.model_fields[name].annotation
    parts = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
    part = next((kind for kind in parts if issubclass(kind, Part)), None)
    if part is Stem and not leaf:
        return tuple(STEMS)
    if part is not None:
        inner = part.model_fields.get(leaf or part.PRIMARY)
        annotation = inner.annotation if inner else None
    elif Block in parts:
        return tuple(BLOCKS)
    words = tuple(_literals(annotation))
    return (*words, CLEAR) if type(None) in get_args(annotation) else words


def _literals(annotation: Any) -> Iterator[str]:
    if annotation is bool:
        yield from ("true", "false")
    elif get_origin(annotation) is Literal:
        yield from map(str, get_args(annotation))
    else:
        for inner in get_args(annotation):
            yield from _literals(inner)
