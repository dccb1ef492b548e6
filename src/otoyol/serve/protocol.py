"""uvicorn's HTTP/1.1 with bounds on clients that send slowly, read slowly, or are too many.

uvicorn bounds headers in size and idle connections in time. A client that sends one byte of a header a second, or that
does not take its answers, would keep its connection for ever.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from otoyol.serve.limits import Limits

MAX_HEADER_BYTES = 16 << 10
GRACE_S = 1.0  # beyond read_timeout_s: the application has answered 408 by then, where it reads a body
_TOLD = b'{"error": {"field": "connections", "given": "one more", "allowed": "fewer at once", "message": "too many"}}'
BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\n\r\n%b"
) % (len(_TOLD), _TOLD)


class Corked:
    """A transport that sends what is written in one round of the loop together: an answer's head and its body are one
    system call, and one packet."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._held: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._held:
            self._transport.write(b"".join(self._held))
            self._held.clear()


def bounded_protocol(limits: Limits) -> type[H11Protocol]:
    """A protocol class for uvicorn's ``http``."""

    class BoundedProtocol(H11Protocol):
        """``_receiving`` runs while a request has begun and is not whole, ``_sending`` while an answer is not taken."""

        _receiving: asyncio.TimerHandle | None = None
        _sending: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(cast(Any, Corked(transport, self.loop)))
            if len(self.connections) > limits.connections:
                transport.write(BUSY)
                transport.close()
            else:
                self._receiving = self._abort_later()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
                self._receiving = _stop(self._receiving)
            elif self._receiving is None:
                self._receiving = self._abort_later()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._sending = self._sending or self._abort_later()

        def resume_writing(self) -> None:
            super().resume_writing()
            self._sending = _stop(self._sending)

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._receiving, self._sending = _stop(self._receiving), _stop(self._sending)

        def _abort_later(self) -> asyncio.TimerHandle:
            return self.loop.call_later(limits.read_timeout_s + GRACE_S, self.transport.abort)

    return BoundedProtocol


def _stop(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    """The timer's place, empty."""
    if timer is not None:
        timer.cancel()
    return None
