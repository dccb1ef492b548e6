"""Workers on one SQLite file: each design once, whatever happens to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from _worker import STEPS, designs, evaluate, value

from otoyol.errors import OtoyolError, SpecError, TrainingError
from otoyol.trials import Median, TrialProgress, Trials, run_trials

WORKER = Path(__file__).with_name("_worker.py")


def worker(url: str, log: Path, *words: object) -> subprocess.Popen[str]:
    line = [sys.executable, str(WORKER), url, "s", str(log), *map(str, words)]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def lines(log: Path, word: str) -> list[str]:
    return [line.split()[1] for line in log.read_text().splitlines() if line.startswith(word)] if log.exists() else []


def wait_for(log: Path, word: str, count: int) -> None:
    deadline = time.monotonic() + 120
    while len(lines(log, word)) < count:
        assert time.monotonic() < deadline, f"no {count} lines {word!r}"
        time.sleep(0.02)


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A file in memory where the system has such a folder: on a disk each commit waits for it."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as folder:
        yield f"sqlite:///{folder}/trials.db"


def run(url: str, log: Path, count: int = 4, seconds: float = 0.0, **options: Any) -> Trials:
    return run_trials(designs(count), evaluate(log, seconds), storage=url, study="s", steps=STEPS, **options)  # type: ignore[arg-type]


def test_one_worker_tries_each_design_once(url: str, tmp_path: Path) -> None:
    seen: list[TrialProgress] = []
    found = run(url, tmp_path / "log", 3, progress=seen.append)
    assert found.finished and not found.interrupted
    assert lines(tmp_path / "log", "end") == designs(3)
    assert [(t.design, t.state, t.accuracy, t.steps, t.lost) for t in found.tried] == [
        ("design0", "complete", 1 / 2, 4, 0),
        ("design1", "complete", 1 / 3, 4, 0),
        ("design2", "complete", 1 / 4, 4, 0),
    ]
    assert seen[0] == TrialProgress(0, 3, "design0") and seen[-1] == TrialProgress(2, 3, "design2", 4, 1 / 4)
    study = optuna.load_study(storage=url, study_name="s")  # what Optuna itself makes of the file
    assert [t.value for t in study.get_trials() if t.state.name == "COMPLETE"] == [1 / 2, 1 / 3, 1 / 4]
    assert study.best_trial.user_attrs["spec"] == "design0"


def test_two_processes_share_a_study(url: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    both = [worker(url, log, 24, 0.01, 60, 0) for _ in range(2)]
    for process in both:
        out, err = process.communicate(timeout=120)
        assert (out, err, process.returncode) == ("24 True\n", "", 0)
    assert Counter(lines(log, "begin")) == Counter(lines(log, "end")) == Counter(designs(24))
    assert len({line.split()[2] for line in log.read_text().splitlines()}) == 2
    states = Counter(t.state.name for t in optuna.load_study(storage=url, study_name="s").get_trials())
    assert states["COMPLETE"] == 24 and set(states) <= {"COMPLETE", "FAIL"}  # FAIL: enqueued twice, never run


def test_a_killed_worker_s_trial_is_taken_up_by_another(url: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    first = worker(url, log, 3, 0.0, 2, 1)
    wait_for(log, "begin", 1)
    first.send_signal(signal.SIGKILL)
    first.wait(timeout=60)
    found = run(url, log, 3, grace_seconds=2)
    assert found.finished and [t.state for t in found.tried] == ["complete"] * 3
    assert [t.accuracy for t in found.tried] == [value(d) for d in designs(3)]
    assert [t.lost for t in found.tried] == [1, 0, 0]
    assert Counter(lines(log, "begin")) == {"design0": 2, "design1": 1, "design2": 1}
    assert Counter(lines(log, "end")) == Counter(designs(3))


def test_a_design_whose_worker_dies_each_time_is_lost(url: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = worker(url, log, 1, 0.0, 1, 1)
    wait_for(log, "begin", 1)
    process.kill()
    process.wait(timeout=60)
    found = run(url, log, 1, grace_seconds=1, attempts=1)
    assert [(t.state, t.accuracy, t.lost) for t in found.tried] == [("lost", None, 1)] and found.finished
    assert lines(log, "end") == []


def test_a_worker_taken_for_dead_that_wakes_up_counts_for_nothing(url: str, tmp_path: Path) -> None:
    """Its trial was given to another and is complete; what the sleeper still says of it is dropped."""
    log = tmp_path / "log"
    sleeper = worker(url, log, 1, 0.3, 1, 0)
    wait_for(log, "begin", 1)
    os.kill(sleeper.pid, signal.SIGSTOP)
    try:
        found = run(url, log, 1, grace_seconds=1)
        assert [(t.state, t.lost) for t in found.tried] == [("complete", 1)]
    finally:
        os.kill(sleeper.pid, signal.SIGCONT)
    assert sleeper.communicate(timeout=60) == ("1 True\n", "")
    again = run(url, log, 1, grace_seconds=1)
    assert again.tried == found.tried
    states = Counter(t.state.name for t in optuna.load_study(storage=url, study_name="s").get_trials())
    assert states["COMPLETE"] == 1


def test_ctrl_c_keeps_what_is_done_and_running_again_goes_on(url: str, tmp_path: Path) -> None:
    log = tmp_path / "log"

    def interrupted(design: str) -> Generator[tuple[int, float], None, None]:
        if design == "design1":
            yield 1, 0.0
            raise KeyboardInterrupt
        yield STEPS, value(design)

    first = run_trials(designs(3), interrupted, storage=url, study="s", steps=STEPS)
    assert first.interrupted and not first.finished
    assert [t.state for t in first.tried] == ["complete", "open", "waiting"]
    second = run(url, log, 3)
    assert second.finished and [t.state for t in second.tried] == ["complete"] * 3
    assert sorted(lines(log, "begin")) == ["design1", "design2"] and [t.lost for t in second.tried] == [0, 0, 0]


def test_a_limit_leaves_the_rest_to_others(url: str, tmp_path: Path) -> None:
    found = run(url, tmp_path / "log", 4, limit=3)
    assert not found.finished and [t.final for t in found.tried] == [True, True, True, False]
    assert run(url, tmp_path / "log", 4, limit=3).finished
    assert lines(tmp_path / "log", "end") == designs(4)


def test_a_failed_training_is_told_and_not_tried_again(url: str) -> None:
    calls = []

    def failing(design: str) -> Generator[tuple[int, float], None, None]:
        calls.append(design)
        yield 1, 0.25
        if design == "design1":
            raise TrainingError("the loss is nan at step 2")
        yield STEPS, 0.5

    for _ in range(2):
        found = run_trials(designs(2), failing, storage=url, study="s", steps=STEPS)
    assert calls == designs(2) and found.finished
    assert [(t.state, t.accuracy, t.steps) for t in found.tried] == [("complete", 0.5, 4), ("failed", 0.25, 1)]
    assert found.tried[1].error == "the loss is nan at step 2"


def test_an_error_of_the_data_stops_the_worker_and_gives_the_trial_back(url: str, tmp_path: Path) -> None:
    def unreadable(design: str) -> Generator[tuple[int, float], None, None]:
        yield 1, 0.25
        raise OtoyolError("image: cannot read cat.png")

    with pytest.raises(OtoyolError, match=r"cannot read cat\.png"):
        run_trials(designs(2), unreadable, storage=url, study="s", steps=STEPS)
    found = run(url, tmp_path / "log", 2)
    assert [(t.state, t.lost) for t in found.tried] == [("complete", 0), ("complete", 0)]


def test_pruning_gives_up_what_is_below_the_median(url: str, tmp_path: Path) -> None:
    """Accuracies fall from design to design: after two complete trials each one is below the median of those."""
    log = tmp_path / "log"
    found = run(url, log, 5, prune=Median(startup_trials=2))
    assert [t.state for t in found.tried] == ["complete", "complete", "pruned", "pruned", "pruned"]
    assert [t.steps for t in found.tried] == [4, 4, 1, 1, 1] and found.finished
    assert found.tried[4].accuracy == value("design4") / 4
    assert lines(log, "end") == designs(2) and len(lines(log, "begin")) == 5


@pytest.mark.parametrize(
    ("options", "words"),
    [({"count": 5}, "made with designs 4, this is 5"), ({"grace_seconds": 30}, "grace_seconds 60, this is 30"),
     ({"identity": {"data": "b"}}, 'data "a", this is "b"'), ({"prune": Median()}, "prune")],
)  # fmt: skip
def test_a_study_of_something_else_is_refused(url: str, tmp_path: Path, options: dict[str, Any], words: str) -> None:
    run(url, tmp_path / "log", identity={"data": "a"})
    with pytest.raises(OtoyolError, match=words):
        run(url, tmp_path / "log", **{"identity": {"data": "a"}, **options})
    assert len(lines(tmp_path / "log", "begin")) == 4


def test_designs_of_the_same_number_are_told_apart(url: str, tmp_path: Path) -> None:
    run(url, tmp_path / "log", 1)
    with pytest.raises(OtoyolError, match="designs_sha256"):
        run_trials(["design9"], evaluate(tmp_path / "log", 0.0), storage=url, study="s", steps=STEPS)  # type: ignore[arg-type]


def test_a_study_that_another_program_made_is_left_alone(url: str, tmp_path: Path) -> None:
    optuna.create_study(storage=url, study_name="s").optimize(lambda trial: 1.0, n_trials=1)
    with pytest.raises(OtoyolError, match="not made by otoyol"):
        run(url, tmp_path / "log")


@pytest.mark.parametrize(
    ("given", "words"),
    [("nonsense", "sqlite:///FILE or postgresql"), ("sqlite://", "sqlite:///FILE"), ("mysql://a/b", "sqlite:///FILE"),
     ("sqlite:////nowhere/at/all.db", "unable to open database file"),
     ("postgresql://ali:gizli@127.0.0.1:1/x", "127.0.0.1")],
)  # fmt: skip
def test_databases_that_cannot_be_used(tmp_path: Path, given: str, words: str) -> None:
    with pytest.raises(OtoyolError, match=words) as caught:
        run(given, tmp_path / "log")
    assert "gizli" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "trials.db").write_text("no database at all" * 100)
    with pytest.raises(OtoyolError, match="not a database"):
        run(f"sqlite:///{tmp_path}/trials.db", tmp_path / "log")


@pytest.mark.parametrize("name", ["steps", "limit", "grace_seconds", "attempts"])
def test_numbers_that_cannot_be(url: str, tmp_path: Path, name: str) -> None:
    with pytest.raises(SpecError, match=name):
        run_trials(["design0"], evaluate(tmp_path / "log", 0.0), storage=url, study="s", **{"steps": 4, name: 0})  # type: ignore[arg-type]
