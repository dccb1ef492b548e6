"""The page's words: none is missing, none is idle; numbers as the library writes them; every file is shipped."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import otoyol
from otoyol.web.assets import KINDS, assets, diagram_css
from otoyol.web.page import words

STATIC = Path(otoyol.__file__).parent / "web" / "static"
SCRIPTS = {path.relative_to(STATIC).as_posix(): path.read_text(encoding="utf-8") for path in STATIC.glob("js/**/*.js")}
# Keys as they stand in the scripts: t("…"), and templates t(`panel.${id}`), of which the plain ends are known.
KEY = re.compile(r"""\b(?:t|has)\(\s*(?:"([\w.]+)"|`([^`]+)`)""")
TERNARY = re.compile(r"""\bt\([^"()]*\?\s*"([\w.]+)"\s*:\s*"([\w.]+)\"""")


def used() -> tuple[set[str], list[re.Pattern[str]]]:
    """Keys named outright, and patterns of those that are put together."""
    plain: set[str] = set()
    patterns = []
    for text in SCRIPTS.values():
        for outright, template in KEY.findall(text):
            if outright:
                plain.add(outright)
            elif "${" in template:
                pieces = re.split(r"\$\{[^}]*\}", template)
                patterns.append(re.compile(r"[\w.+-]+".join(map(re.escape, pieces)) + r"\Z"))
            else:
                plain.add(template)
        plain |= {key for pair in TERNARY.findall(text) for key in pair}
    return plain, patterns


@pytest.mark.parametrize("lang", ["en", "tr"])
def test_every_word_that_the_page_says_exists(lang: str) -> None:
    known, (plain, patterns) = words(lang), used()
    assert len(plain) > 60
    assert plain - set(known) == set()
    for pattern in patterns:
        assert any(pattern.match(key) for key in known), pattern.pattern


def test_no_word_of_the_page_is_idle() -> None:
    plain, patterns = used()
    text = "\n".join(SCRIPTS.values())
    for key in words("en"):
        if key.startswith(("report.", "draw.", "why.")):
            continue  # shared with the report and the diagrams
        said = key in plain or any(pattern.match(key) for pattern in patterns) or f'"{key}"' in text
        assert said or f'"{key.rpartition(".")[2]}"' in text, key


def test_both_languages_have_the_same_words() -> None:
    assert set(words("en")) == set(words("tr"))


def test_nothing_stands_inline_or_comes_from_elsewhere() -> None:
    html = (STATIC / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<style|\bstyle=|\bon\w+=|<script(?![^>]*\bsrc=)", html)
    for name, text in {**SCRIPTS, "index.html": html, "studio.css": (STATIC / "css/studio.css").read_text()}.items():
        assert not re.search(r"https?://(?!www\.w3\.org)", text), name
        assert not re.search(r"\binnerHTML\b|\beval\(|new Function|insertAdjacentHTML|document\.write", text), name
        assert len(text.splitlines()) < 400, name


def test_every_file_is_shipped_and_served() -> None:
    package = STATIC.parents[1]
    project = tomllib.loads((package.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["otoyol"]
    shipped = {path for pattern in patterns for path in package.glob(pattern)}
    served = assets()
    for path in STATIC.rglob("*"):
        if path.is_dir():
            continue
        assert path in shipped
        assert path.suffix in KINDS, path
        assert (f"/static/{path.relative_to(STATIC).as_posix()}" in served) != (path.name == "index.html")
    assert served["/"].data.startswith(b"<!DOCTYPE html>")
    # What the scripts import and the page loads is there.
    for name, text in SCRIPTS.items():
        for target in re.findall(r"""(?:from|import)\s*\(?"(\.[^"]+)\"""", text):
            assert (STATIC / name).parent.joinpath(target).resolve().is_file(), (name, target)


def test_diagrams_have_colours_in_both_themes() -> None:
    css = diagram_css()
    assert '[data-theme="dark"] .diagram svg .road' in css and ".diagram svg .road" in css


def test_vendored_charts_keep_their_licences() -> None:
    names = {path.name for path in (STATIC / "vendor").iterdir()}
    assert {"echarts.js", "LICENSE-echarts.txt", "NOTICE-echarts.txt", "LICENSE-zrender.txt", "README.txt"} <= names
    assert "Apache License" in (STATIC / "vendor/LICENSE-echarts.txt").read_text(encoding="utf-8")
