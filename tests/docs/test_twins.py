"""The tutorial in two languages: the same sections, commands, code, drawings and figures."""

from __future__ import annotations

import re

from _pages import fences, headings, read

PAGES = ("docs/tutorial.md", "docs/tr/ogretici.md")


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
    for page in PAGES:
        prose = re.sub(r"^```.*?^```$|`[^`]*`|https?://\S+|arXiv \S+", "", read(page), flags=re.M | re.S)
        assert re.findall(r"\b\d{1,3}(?:[.,]\d{3})+\b", prose) == [], page
