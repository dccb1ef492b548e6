"""Where each design stands, read from a study's trials alone.

A worker may die at any moment, two may enqueue one design at once, and a worker that was taken for dead may wake up.
What keeps each design counted once is a rule on what has been written, the same for every worker: **of a design's
trials that have not failed, the one with the lowest number counts, and the others are never run**. Numbers only grow
and failure is final, so that a trial to which the rule once gave the design keeps it until it fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

State = Literal["open", "waiting", "running", "complete", "pruned", "failed", "lost"]
FINAL = ("complete", "pruned", "failed", "lost")
DESIGN, RUN, ERROR, STOPPED, SURPLUS, WORKER, SECONDS = (
    "design", "run", "error", "stopped", "surplus", "worker", "seconds"
)  # fmt: skip
"""Names of a trial's attributes. A failed trial without ERROR, STOPPED and SURPLUS lost its worker."""


class Trial(Protocol):
    """What is read of Optuna's FrozenTrial."""

    number: int
    user_attrs: dict[str, Any]
    intermediate_values: dict[int, float]

    @property
    def state(self) -> Any: ...


class Tried(NamedTuple):
    """A design and what became of it.

    ``state``: ``open`` (nobody has it), ``waiting``, ``running``, ``complete``, ``pruned``, ``failed`` (``error`` says
    why) or ``lost`` (its worker died every time). ``accuracy`` and ``steps`` are the last reported ones.
    ``lost``: how many workers died over it. ``trial``: the number of the trial that counts.
    """

    design: str
    state: State
    accuracy: float | None = None
    steps: int = 0
    lost: int = 0
    trial: int | None = None
    worker: str | None = None
    seconds: float | None = None
    error: str | None = None

    @property
    def final(self) -> bool:
        return self.state in FINAL


class Standing(NamedTuple):
    """``tried``: one a design. ``surplus``: numbers of waiting trials that must never run."""

    tried: tuple[Tried, ...]
    surplus: tuple[int, ...]


def standing(trials: Iterable[Trial], designs: Sequence[str], run: str, attempts: int) -> Standing:
    """Where each of ``designs`` stands; trials that belong to another ``run`` are not looked at."""
    by_design: dict[int, list[Trial]] = {}
    surplus: list[int] = []
    for trial in sorted(trials, key=lambda trial: trial.number):
        if trial.user_attrs.get(RUN) == run:
            by_design.setdefault(trial.user_attrs[DESIGN], []).append(trial)
    for mine in by_design.values():
        alive = [trial for trial in mine if _state(trial) != "fail"]
        surplus += [trial.number for trial in alive[1:] if _state(trial) == "waiting"]
    tried = tuple(_tried(text, by_design.get(index, []), attempts) for index, text in enumerate(designs))
    return Standing(tried, tuple(surplus))


def _state(trial: Trial) -> str:
    return str(trial.state.name).lower()


def _tried(design: str, trials: list[Trial], attempts: int) -> Tried:
    failed = [trial for trial in trials if _state(trial) == "fail"]
    lost = [trial for trial in failed if not {ERROR, STOPPED, SURPLUS} & set(trial.user_attrs)]
    for trial in trials:
        if _state(trial) != "fail":
            return _told(design, _state(trial), trial, len(lost))  # type: ignore[arg-type]
    for trial in failed:
        if ERROR in trial.user_attrs:
            return _told(design, "failed", trial, len(lost))
    if len(lost) >= attempts:
        return _told(design, "lost", lost[-1], len(lost))
    return Tried(design, "open", lost=len(lost))


def _told(design: str, state: State, trial: Trial, lost: int) -> Tried:
    values: Mapping[int, float] = trial.intermediate_values
    last = max(values, default=0)
    attributes = trial.user_attrs
    return Tried(
        design, state, values.get(last), last, lost, trial.number, attributes.get(WORKER), attributes.get(SECONDS),
        attributes.get(ERROR),
    )  # fmt: skip
