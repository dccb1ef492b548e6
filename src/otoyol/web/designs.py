"""What the page asks about a design: its parts, the nearest one that is valid, its report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from otoyol.report import html
from otoyol.web.asks import DesignAsk, ReportAsk, SpecAsk, read
from otoyol.web.nearest import nearest
from otoyol.web.parts import describe
from otoyol.web.reply import reply
from otoyol.web.shown import parse_shown

# Parts that look at every operator of the network; the others take a millisecond or two however deep it is.
SLOW = {"memory", "highway", "answers", "explored"}


def routes(scorers: Mapping[str, Any]) -> APIRouter:
    """POST ``/api/design``, ``/api/nearest``, ``/api/report``; bodies are those of :mod:`otoyol.web.asks`."""
    router = APIRouter()

    @router.post("/api/design")
    async def design(request: Request) -> Response:
        ask = read(DesignAsk, await request.body())
        if ask.match or SLOW.intersection(ask.parts):  # not in the way of others
            return reply(await run_in_threadpool(describe, ask, scorers))
        return reply(describe(ask, scorers))

    @router.post("/api/nearest")
    async def offers(request: Request) -> Response:
        ask = read(SpecAsk, await request.body())
        found = await run_in_threadpool(nearest, ask.spec)
        return reply({"offers": [offer._asdict() for offer in found]})

    @router.post("/api/report")
    async def report(request: Request) -> Response:
        ask = read(ReportAsk, await request.body())
        specs = [parse_shown(text) for text in ask.specs]
        page = await run_in_threadpool(html, specs, ask.lang, batch=ask.batch, dtype=ask.dtype)
        return Response(page, 200, {"cache-control": "no-store"}, "text/html")

    return router
