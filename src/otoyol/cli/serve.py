"""otoyol serve: an ONNX artifact behind HTTP, until it is told to stop."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from otoyol.cli.options import Lang, option
from otoyol.cli.words import language, word


def serve(
    artifact: Annotated[Path, option("artifact")],
    /,
    *,
    host: Annotated[str, option("host", "--host")] = "127.0.0.1",
    port: Annotated[int, option("port", "--port")] = 8000,
    threads: Annotated[int, option("serve_threads", "--threads")] = 1,
    runs: Annotated[int | None, option("runs", "--runs")] = None,
    decoders: Annotated[int | None, option("decoders", "--decoders")] = None,
    max_batch: Annotated[int, option("max_batch", "--max-batch")] = 8,
    max_wait_ms: Annotated[float, option("max_wait_ms", "--max-wait-ms")] = 2.0,
    queue: Annotated[int, option("queue", "--queue")] = 64,
    max_bytes: Annotated[int, option("max_bytes", "--max-bytes")] = 8 << 20,
    max_pixels: Annotated[int, option("max_pixels", "--max-pixels")] = 32 << 20,
    timeout: Annotated[float, option("timeout", "--timeout")] = 10.0,
    read_timeout: Annotated[float, option("read_timeout", "--read-timeout")] = 10.0,
    idle: Annotated[int, option("idle", "--idle")] = 15,
    connections: Annotated[int, option("connections", "--connections")] = 512,
    drain: Annotated[float, option("drain", "--drain")] = 30.0,
    quiet: Annotated[bool, option("serve_quiet", "--quiet")] = False,
    lang: Lang = None,
) -> None:
    with _ended_by_sigterm():
        from otoyol.measure.fingerprint import cores
        from otoyol.serve import Limits
        from otoyol.serve import serve as run
        from otoyol.serve.cores import usable_cores

        usable = usable_cores(cores())
        limits = Limits(
            threads=threads, runs=max(1, usable + 1 - threads) if runs is None else runs,
            decoders=max(1, usable // 2) if decoders is None else decoders,
            max_batch=max_batch, max_wait_ms=max_wait_ms, queue=queue, max_bytes=max_bytes, max_pixels=max_pixels,
            timeout_s=timeout, read_timeout_s=read_timeout, idle_s=idle, connections=connections, drain_s=drain,
        )  # fmt: skip
        tongue = language(lang)
        run(
            artifact, host, port, limits, log_requests=not quiet,
            listening=lambda url: print(word("serve.listening", tongue, artifact=artifact.name, url=url), flush=True),
        )  # fmt: skip


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM before anything is served, while libraries are read and the engine runs for the first time: status 0. As
    the first process of a container this one would not be ended by it at all."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
