"""The command itself: a process on a socket, clients that misbehave, and its end by SIGTERM."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import httpx
import pytest
from _artifacts import colours, picture

OTOYOL = (sys.executable, "-m", "otoyol")
LONG = 60.0  # seconds that no test waits for
DATA = picture((200, 60, 120))
HEAD = b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\ncontent-length: %d\r\n\r\n"
WHOLE = HEAD % len(DATA) + DATA


@contextmanager
def serving(artifact, *options, program=OTOYOL):
    """A process that serves, its port, and what it has written to standard error so far."""
    command = [*program, "serve", str(artifact), "--port", "0", "--threads", "1", "--decoders", "1", *options]
    environment = {**os.environ, "OTOYOL_LANG": "en"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(process.stderr), daemon=True)
    reader.start()
    try:
        first = process.stdout.readline()
        assert "http://127.0.0.1:" in first, (first, lines)
        yield process, int(first.split("http://127.0.0.1:")[1].split(";")[0]), lines
    finally:
        process.kill()
        process.wait()
        reader.join(LONG)


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=LONG)


def everything(connection):
    """What comes until the other side closes, or breaks off."""
    parts = []
    try:
        while part := connection.recv(1 << 16):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def one_answer(connection):
    """Status and JSON of one answer on a connection that stays open."""
    head, body = whole_answer(connection)
    return int(head.split()[1]), json.loads(body)


def whole_answer(connection):
    """Head and body of one answer."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(1 << 16)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(1 << 16)
    return head, body


