"""Requests to an application in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from otoyol.serve import Limits, Metrics, Service, make_app, open_engine


@contextmanager
def started(artifact: Path, **limits: Any) -> Iterator[tuple[Any, Service]]:
    """The application of an artifact, and the service behind it."""
    bounds = Limits(**limits)
    service = Service(open_engine(artifact, bounds.threads), bounds, Metrics())
    service.start()
    try:
        yield make_app(service), service
    finally:
        service.stop()


def client(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://service")


def ask(app: Any, method: str, path: str, **request: Any) -> httpx.Response:
    async def once() -> httpx.Response:
        async with client(app) as asking:
            return await asking.request(method, path, **request)

    return asyncio.run(once())


def send(app: Any, data: bytes, kind: str = "image/png", path: str = "/v1/predict") -> httpx.Response:
    return ask(app, "POST", path, content=data, headers={"content-type": kind})


def error(response: httpx.Response) -> dict[str, Any]:
    """The one form of every error: field, given, allowed, message."""
    page = response.json()
    assert set(page) == {"error"} and set(page["error"]) == {"field", "given", "allowed", "message"}
    return page["error"]
