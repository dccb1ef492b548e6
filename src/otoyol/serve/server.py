"""The process: uvicorn on one address, until SIGTERM or SIGINT, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import signal
import socket
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

from otoyol.errors import MissingExtraError, SpecError
from otoyol.serve.app import make_app
from otoyol.serve.engine import open_engine
from otoyol.serve.limits import Limits
from otoyol.serve.log import begin_logging, log
from otoyol.serve.metrics import Metrics
from otoyol.serve.service import Service

try:
    import uvicorn
except ModuleNotFoundError as error:
    raise MissingExtraError("uvicorn", "serve") from error

from otoyol.serve.protocol import MAX_HEADER_BYTES, bounded_protocol

BACKLOG = 1024
SIGNALS = (signal.SIGTERM, signal.SIGINT)


def serve(
    artifact: str | os.PathLike[str], host: str, port: int, limits: Limits, *,
    log_requests: bool = True, listening: Callable[[str], object] = str,
) -> None:  # fmt: skip
    """Serve an ONNX artifact until SIGTERM or SIGINT; returns when everything that was inside is answered.

    ``port`` 0 takes a free one. ``listening`` is told the address once the engine has run and requests are taken.
    Raises SpecError for an artifact or an address that cannot be served.
    """
    import torch

    torch.set_num_threads(1)  # decoding has threads of its own, and each would bring a team
    engine = open_engine(artifact, limits.threads)
    service = Service(engine, limits, Metrics())
    listener = _bound(host, port)
    config = uvicorn.Config(
        make_app(service), http=bounded_protocol(limits), ws="none", loop="asyncio", lifespan="off", log_config=None,
        access_log=False, server_header=False, proxy_headers=False, timeout_keep_alive=limits.idle_s,
        timeout_graceful_shutdown=math.ceil(limits.read_timeout_s) + 1, h11_max_incomplete_event_size=MAX_HEADER_BYTES,
    )  # fmt: skip
    server = Draining(config, service)
    with listener:
        service.start()
        try:
            listener.listen(BACKLOG)
            begin_logging(log_requests)
            shown, number = f"[{host}]" if ":" in host else host, listener.getsockname()[1]
            listening(f"http://{shown}:{number}")
            log("begin", artifact=engine.name, task=engine.metadata.task, host=host, port=number, **limits.model_dump())
            server.run(sockets=[listener])
        finally:
            service.stop(force=service.inside > 0)  # what is inside after the drain is still being decoded
    if service.inside:
        server.leave()
    log("end")


def _bound(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise SpecError("port", port, "from 0 to 65535")
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, proto)
    except (OSError, UnicodeError) as error:  # the latter of a name that no domain can have
        reason = getattr(error, "strerror", None) or error
        raise SpecError("host", host, f"an address of this machine ({reason})") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise SpecError("port", f"{host}:{port}", f"an address that is free here ({error.strerror})") from None
    return listener


class Draining(uvicorn.Server):
    """uvicorn's server, which at the first signal still listens to say 503 while what is inside is answered, and leaves
    with status 0; at the second it leaves at once, with status 0 too."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self.service = service
        self._draining: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Like uvicorn's, which at the end would raise the signal again."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 (uvicorn's signature)
        if self._draining is not None:
            self.leave()
        if not self.started:
            self.should_exit = self.force_exit = True
            return
        log("draining", inside=self.service.inside)
        self.service.draining = True
        self._draining = asyncio.get_running_loop().create_task(self._drain())

    async def _drain(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.service.limits.drain_s):
                while self.service.inside:
                    await asyncio.sleep(0.02)
        self.should_exit = True

    def leave(self) -> NoReturn:
        """End the process at once; its own end would wait for threads that decode, and nothing can stop those."""
        log("end", inside=self.service.inside)
        os._exit(0)