def test_clients_that_misbehave_and_one_that_does_not(tmp_path):
    artifact = colours(tmp_path / "colours.onnx")
    limits = ("--read-timeout", "0.3", "--idle", "1", "--connections", "6", "--max-bytes", "5000", "--quiet")
    with serving(artifact, *limits) as (process, port, lines):
        fine = connect(port)
        fine.sendall(WHOLE)
        status, page = one_answer(fine)
        assert (status, page["classes"][0]["label"]) == (200, "red")

        with connect(port) as silent, connect(port) as drip, connect(port) as half:
            half.sendall((HEAD % len(DATA)) + DATA[:10])
            began, pieces = time.monotonic(), iter(WHOLE)
            try:
                while time.monotonic() - began < LONG:  # a byte of a header at a time, for ever
                    drip.sendall(bytes([next(pieces)]))
                    time.sleep(0.02)
            except (OSError, StopIteration):
                pass
            assert time.monotonic() - began < LONG / 2
            assert everything(silent) == b""
            late = everything(half)
            assert late.startswith(b"HTTP/1.1 408 ") and b'"field": "body"' in late

        with connect(port) as large:
            large.sendall(HEAD % 50_000_000 + b"x" * 100_000)
            assert one_answer(large)[0] == 413
        with connect(port) as garbage:
            garbage.sendall(b"\x00\x01 nonsense\r\n\r\n")
            assert everything(garbage).startswith(b"HTTP/1.1 400 ")
        with connect(port) as header:
            header.sendall(b"GET / HTTP/1.1\r\nx: " + b"y" * 70_000)
            assert everything(header).startswith(b"HTTP/1.1 4")

        with connect(port) as greedy:  # asks and never reads
            began = time.monotonic()
            try:
                while time.monotonic() - began < LONG:
                    greedy.sendall(b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n" * 50)
            except OSError:
                pass
            assert time.monotonic() - began < LONG / 2

        deadline = time.monotonic() + LONG
        while True:  # all of those are gone, and leave nothing behind
            crowd = [connect(port) for _ in range(6)]
            with connect(port) as last:
                told = everything(last)
            for connection in crowd:
                connection.close()
            if told.startswith(b"HTTP/1.1 503 "):
                break
            assert time.monotonic() < deadline
        assert json.loads(told.partition(b"\r\n\r\n")[2])["error"]["field"] == "connections"
        fine.close()
        while time.monotonic() < deadline:
            try:
                answer = httpx.post(f"http://127.0.0.1:{port}/v1/predict", content=DATA,
                                    headers={"content-type": "image/png"}, trust_env=False)  # fmt: skip
            except httpx.TransportError:
                continue
            if answer.status_code == 200:
                break
        assert answer.json() == page
        process.send_signal(signal.SIGTERM)
        assert process.wait(LONG) == 0
    events = [json.loads(line) for line in lines]  # every line is one JSON object
    assert {408, 413} <= {event.get("status") for event in events}
    assert not [event for event in events if event.get("status") == 200 or "traceback" in event]  # --quiet


def test_sigterm_answers_what_is_inside_and_refuses_what_is_new(tmp_path):
    with serving(colours(tmp_path / "colours.onnx")) as (process, port, lines):
        inside, kept = connect(port), connect(port)
        inside.sendall(WHOLE[:-10])
        kept.sendall(WHOLE)
        assert one_answer(kept)[0] == 200
        process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + LONG
        status, told = 200, {}
        while status == 200 and time.monotonic() < deadline:  # the signal takes a moment
            kept.sendall(WHOLE)
            status, told = one_answer(kept)
        assert (status, told["error"]["given"]) == (503, "stopping")
        with connect(port) as new:
            new.sendall(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n")
            assert one_answer(new)[0] == 503
        assert process.poll() is None
        inside.sendall(WHOLE[-10:])
        assert one_answer(inside)[0] == 200
        assert process.wait(LONG) == 0
        inside.close(), kept.close()
    events = [json.loads(line) for line in lines]
    assert [event["event"] for event in events if event["event"] != "request"] == ["begin", "draining", "end"]
    assert {"method": "POST", "path": "/v1/predict", "status": 200}.items() <= events[1].items()


SLOW = """
import sys, time
from otoyol.cli.main import run
from otoyol.serve import service
service.prepare = lambda *image: time.sleep(600)
sys.exit(run(sys.argv[1:]))
"""


def heard(lines, event):
    deadline = time.monotonic() + LONG
    while not any(json.loads(line)["event"] == event for line in list(lines)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(("options", "signals"), [((), 2), (("--drain", "0.2", "--timeout", "0.1"), 1)])
def test_an_image_that_is_decoded_for_ever_keeps_nobody(tmp_path, options, signals):
    """Not at the second signal, and not beyond the drain: a thread that decodes cannot be stopped."""
    program = (sys.executable, "-c", SLOW)
    with serving(colours(tmp_path / "colours.onnx"), *options, program=program) as (process, port, lines):
        inside, probe = connect(port), connect(port)
        inside.sendall(WHOLE)
        while True:
            probe.sendall(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
            if b"otoyol_requests_inside 1.0" in whole_answer(probe)[1]:
                break
        process.send_signal(signal.SIGTERM)
        heard(lines, "draining")
        if signals == 2:
            time.sleep(0.2)
            assert process.poll() is None  # at the first signal it waits
            process.send_signal(signal.SIGTERM)
        assert process.wait(LONG) == 0
        inside.close(), probe.close()
    heard(lines, "end")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["absent.onnx"], "otoyol: artifact: got absent.onnx; allowed: an ONNX file"),
        (["x.onnx", "--queue", "0"], "otoyol: queue: got 0; allowed: a whole number from 1 to 65536"),
    ],
)
def test_bad_input_is_one_sentence(words, told, capsys, tmp_path, monkeypatch):
    from otoyol.cli.main import run

    monkeypatch.chdir(tmp_path)
    assert run(["serve", *words]) == 2
    assert capsys.readouterr().err.strip() == told


def test_an_address_that_is_taken(capsys, tmp_path):
    from otoyol.cli.main import run

    artifact = colours(tmp_path / "colours.onnx")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run(["serve", str(artifact), "--port", str(port)]) == 2
    assert capsys.readouterr().err.startswith(f"otoyol: port: got 127.0.0.1:{port}; allowed: an address that is free")
    assert run(["serve", str(artifact), "--host", "no.such.host.invalid"]) == 2
    assert "host: got no.such.host.invalid" in capsys.readouterr().err
    for host in ("127.0.0..1", f"{'a' * 64}.example"):  # which no name can be
        assert run(["serve", str(artifact), "--host", host]) == 2
        assert f"host: got {host}; allowed: an address of this machine" in capsys.readouterr().err


def test_sigterm_before_anything_is_served(tmp_path, monkeypatch):
    """A container's first process is not ended by a signal that it does not handle."""
    from otoyol.cli.main import run

    def starting(*_, **__):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(LONG)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("otoyol.serve.serve", starting)
    with pytest.raises(SystemExit) as left:
        run(["serve", str(colours(tmp_path / "colours.onnx"))])
    assert left.value.code == 0 and signal.getsignal(signal.SIGTERM) is before
