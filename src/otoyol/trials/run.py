"""run_trials: one worker of a study. Any number may run at once, on one machine or many, and any may be killed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from threading import Event, Thread
from typing import Any, NamedTuple

import optuna
import sqlalchemy
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import TrialState

from otoyol.errors import OtoyolError, SpecError, TrainingError
from otoyol.trials.prune import Prune, make_pruner, prune_facts
from otoyol.trials.standing import (
    DESIGN,
    ERROR,
    RUN,
    SECONDS,
    STOPPED,
    SURPLUS,
    WORKER,
    Standing,
    Tried,
    standing,
)
from otoyol.trials.storage import heartbeat_seconds, open_storage, reason, shown

Evaluate = Callable[[str], Generator[tuple[int, float], None, None]]
"""A design's text form → (step, accuracy) from time to time, the last one at the end."""

IDENTITY = "otoyol"  # the study's attribute that tells what it is a study of
AHEAD = 16  # trials enqueued at once
POLL_SECONDS = 1.0


class TrialProgress(NamedTuple):
    """``done`` of ``total`` designs; ``design`` is this worker's, None while it waits for others' to end."""

    done: int
    total: int
    design: str | None
    step: int = 0
    accuracy: float | None = None


class Trials(NamedTuple):
    """``tried``: one a design, in the order given. ``finished``: every design has ended. ``interrupted``: Ctrl-C."""

    tried: tuple[Tried, ...]
    finished: bool
    interrupted: bool


def run_trials(
    designs: Sequence[str], evaluate: Evaluate, *, storage: str, study: str, steps: int,
    identity: Mapping[str, Any] | None = None, prune: Prune | None = None, limit: int | None = None,
    grace_seconds: int = 60, attempts: int = 3, progress: Callable[[TrialProgress], None] | None = None,
) -> Trials:  # fmt: skip
    """Try every design once together with all other workers of the same ``study`` at ``storage``, a database's URL.

    ``evaluate`` yields (step, accuracy); before step ``steps`` each is a chance to ``prune`` the trial. A TrainingError
    that it raises ends the trial as failed; any other OtoyolError gives the trial back and is raised. ``identity``:
    plain data on whatever else decides a trial's outcome; a study made with other designs, steps, identity, pruning or
    grace is refused.

    Returns when every design has ended, in whichever worker, or after ``limit`` trials of this one. A trial whose
    worker has been silent for ``grace_seconds`` is begun anew by another, ``attempts`` times at most. Ctrl-C gives the
    trial at hand back and returns what is done; running again goes on.

    Raises SpecError for arguments that cannot be, OtoyolError where the database does not answer or the study is of
    something else.
    """
    for name, given in (("steps", steps), ("limit", limit), ("grace_seconds", grace_seconds), ("attempts", attempts)):
        if given is not None and given < 1:
            raise SpecError(name, given, "a whole number from 1")
    designs = tuple(dict.fromkeys(designs))
    if not designs:
        raise SpecError("designs", "nothing", "at least one design")
    if not 1 <= len(study) <= 512:
        raise SpecError("study", study, "a name of 1 to 512 characters")
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # its log repeats on standard error what we tell
    facts = {
        "steps": steps, "designs": len(designs), "designs_sha256": _digest(list(designs)),
        "grace_seconds": grace_seconds, "prune": prune_facts(prune), **(identity or {}),
    }  # fmt: skip
    try:
        worker = _Worker(designs, evaluate, storage, study, json.loads(json.dumps(facts)), prune, attempts, progress)
        return worker.work(steps, limit, heartbeat_seconds(grace_seconds))
    except (StorageInternalError, sqlalchemy.exc.SQLAlchemyError) as error:
        raise OtoyolError(
            f"trials: the database {shown(storage)} failed: {reason(error)}; what was done is kept, run again to go on"
        ) from error


