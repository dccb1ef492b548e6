"""The Containerfile, which is not built here: what it names is there, and its health check finds a service."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from _artifacts import colours
from _client import ask, started
from test_serve_process import LONG, serving

from otoyol.cli.main import run

ROOT = Path(__file__).resolve().parents[2]
DOCS = (ROOT / "docs" / "reference" / "serve.md").read_text(encoding="utf-8")


def instructions(text: str) -> list[tuple[str, str]]:
    """(INSTRUCTION, its words) without comments, continued lines joined."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines())]


TEXT = (ROOT / "Containerfile").read_text(encoding="utf-8")
FOUND = instructions(TEXT)


def only(name: str) -> str:
    (words,) = [rest for word, rest in FOUND if word == name]
    return words


def health_code() -> str:
    command = json.loads(only("HEALTHCHECK").partition("CMD ")[2])
    assert command[:2] == ["python", "-c"] and len(command) == 3
    return command[2]


def test_what_is_copied_is_there() -> None:
    copied = [words.split() for word, words in FOUND if word == "COPY" and not words.startswith("--from")]
    sources = [source for *names, _ in copied for source in names]
    assert {"pyproject.toml", "constraints.txt", "src"} <= set(sources)
    assert [source for source in sources if not (ROOT / source).exists()] == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {project["readme"], *project["license-files"]} <= set(sources)  # or the package cannot be built


def test_what_is_installed_is_ours() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    words = shlex.split(next(rest for word, rest in FOUND if word == "RUN" and "pip install" in rest))
    assert words[words.index("--extra-index-url") + 1] == "https://download.pytorch.org/whl/cpu"
    assert (ROOT / words[words.index("--constraint") + 1]).exists()
    extras = next(re.fullmatch(r"\.\[(.+)\]", word) for word in words if word.startswith("."))
    assert extras is not None
    assert set(extras[1].split(",")) <= set(project["optional-dependencies"])


def test_the_health_check_asks_a_route_of_the_port_that_is_served(tmp_path: Path) -> None:
    port, path = re.search(r"http://127\.0\.0\.1:(\d+)(/\w+)", health_code()).groups()
    assert port == only("EXPOSE")
    with started(colours(tmp_path / "colours.onnx")) as (app, _):
        assert ask(app, "GET", path).status_code == 200
        assert path in ask(app, "GET", "/openapi.json").json()["paths"]
    assert f"127.0.0.1:{port}:{port}" in TEXT and f"127.0.0.1:{port}:{port}" in DOCS


def test_the_health_check_tells_a_service_from_none_whatever_the_proxy(tmp_path: Path) -> None:
    with serving(colours(tmp_path / "colours.onnx"), "--quiet") as (_, port, _):
        code = health_code().replace("8000", str(port))
        nowhere = {"http_proxy": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1", "PATH": "/usr/bin"}
        assert subprocess.run([sys.executable, "-c", code], env=nowhere, timeout=LONG).returncode == 0
    done = subprocess.run([sys.executable, "-c", code], env=nowhere, timeout=LONG, capture_output=True)
    assert done.returncode != 0


def test_the_command_is_one_that_the_command_line_reads(capsys: pytest.CaptureFixture[str]) -> None:
    name, *words = json.loads(only("ENTRYPOINT"))
    assert name == "otoyol"
    assert run([*words, "--queue", "0"]) == 2  # a word that it does not know would be told first
    assert capsys.readouterr().err.startswith("otoyol: queue: got 0")


@pytest.mark.parametrize("words", ["--format docker", "--stop-timeout 45", "--read-only --tmpfs /tmp"])
def test_the_file_and_the_documentation_say_the_same(words: str) -> None:
    assert words in TEXT and words in DOCS
