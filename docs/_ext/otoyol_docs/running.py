"""Running what a page shows: the command line in this process, Python in a namespace of the page's own."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[3]
COLUMNS = "88"


class Outcome(NamedTuple):
    status: int
    out: str
    err: str


@contextlib.contextmanager
def _plain_terminal() -> Iterator[None]:
    """A reader's shell, made the same on every machine: no colour, a fixed width, English unless asked."""
    wanted = {"COLUMNS": COLUMNS, "NO_COLOR": "1", "TERM": "dumb", "OTOYOL_LANG": "en"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


@cache
def command(line: str) -> Outcome:
    """What ``otoyol <line>`` does, in this process: starting a hundred interpreters would take minutes."""
    from otoyol.cli.main import run

    out, err = io.StringIO(), io.StringIO()
    with _plain_terminal(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = run(shlex.split(line))
    return Outcome(status, out.getvalue(), err.getvalue())


def python(code: str, namespace: dict[str, Any], where: str) -> str:
    """What ``code`` prints. The namespace is the page's, so that a later block may use an earlier one's names."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, where, "exec"), namespace)
    return out.getvalue()
