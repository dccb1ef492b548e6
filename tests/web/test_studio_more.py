"""One more language is one more file, one more question a module and its sentences: nothing else names them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import otoyol
from otoyol import explain

Visit = Callable[..., Any]
LOCALE = 'name = "English"\ngroup = ","'
QUESTION = """
from otoyol.cost import count
from otoyol.explain.telling import Line, Telling


def answer(spec):
    facts = {"params": count(spec).params}
    return Telling("size", Line("why.size.headline", facts), (), facts, "why.size.title", (), ())
"""
SENTENCES = '\n[why.size]\ntitle = "How large is it?"\nheadline = "It has {params} parameters."\n'


class More(NamedTuple):
    """A copy of the package that speaks xx and answers ``size``, and the studio that it serves."""

    environment: dict[str, str]
    address: str

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "otoyol", *words]
        return subprocess.run(command, capture_output=True, text=True, env=self.environment, check=False)


@pytest.fixture(scope="module")
def more(tmp_path_factory: pytest.TempPathFactory) -> Iterator[More]:
    home = tmp_path_factory.mktemp("more")
    package = home / "otoyol"
    shutil.copytree(Path(otoyol.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    own = package / "explain"
    english = (own / "en.toml").read_text(encoding="utf-8")
    assert LOCALE in english
    (own / "xx.toml").write_text(english.replace(LOCALE, 'name = "Xxish"\ngroup = "\'"'), encoding="utf-8")
    for catalogue in own.glob("*.toml"):
        catalogue.write_text(catalogue.read_text(encoding="utf-8") + SENTENCES, encoding="utf-8")
    (own / "size.py").write_text(QUESTION, encoding="utf-8")
    source = (own / "__init__.py").read_text(encoding="utf-8")
    added = source.replace('"attention")', '"attention", "size")', 1)
    assert added != source
    (own / "__init__.py").write_text(added, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(home)}
    command = [sys.executable, "-m", "otoyol", "studio", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        try:
            assert found
            yield More(environment, found[0])
        finally:
            process.terminate()


def ask(more: More, **fields: Any) -> Any:
    body = json.dumps({"spec": "resnet50", "parts": ["answers"], **fields}).encode()
    headers = {"content-type": "application/json", "x-refusals": "answers", "accept-language": "xx-XX"}
    with urllib.request.urlopen(
        urllib.request.Request(f"{more.address}/api/design", body, headers), timeout=20
    ) as told:
        return json.load(told)


def test_the_command_line_takes_another_language_and_question(more: More) -> None:
    """ResNet-50's 25,557,032 parameters, as xx groups them."""
    told = more.run("cost", "resnet50", "--lang", "xx")
    assert "25'557'032" in told.stdout, told.stderr
    more.environment["OTOYOL_LANG"] = "xx_XX.UTF-8"
    assert "25'557'032" in more.run("cost", "resnet50").stdout
    more.environment.pop("OTOYOL_LANG")
    wrong = more.run("cost", "resnet50", "--lang", "yy")
    assert wrong.returncode == 2 and "yy" in wrong.stderr and "xx" in wrong.stderr
    assert "It has 25,557,032 parameters." in more.run("why", "size", "resnet50").stdout
    conventions = more.run("cost", "resnet50", "--convention", "all", "--lang", "xx")
    assert conventions.returncode == 0 and "Multiply-adds" in conventions.stdout


def test_the_studio_takes_them(more: More) -> None:
    answers = ask(more, lang="xx", questions=[*explain.QUESTIONS, "highway", "size"])["answers"]
    assert answers["size"]["headline"] == "It has 25'557'032 parameters."
    assert len(answers) == 7
    assert ask(more, lang="yy")["error"]["allowed"] == "en, tr or xx"
    assert ask(more, questions=["depth"])["error"]["allowed"].endswith("attention, size or highway")


def test_the_page_takes_them(more: More, visit: Visit) -> None:
    page = visit(f"{more.address}/#v=1&view=why&ask=size&lang=xx")
    page.wait_for_selector("details.question[open] .headline:text-is('It has 25\\'557\\'032 parameters.')")
    titles = page.locator("details.question").evaluate_all("all => all.map((fold) => fold.dataset.question)")
    assert titles == [*explain.QUESTIONS, "size"]  # the highway has a panel of its own
    assert page.locator("details.question > summary").last.inner_text() == "How large is it?"
    options = page.get_by_label("Language").locator("option").all_text_contents()
    assert options == ["English", "Türkçe", "Xxish"]
    assert "25'557'032" in page.locator("#panel-figures").inner_text()
    assert page.evaluate("location.hash") == "#v=1&view=why&ask=size&lang=xx"
    page.evaluate("hash => { location.hash = hash; }", "v=1&view=why&ask=size,nothing&lang=yy")
    page.wait_for_function("() => document.querySelector('#said').textContent.includes('ask, lang')")
    page.wait_for_selector("details.question[open][data-question=bottleneck]")
