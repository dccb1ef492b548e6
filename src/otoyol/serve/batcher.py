"""Micro-batching: threads that run the engine on what has gathered, and that never wait for nobody."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

import numpy as np

Output = Any
Run = Callable[[np.ndarray], Sequence[Output]]
Watch = Callable[[int, float], None]


class Job(NamedTuple):
    """One image, the future of its output, and when it came (monotonic seconds)."""

    image: np.ndarray
    future: Future[Output]
    came: float


class Batcher:
    """``run`` takes (n, …), n from 1 to ``max_batch``, and gives n outputs; ``threads`` of it at the same time.

    A batch is run as soon as it is full, or its first image has waited ``max_wait_s``, or nobody else is on the way:
    whoever will :meth:`submit` says so before, by :meth:`expect`, and takes it back by :meth:`give_up` otherwise. While
    the engine is busy images gather by themselves. ``watch`` is told every batch's size and seconds.
    """

    def __init__(self, run: Run, max_batch: int, max_wait_s: float, threads: int, watch: Watch) -> None:
        self._run, self._max_batch, self._max_wait_s, self._watch = run, max_batch, max_wait_s, watch
        self._jobs: deque[Job] = deque()
        self._expected = 0
        self._closed = False
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._work, name=f"otoyol-engine-{i}", daemon=True) for i in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def __len__(self) -> int:
        """Images that wait."""
        return len(self._jobs)

    def expect(self) -> None:
        """Another image is on its way."""
        with self._changed:
            self._expected += 1

    def give_up(self) -> None:
        """It is not any longer."""
        with self._changed:
            self._expected -= 1
            self._changed.notify_all()

    def submit(self, image: np.ndarray) -> Future[Output]:
        """The future of an expected image's output. A job that is cancelled while it waits is not run."""
        job = Job(image, Future(), time.monotonic())
        with self._changed:
            self._expected -= 1
            if self._closed:
                job.future.cancel()
            else:
                self._jobs.append(job)
            self._changed.notify_all()
        return job.future

    def close(self, wait: bool = True) -> None:
        """Run what waits, then end the threads; without ``wait`` they are left to do so by themselves."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads if wait else ():
            thread.join()

    def _work(self) -> None:
        while jobs := self._gather():
            self._answer(jobs)

    def _gather(self) -> list[Job]:
        """The next batch; empty after the end. A job that was cancelled is left out, and nobody can cancel the rest."""
        with self._changed:
            while True:
                while not self._jobs:
                    if self._closed:
                        return []
                    self._changed.wait()
                self._wait_for_more()
                jobs: list[Job] = []
                while self._jobs and len(jobs) < self._max_batch:
                    job = self._jobs.popleft()
                    if job.future.set_running_or_notify_cancel():
                        jobs.append(job)
                if jobs:
                    return jobs

    def _wait_for_more(self) -> None:
        while self._jobs and len(self._jobs) < self._max_batch and self._expected and not self._closed:
            left = self._jobs[0].came + self._max_wait_s - time.monotonic()
            if left <= 0.0:
                return
            self._changed.wait(left)

    def _answer(self, jobs: list[Job]) -> None:
        began = time.monotonic()
        try:
            outputs = self._run(np.stack([job.image for job in jobs]))
            pairs = list(zip(jobs, outputs, strict=True))
        except Exception as error:  # whatever the engine raises is these requests' answer, and not the thread's end
            for job in jobs:
                job.future.set_exception(error)
            return
        finally:
            self._watch(len(jobs), time.monotonic() - began)
        for job, output in pairs:
            job.future.set_result(output)
