"""One artifact at work: seats, decoding, batches, deadlines. Knows nothing of HTTP but its statuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, cast

import numpy as np

from otoyol.serve.batcher import Batcher
from otoyol.serve.engine import Engine
from otoyol.serve.limits import Limits
from otoyol.serve.mail import Mail
from otoyol.serve.metrics import Metrics
from otoyol.serve.prepare import Prepared, prepare
from otoyol.serve.refusal import Refusal


class Outcome(NamedTuple):
    """The image as the engine saw it, and the engine's answer: logits (classes,), or boxes, labels and scores."""

    image: Prepared
    output: Any


class Service:
    """Decoding threads in front of a :class:`Batcher`. Use :meth:`start` and :meth:`stop`, and :meth:`seat` around
    everything that a request holds."""

    def __init__(self, engine: Engine, limits: Limits, metrics: Metrics) -> None:
        self.engine, self.limits, self.metrics = engine, limits, metrics
        self.max_batch = 1 if engine.metadata.one_image else limits.max_batch
        self.ready = self.draining = False
        self._seated = self._stray = 0
        self._pool = ThreadPoolExecutor(limits.decoders, thread_name_prefix="otoyol-decode")
        self._batcher: Batcher | None = None
        self._mail: Mail | None = None

    def start(self) -> None:
        """Run every size of batch once, then answer. Raises OtoyolError where the artifact does not run."""
        self.engine.warm_up(self.max_batch)
        run = _one(self.engine) if self.engine.metadata.one_image else _rows(self.engine)
        self._batcher = Batcher(
            run, self.max_batch, self.limits.max_wait_ms / 1e3, self.limits.runs, self.metrics.ran_batch
        )
        self.metrics.watch(lambda: self.inside, lambda: len(self._batcher or ()))
        self.ready = True

    def stop(self, force: bool = False) -> None:
        """Answer what is inside and end the threads; with ``force`` nobody is waited for. What has not begun to be
        decoded is dropped: its request is over."""
        self.ready = False
        self._pool.shutdown(wait=not force, cancel_futures=True)
        if self._batcher is not None:
            self._batcher.close(wait=not force)

    @property
    def inside(self) -> int:
        """Requests that hold a seat, and images whose requests are over while their decoding is not."""
        return self._seated + self._stray

    @asynccontextmanager
    async def seat(self) -> AsyncIterator[None]:
        """A place in the service. Raises Refusal 503 where there is none, or the service stops."""
        if self.draining or not self.ready:
            raise Refusal(503, "service", "stopping" if self.draining else "starting", "requests while it is ready")
        if self.inside >= self.limits.queue:
            raise Refusal(503, "queue", f"{self.inside} requests inside", f"at most {self.limits.queue} at once")
        self._seated += 1
        try:
            yield
        finally:
            self._seated -= 1

    async def answer(self, data: bytes) -> Outcome:
        """What the engine says to the image in ``data``. Raises Refusal: 413 and 422 for the image, 504 where the
        deadline passes, 500 where the engine fails."""
        try:
            async with asyncio.timeout(self.limits.timeout_s):
                return await self._answer(data)
        except TimeoutError:
            given, allowed = f"no answer within {self.limits.timeout_s:g} s", "another try, later"
            raise Refusal(504, "timeout", given, allowed) from None

    async def _answer(self, data: bytes) -> Outcome:
        batcher = self._batcher
        assert batcher is not None  # noqa: S101 (seats are given after the start alone)
        batcher.expect()
        try:
            image = await self._decoded(data)
        except BaseException:
            batcher.give_up()
            raise
        try:
            output = await self._mailbox().awaited(batcher.submit(image.array))
        except Exception as error:
            raise Refusal(500, "model", type(error).__name__, "an image that the engine runs on") from error
        if not all(np.isfinite(part).all() for part in (output if isinstance(output, tuple) else (output,))):
            raise Refusal(500, "model", "an output that is not finite", "an image that the model has an answer to")
        return Outcome(image, output)

    async def _decoded(self, data: bytes) -> Prepared:
        """Decoded in the pool. What is no longer waited for keeps its place until its thread is free again."""
        held = [data]
        job = self._pool.submit(lambda: prepare(held.pop(), self.engine.metadata, self.limits.max_pixels))
        try:
            return cast(Prepared, await self._mailbox().awaited(job))
        except asyncio.CancelledError:
            if job.cancel():
                held.clear()  # the pool keeps a job that is cancelled until a thread comes to it
            elif not job.done():
                self._stray += 1
                mail = self._mailbox()
                job.add_done_callback(lambda _: mail.post(self._found))
            raise

    def _found(self) -> None:
        self._stray -= 1

    def _mailbox(self) -> Mail:
        """The running loop's; another loop than before gets one of its own."""
        loop = asyncio.get_running_loop()
        if self._mail is None or self._mail.loop is not loop:
            self._mail = Mail(loop)
        return self._mail


def _rows(engine: Engine) -> Callable[[np.ndarray], Any]:
    """(n, …) to n rows of logits."""
    return lambda images: engine.run(images)[0]


def _one(engine: Engine) -> Callable[[np.ndarray], Any]:
    """(1, …) to one image's boxes, labels and scores."""
    return lambda images: [tuple(engine.run(images))]
