"""What every request must pass and every response carries: host, origin, body, time; a strict policy for the page."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Iterable
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from otoyol.explain.refusal import sentence
from otoyol.spec.files import MAX_BYTES
from otoyol.web.reply import reader

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
BODY_SECONDS = 10.0  # in which a body must have arrived
METHODS = ("GET", "HEAD", "POST")

# Nothing inline and nothing from elsewhere. Charts and diagrams set styles through the DOM, which this allows.
POLICY = "; ".join(
    (
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data: blob:",
        "connect-src 'self'", "font-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
    )
)  # fmt: skip
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)
_log = logging.getLogger(__name__)


class Refusal(Exception):  # noqa: N818 (an answer, no failure)
    """A request that is answered before it is looked at. ``status`` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        self.status, self.message = status, message
        super().__init__(message)


class Guard:
    """ASGI middleware around everything else.

    Requests must name one of ``hosts`` (a page elsewhere could otherwise reach this one by a name of its own), come
    from this page or from no page, and bring at most ``limit`` bytes. ``Server-Timing`` says how long the answer took.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str] = LOOPBACK, limit: int = MAX_BYTES) -> None:
        self.app, self.hosts, self.limit = app, frozenset(host.lower() for host in hosts), limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        start = time.perf_counter()
        begun = False

        async def answer(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                spent = f"app;dur={(time.perf_counter() - start) * 1e3:.2f}".encode()
                message = {**message, "headers": [*message["headers"], *HEADERS, (b"server-timing", spent)]}
            await send(message)

        try:
            self._check(scope)
            body = await self._body(scope, receive)
            start = time.perf_counter()  # how long a body takes to arrive is the client's affair
            await self.app(scope, _replay(body, receive), answer)
        except Refusal as refusal:
            await _refuse(answer, scope, refusal.status, refusal.message)
        except Exception:
            _log.exception("%s %s", scope["method"], scope["path"])
            if begun:
                raise
            await _refuse(answer, scope, 500, "an error inside otoyol studio; its terminal says more")

    def _check(self, scope: Scope) -> None:
        headers = _headers(scope)
        hosts = headers.get(b"host", [])
        if len(hosts) != 1 or _name(hosts[0]) not in self.hosts:
            raise Refusal(421, f"this page answers to {', '.join(sorted(self.hosts))} only")
        if scope["method"] not in METHODS:
            raise Refusal(405, f"methods {', '.join(METHODS)}")
        if scope["method"] != "POST":
            return
        own = (b"http://" + hosts[0], b"https://" + hosts[0])  # a balancer may end TLS
        strange = any(origin not in own for origin in headers.get(b"origin", ()))
        if strange or headers.get(b"sec-fetch-site", [b"same-origin"])[0] not in (b"same-origin", b"none"):
            raise Refusal(403, "questions come from this page or from no page")
        if headers.get(b"content-type", [b""])[0].split(b";")[0].strip() != b"application/json":
            raise Refusal(415, "a body of application/json")

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body, so that nothing behind this ever waits for one. Raises Refusal."""
        if scope["method"] != "POST":
            return b""
        length = _headers(scope).get(b"content-length", [b"0"])[0]
        if not length.isdigit() or len(length) > 18 or int(length) > self.limit:
            raise Refusal(413, f"a body of at most {self.limit} bytes")
        body = b""
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        return b""
                    body += message.get("body", b"")
                    if len(body) > self.limit:
                        raise Refusal(413, f"a body of at most {self.limit} bytes")
                    if not message.get("more_body"):
                        return body
        except TimeoutError:
            raise Refusal(408, f"a body within {BODY_SECONDS:.0f} s") from None


def _headers(scope: Scope) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.lower(), []).append(value)
    return found


def _name(host: bytes) -> str:
    """The host without its port."""
    text = host.decode("latin-1").lower()
    name, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    return name if colon and port.isdecimal() else text


def _replay(body: bytes, receive: Receive) -> Receive:
    told = False

    async def again() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _refuse(send: Any, scope: Scope, status: int, message: str) -> None:
    """The message in the language of whoever asks; what they sent may be no request at all, so of it only that header
    is looked at."""
    body = json.dumps({"error": {"message": sentence(message, reader(Request(scope)))}}, ensure_ascii=False).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if status in (408, 413):  # the rest of the body is not wanted
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
