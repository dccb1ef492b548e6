"""The studio on loopback and a real browser that may ask nothing of anyone else."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

import otoyol
from otoyol.measure import Latency

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextmanager
def serving(**options: Any) -> Iterator[str]:
    """The studio's address, ``http://127.0.0.1:PORT``; ``options`` are those of ``make_app``."""
    import uvicorn

    from otoyol.web import make_app

    # TCP by its name, so that asyncio waits for no ACK.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen(256)
    config = uvicorn.Config(make_app(**options), log_level="warning", access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = server.force_exit = True
        thread.join(10)
        listening.close()


def opened(visit: Callable[..., Any], address: str, state: str) -> Any:
    """The page of a link, once it shows the figures of its design; ``state`` is the text behind its version."""
    page = visit(f"{address}/#v=1&{state}")
    page.wait_for_selector("#panel-figures dd:not(:empty)")
    return page


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Debian's Chromium, headless. Playwright keeps an event loop running, beside which no other test of this process
    could start one: it ends with the module."""
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH: the browser checks cannot run")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is in the extra dev")
    with api.sync_playwright() as playwright:
        root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=[*root, "--disable-quic"])
        yield launched
        launched.close()


@pytest.fixture
def visit(chromium: Any) -> Iterator[Callable[..., Any]]:
    """``visit(address, **options of a page)`` opens a page; at the end no page has said a word on its console, raised
    an error or asked anyone but this machine."""
    pages: list[Any] = []
    trouble: list[str] = []

    def told(message: Any) -> None:
        if message.type in ("error", "warning"):
            trouble.append(message.text)

    def asked(request: Any) -> None:
        if not request.url.startswith(("data:", "blob:")) and urlsplit(request.url).hostname != "127.0.0.1":
            trouble.append(f"asked {request.url}")

    def open_page(address: str, **options: Any) -> Any:
        page = chromium.new_page(**{"viewport": {"width": 1280, "height": 900}, "locale": "en-GB", **options})
        page.set_default_timeout(20_000)
        page.on("console", told)
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("request", asked)
        page.goto(address)
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert trouble == []


def milliseconds(spec: otoyol.Spec) -> float:
    return sum(stage.depth * stage.width for stage in spec.stages) / 1e3


class Clock:
    """A scorer whose law is known: a microsecond for each block and channel."""

    table_bytes = 0

    def __init__(self, predictor: Any = None, largest_table: int = 0) -> None:
        self.of: dict[otoyol.Spec, None] = {}
        self.predictor = self

    def predict(self, spec: otoyol.Spec) -> Latency:
        ms = milliseconds(spec)
        return Latency(ms, ms / 2, ms * 2, ())

    def __call__(self, structure: otoyol.Spec, depths: Any, widths: Any) -> Any:
        self.of[structure] = None
        return (np.asarray(depths) * np.asarray(widths)).sum(axis=1) / 1e3
