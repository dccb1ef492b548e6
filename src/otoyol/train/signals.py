"""SIGTERM and Ctrl-C as a wish that the loop looks at, so that it can save first."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STATUS = 128  # a shell's status of a program that a signal ended: 130 for Ctrl-C, 143 for SIGTERM


class Stop:
    """``signal``: the number of the signal that came, 0 for none."""

    signal: int = 0

    @property
    def asked(self) -> bool:
        return self.signal != 0

    @property
    def status(self) -> int:
        """The exit status that tells of the signal."""
        return STATUS + self.signal if self.signal else 0


@contextmanager
def watched() -> Iterator[Stop]:
    """Inside, the first SIGTERM or Ctrl-C only sets ``signal``; a second Ctrl-C interrupts at once. Only the main
    thread can watch; elsewhere nothing is ever asked."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, _: FrameType | None) -> None:
        if stop.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.signal = number

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
