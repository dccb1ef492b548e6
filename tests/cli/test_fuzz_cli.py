"""Fuzzing the command line: whatever is typed, it answers or refuses in one line."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from otoyol.cli.main import run

SPECS = (
    "resnet18",
    "resnetv2_50@attention=se",
    "cifar_resnet20",
    "resnet18@groups=3",
    "resnet",
    "missing.yaml",
    "@",
    "",
)
OPTIONS = ("--json", "--lang", "tr", "--convention", "all", "thop", "--by", "op", "class", "--batch", "8", "-1", "1e9",
           "--dtype", "float16", "--format", "yaml", "--what", "block", "cost", "--stage", "2", "--theme", "dark",
           "--help", "--metric", "params", "bottleneck", "highway", "--version", "--", "--no-json",
           "--json=maybe")  # fmt: skip
VERBS = ("families", "show", "why", "compare", "cost", "draw", "schema", "completion", "bash", "shw")
WORDS = st.lists(st.sampled_from(SPECS + OPTIONS) | st.text(max_size=12).filter(lambda text: text not in ("-", "all")),
                 max_size=5)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def in_an_empty_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder, here = tmp_path_factory.mktemp("cli"), Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(here)
    assert list(folder.iterdir()) == []  # nothing was asked to be written, and nothing was


@settings(max_examples=250)
@given(st.sampled_from(VERBS), WORDS)
@example("show", ["\ud800"])
@example("show", ["a\nb"])
@example("families", ["--json", "["])
@example("cost", ["resnet18", "--batch", "9" * 5000])
@example("draw", ["resnet18", "--stage", "-" + "9" * 30, "--what", "block"])
def test_any_words(verb: str, words: list[str]) -> None:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = run([verb, *words])
    assert status in (0, 2)
    if status == 2:
        assert out.getvalue() == ""
        assert err.getvalue().startswith("otoyol: ")
        assert err.getvalue().count("\n") == 1
        assert len(err.getvalue()) < 1500
    else:
        assert err.getvalue() == ""
        if "--json" in words and "--help" not in words and "--version" not in words and "--" not in words:
            json.loads(out.getvalue())