class _Worker:
    def __init__(
        self, designs: tuple[str, ...], evaluate: Evaluate, url: str, name: str, facts: dict[str, Any],
        prune: Prune | None, attempts: int, progress: Callable[[TrialProgress], None] | None,
    ) -> None:  # fmt: skip
        self.designs, self.evaluate, self.facts, self.attempts = designs, evaluate, facts, attempts
        self.grace_seconds, self.run = int(facts["grace_seconds"]), _digest(facts)
        self.tell = progress or (lambda _: None)
        self.storage = open_storage(url, self.grace_seconds)
        self.study = optuna.create_study(
            storage=self.storage, study_name=name, direction="maximize", load_if_exists=True,
            sampler=optuna.samplers.RandomSampler(seed=0), pruner=make_pruner(prune),
        )  # fmt: skip
        self.study_id = self.storage.get_study_id_from_name(name)
        if IDENTITY not in self.study.user_attrs:
            if self.study.get_trials(deepcopy=False):
                raise OtoyolError(f"trials: the study {name!r} at {shown(url)} was not made by otoyol; name another")
            self.study.set_user_attr(IDENTITY, facts)

    def work(self, steps: int, limit: int | None, beat_seconds: int) -> Trials:
        """Trials until every design has ended, ``limit`` is reached or Ctrl-C comes."""
        mine, interrupted = 0, False
        try:
            while True:
                now = self.look()
                self.drop(now.surplus)
                done = sum(tried.final for tried in now.tried)
                if done == len(self.designs) or (limit is not None and mine >= limit):
                    break
                claimed = self.claim(now)
                if claimed is not None:
                    self.attempt(*claimed, steps, beat_seconds, done)
                    mine += 1
                elif not self.enqueue(now):
                    self.tell(TrialProgress(done, len(self.designs), None))
                    time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            interrupted = True
            self.storage.remove_session()  # it may have been amid a transaction
        tried = self.look().tried
        self.storage.engine.dispose()
        return Trials(tried, all(one.final for one in tried), interrupted)

    def look(self) -> Standing:
        """Where the designs stand now, after giving up trials whose workers are silent."""
        known = self.study.user_attrs.get(IDENTITY)
        if known != self.facts:  # looked at each time: two first workers may have written at the same moment
            self._refuse(known or {})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            optuna.storages.fail_stale_trials(self.study)
        return standing(self.study.get_trials(deepcopy=False), self.designs, self.run, self.attempts)

    def _refuse(self, known: dict[str, Any]) -> None:
        other = next(key for key in {**self.facts, **known} if self.facts.get(key) != known.get(key))
        raise OtoyolError(
            f"trials: the study {self.study.study_name!r} was made with {other} {json.dumps(known.get(other))}, "
            f"this is {json.dumps(self.facts.get(other))}; name another study"
        )

    def identify(self, number: int) -> int:
        return self.storage.get_trial_id_from_study_id_trial_number(self.study_id, number)

    def drop(self, numbers: Sequence[int]) -> None:
        """End waiting trials of designs that have an earlier one."""
        for number in numbers:
            with contextlib.suppress(UpdateFinishedTrialError):
                self.storage.set_trial_user_attr(self.identify(number), SURPLUS, True)
                self.storage.set_trial_state_values(self.identify(number), TrialState.FAIL)

    def enqueue(self, now: Standing) -> bool:
        """Put designs that nobody has into the queue; False where there are none."""
        free = [index for index, tried in enumerate(now.tried) if tried.state == "open"][:AHEAD]
        for index in free:
            attributes = {DESIGN: index, "spec": self.designs[index], RUN: self.run}
            self.study.enqueue_trial({DESIGN: index}, user_attrs=attributes)
        return bool(free)

    def claim(self, now: Standing) -> tuple[int, str] | None:
        """Take a waiting trial: (its id in the storage, its design)."""
        for tried in now.tried:
            if tried.state != "waiting" or tried.trial is None:
                continue
            trial_id = self.identify(tried.trial)
            self.storage.record_heartbeat(trial_id)  # first: Optuna never gives up a running trial that has none
            with contextlib.suppress(UpdateFinishedTrialError):
                if self.storage.set_trial_state_values(trial_id, TrialState.RUNNING):
                    return trial_id, tried.design
        return None

    def attempt(self, trial_id: int, design: str, steps: int, beat_seconds: int, done: int) -> None:
        """Run one trial to its end. One that others have given up meanwhile is dropped: it is theirs now."""
        began = time.monotonic()

        def end(state: TrialState, values: Sequence[float] | None, why: str = "", said: str | bool = True) -> None:
            self.storage.set_trial_user_attr(trial_id, SECONDS, round(time.monotonic() - began, 3))
            if why:
                self.storage.set_trial_user_attr(trial_id, why, said)
            self.storage.set_trial_state_values(trial_id, state, values)

        try:
            with _beating(self.storage, trial_id, beat_seconds):
                trial = optuna.trial.Trial(self.study, trial_id)
                trial.suggest_int(DESIGN, 0, len(self.designs) - 1)
                trial.set_user_attr(WORKER, f"{socket.gethostname()}:{os.getpid()}")
                try:
                    accuracy, pruned = self._evaluated(trial, design, steps, done)
                except TrainingError as error:
                    end(TrialState.FAIL, None, ERROR, str(error)[:2000])
                else:
                    end(TrialState.PRUNED if pruned else TrialState.COMPLETE, [accuracy])
        except UpdateFinishedTrialError:
            pass
        except (KeyboardInterrupt, OtoyolError):
            self.storage.remove_session()
            with contextlib.suppress(UpdateFinishedTrialError):
                end(TrialState.FAIL, None, STOPPED)
            raise

    def _evaluated(self, trial: optuna.Trial, design: str, steps: int, done: int) -> tuple[float, bool]:
        """The last accuracy, and whether the trial was given up before its end."""
        self.tell(TrialProgress(done, len(self.designs), design))
        accuracy = None
        with contextlib.closing(self.evaluate(design)) as reports:
            for step, accuracy in reports:
                trial.report(accuracy, step)
                self.tell(TrialProgress(done, len(self.designs), design, step, accuracy))
                if step < steps and trial.should_prune():
                    return accuracy, True
        if accuracy is None:
            raise TrainingError("trials: the evaluation ended without an accuracy")
        return accuracy, False


@contextlib.contextmanager
def _beating(storage: optuna.storages.RDBStorage, trial_id: int, seconds: int) -> Iterator[None]:
    """Say every few seconds that the trial's worker is alive."""
    stop = Event()

    def beat() -> None:
        while not stop.wait(seconds):
            with contextlib.suppress(StorageInternalError, sqlalchemy.exc.SQLAlchemyError):
                storage.record_heartbeat(trial_id)
        storage.remove_session()

    thread = Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
