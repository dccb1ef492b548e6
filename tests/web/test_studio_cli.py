"""otoyol studio: says where it is, serves, ends well; bad input is one sentence and status 2."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from otoyol.cli.main import run


def test_it_serves_until_it_is_told_to_end() -> None:
    command = [sys.executable, "-m", "otoyol", "studio", "resnet18@attention=se", "--port", "0", "--lang", "tr"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"(http://127\.0\.0\.1:\d+/)#v=1&spec=resnet18@attention=se&lang=tr", line)
        assert found, line
        with urllib.request.urlopen(found[1] + "health", timeout=10) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGINT)
        said, wrong = process.communicate(timeout=15)
    finally:
        process.kill()
    assert (process.returncode, said, wrong) == (0, "", "")


def test_a_busy_port_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run(["studio", "--port", str(port)]) == 2
    said = capsys.readouterr()
    assert f"127.0.0.1:{port}" in said.err and "--port 0" in said.err
    assert said.out == "" and said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["resnet51"], "family"),
        (["--port", "70000"], "port"),
        (["--table", "no.json"], "no.json"),
        (["--runs", "no"], "no"),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], names: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["studio", *arguments]) == 2
    said = capsys.readouterr().err
    assert names in said and said.startswith("otoyol: ") and said.count("\n") == 1
