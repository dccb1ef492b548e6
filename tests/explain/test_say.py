"""Numbers as each language writes them."""

from __future__ import annotations

import pytest

import otoyol
from otoyol.errors import SpecError
from otoyol.explain import number, say
from otoyol.explain.text import language_of


@pytest.mark.parametrize(
    ("value", "spec", "english", "turkish"),
    [
        (1179648, "", "1,179,648", "1.179.648"),
        (2048, "d", "2048", "2048"),
        (16.94, ".1f", "16.9", "16,9"),
        (0.0532, ".1%", "5.3%", "%5,3"),
        (12.5, ".0%", "1,250%", "%1.250"),
        (4089184256, "si", "4.09 G", "4,09 G"),
        (25557032, "si", "25.6 M", "25,6 M"),
        (217_620_480, "si", "218 M", "218 M"),
        (999_600, "si", "1.00 M", "1,00 M"),
        (950, "si", "950", "950"),
        (0, "si", "0", "0"),
        (22_222_222, "bytes", "21.2 MiB", "21,2 MiB"),
        (512, "bytes", "512 B", "512 B"),
        (1536, "bytes", "1.50 KiB", "1,50 KiB"),
        (1, "# block|# blocks", "1 block", "1 block"),
        (1200, "# block|# blocks", "1,200 blocks", "1.200 blocks"),
        (-3072, "", "-3,072", "-3.072"),
    ],
)
def test_numbers(value: float, spec: str, english: str, turkish: str) -> None:
    assert number(value, "en", spec) == english
    assert number(value, "tr", spec) == turkish


def test_the_issues_example_in_both_languages() -> None:
    # Two 3×3 at 256 channels: 2 · 9 · 256² = 1,179,648. 256→64→64→256: 256·64 + 9·64² + 64·256 = 69,632. 16.94 times.
    english = otoyol.explain.why("bottleneck", otoyol.parse("resnet50")).headline
    turkish = otoyol.explain.why("bottleneck", otoyol.parse("resnet50"), "tr").headline
    assert all(figure in english for figure in ("1,179,648", "69,632", "16.9", "256→64→64→256"))
    assert all(figure in turkish for figure in ("1.179.648", "69.632", "16,9", "256→64→64→256"))


@pytest.mark.parametrize(
    ("tag", "lang"),
    [("tr-TR,tr;q=0.9,en;q=0.8", "tr"), ("tr_TR.UTF-8", "tr"), ("TR", "tr"), ("en-GB", "en"), ("C", "en"), ("", "en"),
     ("de-DE,tr;q=0.5", "en"), ("trv-TW", "en")],
)  # fmt: skip
def test_tags_of_browsers_and_systems(tag: str, lang: str) -> None:
    assert language_of(tag) == lang


def test_unknown_languages_and_questions_are_refused_in_one_sentence() -> None:
    spec = otoyol.parse("resnet18")
    with pytest.raises(SpecError, match=r"lang: got de; allowed: en or tr"):
        say("word.yes", "de")
    with pytest.raises(SpecError, match=r"lang: got de"):
        otoyol.explain.why("preact", spec, "de")
    with pytest.raises(SpecError, match=r"question: got why; allowed: bottleneck, expansion"):
        otoyol.explain.why("why", spec)
