"""Pages in two languages: the same sections, commands, code, drawings and figures."""

from __future__ import annotations

import re

import pytest
from _pages import fences, headings, read

PAGES = ("docs/tutorial.md", "docs/tr/ogretici.md")
PRE_OR_POST = ("docs/pre_or_post.md", "docs/tr/once_mi_sonra_mi.md")


def test_same_sections_zero_to_eleven():
    for page in PAGES:
        text = read(page)
        assert re.findall(r"^## (\d+)\. ", text, flags=re.M) == [str(number) for number in range(12)]
    assert headings(read(PAGES[0])) == headings(read(PAGES[1]))


def test_same_commands_code_and_drawings():
    english, turkish = (fences(read(page)) for page in PAGES)
    assert [fence.info for fence in english] == [fence.info.replace(" --lang tr", "") for fence in turkish]
    assert {fence.info.split()[0] for fence in english} >= {"{otoyol}", "{run}", "{draw}", "{generated}"}
    for one, other in zip(english, turkish, strict=True):
        if one.info.startswith("{draw}"):
            options = [re.findall(r"^:.*$", fence.body, flags=re.M) for fence in (one, other)]
            assert options[0] == options[1]
        else:
            assert one.body == other.body


def test_turkish_commands_ask_for_turkish():
    asked = [fence.info for fence in fences(read(PAGES[1])) if fence.info.startswith("{otoyol}")]
    assert asked and all(info.endswith(" --lang tr") for info in asked)


def test_same_figures():
    english, turkish = (sorted(re.findall(r"\{n\}`([^`]+)`", read(page))) for page in PAGES)
    assert english == turkish
    assert len(english) > 50


def test_no_figure_above_a_thousand_is_typed_by_hand():
    for page in (*PAGES, *PRE_OR_POST):
        prose = re.sub(r"^```.*?^```$|`[^`]*`|https?://\S+|arXiv \S+", "", read(page), flags=re.M | re.S)
        assert re.findall(r"\b\d{1,3}(?:[.,]\d{3})+\b", prose) == [], page


def test_pre_or_post_has_the_same_sections_pictures_and_records():
    english, turkish = map(read, PRE_OR_POST)
    assert headings(english) == headings(turkish)
    infos = [[fence.info.replace("} ../", "} ") for fence in fences(text)] for text in (english, turkish)]
    assert infos[0] == infos[1]
    assert {info.split()[0] for info in infos[0]} == {"{generated}", "{image}"}
    alts = [[fence.body for fence in fences(text) if fence.info.startswith("{image}")] for text in (english, turkish)]
    assert not set(alts[0]) & set(alts[1]) and all(alt.startswith(":alt: ") for alt in alts[1])


@pytest.mark.parametrize("pages", [PAGES, PRE_OR_POST])
def test_twins_and_the_index_link_to_each_other(pages):
    english, turkish = (page.removeprefix("docs/") for page in pages)
    assert f"[Türkçesi]({turkish})" in read(pages[0])
    assert f"[English](../{english})" in read(pages[1])
    index = read("docs/index.md")
    for page in (english, turkish):
        assert f"]({page})" in index and f"\n{page.removesuffix('.md')}\n" in index


@pytest.mark.parametrize("part", ["setting", "pairs", "designs", "memory"])
def test_the_record_says_the_same_figures_in_both_languages(part):
    """Digits alone: 1,234.5 is 1.234,5 in Turkish, and 20% is %20; an order of words may differ."""
    from otoyol_docs.experiment import pre_or_post

    def figures(text):
        return sorted(re.sub(r"[.,]", "", found) for found in re.findall(r"\d[\d.,]*", text.replace("1/", "")))

    english, turkish = pre_or_post("en", part), pre_or_post("tr", part)
    assert figures(english) == figures(turkish) and len(figures(english)) > 10
    assert not re.search(r"\b(the|of|seeds?|layers|design|lower|held|steps)\b", re.sub(r"`[^`]*`", "", turkish))


def test_the_record_by_hand():
    from otoyol_docs.experiment import WORDS, _told

    assert WORDS["en"].keys() == WORDS["tr"].keys()
    for key, sentence in WORDS["en"].items():
        assert set(re.findall(r"\{\w+\}", sentence)) == set(re.findall(r"\{\w+\}", WORDS["tr"][key]))
        assert sentence.count("|") == WORDS["tr"][key].count("|")
    told = _told([-0.2, -0.3, -0.1], "v1", "v2", "lower", "tr")  # negative in every seed: the first is lower
    assert told == "tohumların hepsinde v1 ağında daha düşük, fark ortalama 0,200 (0,100 – 0,300)"
    assert _told([0.1, -0.1, 0.3], "v1", "v2", "higher", "tr", ".1%").startswith("bir sıra göstermiyor")
