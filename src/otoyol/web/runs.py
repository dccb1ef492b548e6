"""What the page asks about runs on disk: which there are, and what one of their files holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from otoyol.errors import SpecError
from otoyol.web import results
from otoyol.web.asks import Ask, read
from otoyol.web.reply import reply


class RunsAsk(Ask):
    """Nothing to say."""


class RunAsk(Ask):
    """A file by its name in the listing."""

    name: Annotated[str, Field(max_length=1_024)]


def routes(folder: Path | None) -> APIRouter:
    """POST ``/api/runs`` and ``/api/run``: the files below ``folder``, read-only; None where none was given."""
    router = APIRouter()
    root = results.check_folder(folder) if folder else None

    @router.post("/api/runs")
    async def runs(request: Request) -> Response:
        read(RunsAsk, await request.body())
        if root is None:
            return reply({"served": False, "files": [], "more": False})
        found = await run_in_threadpool(results.listing, root)
        return reply({"served": True, "files": found.files, "more": found.more})

    @router.post("/api/run")
    async def run(request: Request) -> Response:
        ask = read(RunAsk, await request.body())
        if root is None:
            raise SpecError("name", ask.name, "a file of the folder of otoyol studio --runs, which was not given")
        data = await run_in_threadpool(results.read, root, ask.name)
        try:
            return reply({"name": ask.name, "text": data.decode("utf-8-sig")})
        except UnicodeDecodeError as error:
            raise SpecError("name", ask.name, f"UTF-8 text (byte {error.start} is not)") from None

    return router
