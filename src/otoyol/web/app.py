"""make_app(): the page and what it asks, as one ASGI application."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.exceptions import HTTPException

from otoyol.errors import OtoyolError
from otoyol.explain.refusal import sentence
from otoyol.web import designs, page, runs, searches
from otoyol.web.guard import LOOPBACK, Guard
from otoyol.web.reply import reader, reply, told

if TYPE_CHECKING:
    from otoyol.measure import Scorer

Scorers = Mapping[str, "Scorer"]
# Each module answers some of the page's questions; what every move asks comes first, for routes are tried in order.
ROUTES: tuple[Callable[[Scorers], APIRouter], ...] = (designs.routes, searches.routes, page.routes)


def make_app(
    scorers: Scorers | None = None, hosts: Sequence[str] = LOOPBACK, folder: Path | None = None
) -> FastAPI:  # fmt: skip
    """The studio as an ASGI application.

    ``scorers`` predict latency, by their tables' settings (``ort,b1,t2``). ``hosts`` are the names by which the page
    may be called; behind a balancer, the balancer's. ``folder`` holds the files of runs to be looked at. Nothing is
    kept between requests but bounded caches.
    """
    app = FastAPI(title="otoyol studio", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Guard, hosts=hosts)
    app.add_exception_handler(OtoyolError, _refused)
    app.add_exception_handler(HTTPException, _no_such)
    for routes in ROUTES:
        app.include_router(routes(scorers or {}))
    app.include_router(runs.routes(folder))
    return app


async def _refused(request: Request, error: Exception) -> Response:
    """422, or 200 where a page wants it so: to a page a refusal is an answer, and browsers log any other status as an
    error of the page's own."""
    return reply(
        {"error": told(error, reader(request))}, 200 if request.headers.get("x-refusals") == "answers" else 422
    )


async def _no_such(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    message = sentence(str(getattr(error, "detail", error)), reader(request))
    return reply({"error": {"message": message}}, status)
