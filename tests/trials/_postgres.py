"""Debian's PostgreSQL on loopback, in a folder of its own, gone afterwards."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)


def program(name: str) -> str | None:
    """Debian keeps the server's programs off PATH."""
    return next((str(folder / name) for folder in FOLDERS if (folder / name).exists()), None) or shutil.which(name)


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """A running server; its URL. The server refuses to run as root, so that another user runs it then."""
    initdb, server = program("initdb"), program("postgres")
    assert initdb and server
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        folder = Path(name)
        other: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            other = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        run: dict[str, Any] = {"cwd": folder, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **other}
        made = subprocess.run(
            [initdb, "-D", "db", "-A", "trust", "-U", "otoyol", "-N", "-E", "UTF8"], **run, timeout=300
        )
        assert made.returncode == 0, made.stdout
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        with (folder / "log").open("wb") as log:
            line = [server, "-D", "db", "-h", "127.0.0.1", "-p", str(port), "-k", name, "-c", "fsync=off"]
            process = subprocess.Popen(line, **{**run, "stdout": log})
        try:
            _wait(port, process, folder / "log")
            yield f"postgresql://otoyol@127.0.0.1:{port}/postgres"
        finally:
            process.send_signal(signal.SIGINT)  # the server's fast shutdown
            process.wait(timeout=60)


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            psycopg.connect(host="127.0.0.1", port=port, user="otoyol", dbname="postgres", connect_timeout=5).close()
            return
        except psycopg.OperationalError:
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
