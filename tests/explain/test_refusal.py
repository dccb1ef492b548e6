"""Refusals in Turkish: every phrase that a design can be refused with is known, and says the same numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

import otoyol
from otoyol.errors import SpecError
from otoyol.explain.refusal import refusal, sentence
from otoyol.explain.text import catalogue
from otoyol.search.budget import parse_budget
from otoyol.search.match import match
from otoyol.search.space import space_from
from otoyol.spec.text import leaves

WRONG = ("none", "0", "-1", "1", "2", "3", "7", "99", "100000", "1/3", "0.3", "2.0", "nonsense", "true", "3-4",
         "0-0-0-0", "1-1-1-1", "D", "A", "tanh", "///", "conv2//", "/conv3.norm/", "conv3/conv3/", "/dw3/", "/tok/",
         "3x0x3", "x", "/conv3/conv3", "-".join("1" * 40), "9000-9000-9000-9000",
         "/" + "norm." * 30 + "conv3/")  # fmt: skip
TEXTS = (
    "", "resnet51", "resnet50@", "resnet50@act", "resnet50@act=relu,act=gelu", "resnet50 x", "a" * 5000,
    "resnet50@stage9.act=relu", "resnet50@depths=3-4-6-3-2", "resnet50@stem.kernels=3-3", "resnet50@input.sides=3",
    "resnet50@groups=2,group_width=4", "resnet50@norm=group,norm.groups=7", "resnet50@shortcut=D,strides=1-3-2-2",
    "resnet50@shortcut=A,widths=512-64-64-64", "resnet50@dilations=1-2-1-1", "resnet50@expansion=64,widths=60000-8-8-8",
    "resnet50@head.pool=none", "resnet18@attention=se,attention.place=24", "resnet50@group_width=7",
)  # fmt: skip


def refused() -> Iterator[SpecError]:
    for base in ("resnet50@stage2.attention=se,stage2.act=gelu", "custom@depths=2,widths=64,norm=group"):
        at = "," if "@" in base else "@"
        for key in (
            *leaves(otoyol.parse(base)),
            "family",
            "stages",
            "stage1.depth",
            "stage2.norm.kind",
            "stem",
            "taps",
        ):
            for word in WRONG:
                try:
                    otoyol.parse(f"{base}{at}{key}={word}")
                except SpecError as error:
                    yield error
    for text in TEXTS:
        with pytest.raises(SpecError) as caught:
            otoyol.parse(text)
        yield caught.value


def test_everything_a_design_is_refused_with_is_said_in_turkish() -> None:
    phrases = {error.allowed: error for error in refused()}
    assert len(phrases) > 60
    untold = []
    for allowed, error in phrases.items():
        told = refusal(error, "tr")
        plain = re.fullmatch(r"[\w.=-]+(, [\w.=-]+)*( or [\w.=-]+)?", allowed)  # a list of words of the text form
        if told.message == str(error) or (told.allowed == allowed and not plain):
            untold.append(allowed)
        assert sorted(re.findall(r"\d+", told.allowed)) == sorted(re.findall(r"\d+", allowed)), allowed
        assert told.field == error.field and "izin verilen" in told.message
        assert refusal(error, "en").message == str(error)
    assert untold == []


def test_a_refusal_in_turkish_by_hand() -> None:
    with pytest.raises(SpecError) as caught:
        otoyol.parse("resnet50@groups=3")
    told = refusal(caught.value, "tr")
    assert told.allowed == "conv3 parçasındaki 64 kanalın bir böleni"
    assert told.message == f"stage1.groups: verilen 3; izin verilen: {told.allowed}"
    assert sentence("no phrase of ours", "tr") == "no phrase of ours"
    assert sentence("x: got 3; allowed: whatever it likes", "tr") == "x: got 3; allowed: whatever it likes"


SPACE = {"base": "resnet50", "depths": {"low": 1, "high": 4}}
SPACES = (
    {**SPACE, "choices": {"act": []}}, {**SPACE, "choices": {"depths": ["1-1-1-1"]}},
    {**SPACE, "depths": [{"low": 1, "high": 2}]}, {**SPACE, "depths": {"low": 3, "high": 1}}, {**SPACE, "x": 1},
    {**SPACE, "without": [{"act": "relu"}], "choices": {"groups": ["1", "2"]}}, "text",
)  # fmt: skip


@pytest.mark.parametrize("fields", SPACES, ids=range(len(SPACES)))
def test_a_space_is_refused_in_turkish(fields: object) -> None:
    with pytest.raises(SpecError) as caught:
        space_from(fields)
    assert refusal(caught.value, "tr").message != str(caught.value)


@pytest.mark.parametrize("text", ["macs", "size<=3", "macs<=1@ort"])
def test_a_budget_is_refused_in_turkish(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_budget(text)
    assert refusal(caught.value, "tr").message != str(caught.value)


@pytest.mark.parametrize(
    ("vary", "edits"),
    [
        ("widths", {"depths": "300-300-300-300"}),
        ("depths", {"widths": "8-8-8-8"}),
        ("depths", {"widths": "72-144-288-576"}),
    ],
)
def test_why_nothing_matches_is_said_in_turkish(vary: str, edits: dict[str, str]) -> None:
    found = match(otoyol.parse("resnet18"), edits, equal="macs", vary=vary, multiple=512 if vary == "widths" else 8)  # type: ignore[arg-type]
    assert found.reason
    told = sentence(found.reason, "tr")
    assert told != found.reason and ("derinlik" in told or "genişlik" in told)


def test_no_phrase_reads_as_english() -> None:
    english = re.compile(r"\b(the|of|and|with|is|are|not|from|which|at most|or|each|one)\b")
    for key, text in catalogue("tr").items():
        if key.startswith("refusal."):
            assert not english.search(text), key
