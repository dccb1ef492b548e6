"""A worker with an evaluation that only waits: `python _worker.py URL STUDY LOG COUNT SECONDS GRACE HANG`.

Each evaluation writes one line to LOG when it begins and one when it ends, by appending, so that the log tells what
truly ran, whatever the database says. With HANG the evaluation of that number, from 1, never ends.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator
from pathlib import Path

from otoyol.trials import run_trials

STEPS = 4


def value(design: str) -> float:
    """A known accuracy for each design."""
    return 1 / (2 + int(design.removeprefix("design")))


def evaluate(log: Path, seconds: float, hang: int = 0) -> object:
    begun = []

    def write(word: str, design: str) -> None:
        with log.open("a") as file:
            file.write(f"{word} {design} {os.getpid()}\n")

    def run(design: str) -> Generator[tuple[int, float], None, None]:
        write("begin", design)
        begun.append(design)
        for step in range(1, STEPS + 1):
            time.sleep(1000 if len(begun) == hang else seconds)
            yield step, value(design) * step / STEPS
        write("end", design)

    return run


def designs(count: int) -> list[str]:
    return [f"design{index}" for index in range(count)]


if __name__ == "__main__":
    url, study, log, count, seconds = sys.argv[1:6]
    grace, hang = map(int, sys.argv[6:8])
    found = run_trials(
        designs(int(count)), evaluate(Path(log), float(seconds), hang),  # type: ignore[arg-type]
        storage=url, study=study, steps=STEPS, grace_seconds=grace,
    )  # fmt: skip
    print(sum(tried.state == "complete" for tried in found.tried), found.finished)
