"""The READMEs: their commands and code run and print what they say, their tree is complete, the two are twins."""

from __future__ import annotations

import doctest
import re
import subprocess

import pytest
from _pages import ROOT, fences, headings, outcome, read, sessions, tree

READMES = ("README.md", "README.tr.md")


@pytest.mark.parametrize("page", READMES)
def test_commands_print_what_the_page_says(page):
    shown = sessions(read(page))
    assert len(shown) >= 4
    for line, output in shown:
        status, printed = outcome(line)
        assert status == 0, f"{line}: {printed}"
        assert printed.strip() == output.strip(), f"`{line}` prints something else; see tests/docs/_pages.py"


@pytest.mark.parametrize("page", READMES)
def test_python_runs_and_prints_what_the_page_says(page):
    code = "".join(fence.body for fence in fences(read(page)) if fence.info == "python")
    assert code.count(">>>") >= 5
    case = doctest.DocTestParser().get_doctest(code, {}, page, page, 0)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
    report: list[str] = []
    result = runner.run(case, out=report.append)
    assert result.failed == 0, "".join(report)


def source_files() -> set[str]:
    """What is committed under src/otoyol; outside a checkout, what is there."""
    files = subprocess.run(["git", "ls-files", "src/otoyol"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    there = (
        path for path in (ROOT / "src" / "otoyol").rglob("*") if path.is_file() and "__pycache__" not in path.parts
    )
    return set(files) or {path.relative_to(ROOT).as_posix() for path in there}


@pytest.mark.parametrize("page", READMES)
def test_tree_names_every_source_file_and_no_other(page):
    source = source_files()
    listed = {name for name in tree(read(page)) if name.startswith("src/")}
    assert sorted(source - listed) == [], "not in the tree"
    assert sorted(listed - source) == [], "in the tree, but not in src"


@pytest.mark.parametrize("page", READMES)
def test_pictures_and_links_are_there(page):
    text = read(page)
    paths = re.findall(r'(?:src|srcset)="([^"]+)"', text) + re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text)
    local = [path for path in paths if not path.startswith(("http:", "https:"))]
    assert local
    assert [path for path in local if not (ROOT / path).exists()] == []


def test_the_two_are_twins():
    english, turkish = map(read, READMES)
    assert headings(english) == headings(turkish)
    assert tree(english).keys() == tree(turkish).keys()
    ours, theirs = fences(english), fences(turkish)
    assert [fence.info for fence in ours] == [fence.info for fence in theirs]
    for one, other in zip(ours, theirs, strict=True):
        if one.info == "console":  # the Turkish page asks for Turkish
            commands = [re.findall(r"^\$ (.*)$", fence.body, flags=re.M) for fence in (one, other)]
            assert commands[0] == [line.replace(" --lang tr", "") for line in commands[1]]
        elif one.info != "text":
            assert one.body == other.body


def test_reading_a_tree():
    text = "```text\nsrc/otoyol/  all\n  a.py       one\n  b/         two\n    c.py     three\nd.py  four\n```\n"
    assert tree(text) == {"src/otoyol/a.py": "one", "src/otoyol/b/c.py": "three", "d.py": "four"}
