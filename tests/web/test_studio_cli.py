"""otoyol studio: says where it is, serves, ends well; bad input is one sentence and status 2."""

from __future__ import annotations

import re
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.request

import pytest

from otoyol.cli.main import TALKING, run


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


@pytest.mark.parametrize("verb", sorted(TALKING))
def test_verbs_that_talk_to_others_outlive_them(verb: str) -> None:
    """A peer that goes away amid an answer raises SIGPIPE, whose default action ends the process without a word."""
    show = "import signal; print(signal.getsignal(signal.SIGPIPE).name)"
    code = f"import sys; sys.argv = ['otoyol', {verb!r}, '--no-such-option']\nfrom otoyol.cli.main import main\n"
    code += f"try:\n    main()\nexcept SystemExit:\n    {show}"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "SIG_IGN\n"


def test_a_client_that_goes_away_does_not_end_it() -> None:
    command = [sys.executable, "-m", "otoyol", "studio", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", process.stdout.readline())
        assert found
        body = b'{"spec": "resnet152", "parts": ["memory"]}'
        head = f"POST /api/design HTTP/1.1\r\nhost: 127.0.0.1:{found[1]}\r\ncontent-type: application/json\r\n"
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", int(found[1]))) as asking:
                asking.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
                asking.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # away with a reset
                time.sleep(0.02)
        with urllib.request.urlopen(found[0] + "health", timeout=10) as answer:
            assert answer.status == 200
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
