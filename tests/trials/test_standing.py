"""The rule by which one trial of a design counts: cases by hand, and every interleaving of workers with old views."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otoyol.trials.standing import DESIGN, ERROR, RUN, STOPPED, SURPLUS, Tried, standing

State = Enum("State", ["WAITING", "RUNNING", "COMPLETE", "PRUNED", "FAIL"])


@dataclass
class Trial:
    number: int
    state: State
    user_attrs: dict[str, Any]
    intermediate_values: dict[int, float] = field(default_factory=dict)


def trial(number: int, state: str, design: int = 0, run: str = "r", **more: Any) -> Trial:
    return Trial(number, State[state], {DESIGN: design, RUN: run, **more}, {1: 0.5})


FAILED = {ERROR: "nan"}


@pytest.mark.parametrize(
    ("trials", "state", "number", "lost", "surplus"),
    [
        ([], "open", None, 0, ()),
        ([trial(3, "WAITING"), trial(5, "WAITING")], "waiting", 3, 0, (5,)),
        ([trial(5, "WAITING"), trial(3, "WAITING")], "waiting", 3, 0, (5,)),
        ([trial(3, "RUNNING"), trial(5, "WAITING")], "running", 3, 0, (5,)),
        ([trial(3, "COMPLETE"), trial(5, "WAITING")], "complete", 3, 0, (5,)),
        ([trial(3, "PRUNED")], "pruned", 3, 0, ()),
        ([trial(3, "FAIL")], "open", None, 1, ()),
        ([trial(3, "FAIL"), trial(5, "WAITING")], "waiting", 5, 1, ()),
        ([trial(3, "FAIL"), trial(5, "FAIL")], "lost", 5, 2, ()),
        ([trial(3, "FAIL"), trial(5, "FAIL"), trial(6, "COMPLETE")], "complete", 6, 2, ()),
        ([trial(3, "FAIL", **{STOPPED: True}), trial(5, "FAIL", **{SURPLUS: True})], "open", None, 0, ()),
        ([trial(3, "FAIL"), trial(5, "FAIL", **FAILED)], "failed", 5, 1, ()),
        ([trial(3, "COMPLETE", run="other"), trial(4, "WAITING", run="other")], "open", None, 0, ()),
        ([Trial(0, State.COMPLETE, {})], "open", None, 0, ()),
    ],
)
def test_what_a_design_s_trials_say(
    trials: list[Trial], state: str, number: int | None, lost: int, surplus: tuple[int, ...]
) -> None:
    now = standing(trials, ["a"], "r", attempts=2)
    (tried,) = now.tried
    assert (tried.state, tried.trial, tried.lost, now.surplus) == (state, number, lost, surplus)
    assert tried.final == (state in ("complete", "pruned", "failed", "lost"))


def test_designs_are_told_apart() -> None:
    now = standing([trial(0, "COMPLETE", 1), trial(1, "WAITING", 0), trial(2, "WAITING", 1)], ["a", "b"], "r", 3)
    assert now.tried == (Tried("a", "waiting", 0.5, 1, trial=1), Tried("b", "complete", 0.5, 1, trial=0))
    assert now.surplus == (2,)


class Study:
    """What the database grants: numbers that grow, a claim that one worker wins, states that end once."""

    def __init__(self) -> None:
        self.trials: list[Trial] = []

    def view(self) -> list[Trial]:
        return [Trial(t.number, t.state, dict(t.user_attrs)) for t in self.trials]

    def enqueue(self, design: int) -> None:
        self.trials.append(trial(len(self.trials), "WAITING", design))

    def claim(self, number: int) -> bool:
        if self.trials[number].state is not State.WAITING:
            return False
        self.trials[number].state = State.RUNNING
        return True

    def end(self, number: int, state: State) -> None:
        if self.trials[number].state in (State.WAITING, State.RUNNING):
            self.trials[number].state = state


def worker(study: Study) -> Iterator[None]:
    """A worker's loop, which pauses wherever another may come between what it saw and what it does."""
    while True:
        now = standing(study.view(), DESIGNS, "r", attempts=99)
        yield
        for number in now.surplus:
            study.end(number, State.FAIL)
            yield
        waiting = [tried.trial for tried in now.tried if tried.state == "waiting" and tried.trial is not None]
        claimed = next((number for number in waiting if study.claim(number)), None)
        if claimed is not None:
            yield
            study.end(claimed, State.COMPLETE)
            continue
        for index, tried in enumerate(now.tried):
            if tried.state == "open":
                study.enqueue(index)
                yield


DESIGNS = ["a", "b"]
SILENT = 3


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([0, 1, 2, 0, 1, 2, SILENT]), min_size=10, max_size=60))
def test_no_design_is_tried_by_two_at_once_however_workers_interleave(turns: list[int]) -> None:
    """Three workers in any order, any of them taken for dead at any time while it goes on."""
    study = Study()
    workers = [worker(study) for _ in range(3)]
    for turn in turns:
        if turn == SILENT:
            for one in study.trials:
                if one.state is State.RUNNING:
                    one.state = State.FAIL
                    break
        else:
            next(workers[turn])
        for index in range(len(DESIGNS)):
            mine = [one for one in study.trials if one.user_attrs[DESIGN] == index]
            assert sum(one.state in (State.RUNNING, State.COMPLETE) for one in mine) <= 1
