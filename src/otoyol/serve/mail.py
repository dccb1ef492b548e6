"""From threads to the event loop, waking it once for many messages: each wake-up is a system call, and a round."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import Any


class Mail:
    """Calls for one event loop, in order. Any thread may :meth:`post`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._woken = False

    def post(self, call: Callable[..., object], *arguments: Any) -> None:
        self._calls.append((call, arguments))
        if not self._woken:  # two threads that both see this wake the loop twice, which does no harm
            self._woken = True
            with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody listens any more
                self.loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._woken = False  # first, so that what is posted from now on wakes the loop again
        while self._calls:
            call, arguments = self._calls.popleft()
            call(*arguments)

    def awaited(self, future: Future[Any]) -> asyncio.Future[Any]:
        """A thread's future for the loop to wait for, as asyncio.wrap_future; cancelled with it where it can be."""
        ours: asyncio.Future[Any] = self.loop.create_future()

        def pass_on(theirs: Future[Any]) -> None:
            if ours.done():
                return
            try:
                ours.set_result(theirs.result())
            except CancelledError:
                ours.cancel()
            except Exception as error:
                ours.set_exception(error)

        def cancel(ours: asyncio.Future[Any]) -> None:
            if ours.cancelled():
                future.cancel()

        ours.add_done_callback(cancel)
        future.add_done_callback(lambda theirs: self.post(pass_on, theirs))
        return ours
