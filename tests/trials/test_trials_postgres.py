"""Two workers on a PostgreSQL server share a study; one is killed amid a trial; nothing is lost or counted twice."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import optuna
import psycopg
import pytest
from _postgres import postgres, program
from _worker import STEPS, designs, value

from otoyol.errors import OtoyolError
from otoyol.trials import run_trials

WORKER = Path(__file__).with_name("_worker.py")
COUNT = 12
GRACE = "8"  # seconds; a busy machine may keep a live worker from speaking for some
pytestmark = pytest.mark.skipif(
    not (program("initdb") and program("postgres")), reason="no PostgreSQL server here (Debian: apt install postgresql)"
)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with postgres() as running:
        yield running


def begun(log: Path) -> list[tuple[str, int]]:
    """(design, process) of every evaluation that began."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [(line.split()[1], int(line.split()[2])) for line in lines if line.startswith("begin")]


def worker(url: str, study: str, log: Path, *words: str) -> subprocess.Popen[str]:
    line = [sys.executable, str(WORKER), url, study, str(log), str(COUNT), *words]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_one_of_two_workers_is_killed_amid_a_trial(url: str, tmp_path: Path) -> None:
    log, deadline = tmp_path / "log", time.monotonic() + 240
    first = worker(url, "killed", log, "0.02", GRACE, "3")  # its third trial never ends
    second = worker(url, "killed", log, "0.15", GRACE, "0")
    try:
        while Counter(pid for _, pid in begun(log))[first.pid] < 3 or second.pid not in dict(begun(log)).values():
            assert time.monotonic() < deadline and first.poll() is None, first.communicate()
            time.sleep(0.02)
        first.send_signal(signal.SIGKILL)
        first.wait(timeout=60)
        amid = [name for name, pid in begun(log) if pid == first.pid][-1]
        out, err = second.communicate(timeout=240)
    finally:
        for process in (first, second):
            process.kill()
    assert (out, err, second.returncode) == (f"{COUNT} True\n", "", 0)
    counts = Counter(name for name, _ in begun(log))
    assert counts == Counter([*designs(COUNT), amid])
    ended = [line.split()[1] for line in log.read_text().splitlines() if line.startswith("end")]
    assert Counter(ended) == Counter(designs(COUNT))

    trials = optuna.load_study(storage=url.replace("://", "+psycopg://"), study_name="killed").get_trials()
    complete = {trial.user_attrs["spec"]: trial.value for trial in trials if trial.state.name == "COMPLETE"}
    assert complete == {name: value(name) for name in designs(COUNT)}
    assert sum(trial.state.name == "COMPLETE" for trial in trials) == COUNT
    assert {trial.state.name for trial in trials} <= {"COMPLETE", "FAIL"}

    late = worker(url, "killed", log, "0.02", GRACE, "0")  # whoever joins later finds all done
    assert late.communicate(timeout=120) == (f"{COUNT} True\n", "") and len(begun(log)) == COUNT + 1


def test_workers_that_start_at_once_on_a_new_database(url: str, tmp_path: Path) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create database fresh")
    log = tmp_path / "log"
    crowd = [worker(url.replace("/postgres", "/fresh"), "crowd", log, "0.01", "60", "0") for _ in range(3)]
    for process in crowd:
        assert process.communicate(timeout=240) == (f"{COUNT} True\n", "")
    assert Counter(name for name, _ in begun(log)) == Counter(designs(COUNT))


def test_a_server_that_goes_away_is_told_in_one_sentence(url: str, tmp_path: Path) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create database gone")

    def dropping(design: str) -> Iterator[tuple[int, float]]:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("drop database gone with (force)")
        yield STEPS, 0.5

    with pytest.raises(OtoyolError, match=r"failed: .*what was done is kept") as caught:
        run_trials(
            designs(1),
            dropping,
            storage=url.replace("/postgres", "/gone"),
            study="s",
            steps=STEPS,  # type: ignore[arg-type]
        )
    assert "\n" not in str(caught.value)
