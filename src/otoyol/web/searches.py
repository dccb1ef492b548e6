"""What the page asks about spaces: a sample of one, and what budgets in words mean."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from otoyol.cost.count import DType
from otoyol.errors import SpecError
from otoyol.explain.refusal import sentence
from otoyol.search.budget import LATENCY, key
from otoyol.spec.data import loads
from otoyol.web.asks import Ask, Batch, SpecText, read
from otoyol.web.explore import (
    EXACT,
    LINEAR,
    MAX_BUDGETS,
    MAX_DESIGNS,
    MAX_SEED,
    MAX_TEXT,
    budgets,
    ready,
    sample,
    space_of,
)
from otoyol.web.later import failure
from otoyol.web.reply import reader, reply

# A scorer remembers blocks by the widths around them; what a page may have it remember is bounded.
LARGEST_TABLE = 128 * 128
MOST_BYTES = 128 << 20


class BudgetsAsk(Ask):
    """Budgets in words such as ``macs<=4.1e9``."""

    budgets: Annotated[tuple[Annotated[str, Field(max_length=200)], ...], Field(max_length=MAX_BUDGETS)] = ()


class ExploreAsk(BudgetsAsk):
    """A sample of ``count`` designs of a space: a task's own, one ``around`` the design ``spec``, or that of ``text``.
    ``latency``: predict it by every table that can be fitted."""

    spec: SpecText
    space: Literal["classification", "detection", "around", "text"] = "around"
    text: Annotated[str, Field(max_length=MAX_TEXT)] = ""
    count: Annotated[int, Field(ge=1, le=MAX_DESIGNS, strict=True)] = 2_000
    seed: Annotated[int, Field(ge=0, le=MAX_SEED, strict=True)] = 0
    batch: Batch = 1
    dtype: DType = "float32"
    latency: Annotated[bool, Field(strict=True)] = False


def routes(scorers: Mapping[str, Any]) -> APIRouter:
    """POST ``/api/explore`` and ``/api/budgets``. Samples are drawn one at a time, in a thread of their own, so that
    whoever moves a slider meanwhile does not wait for them."""
    router = APIRouter()
    turn = asyncio.Semaphore(1)
    own: dict[str, Any] = {}
    loads("", ".yaml")  # YAML's reader is loaded and built now, and not while someone waits for a refusal

    def meant(words: Sequence[str]) -> list[dict[str, Any]]:
        """What budgets mean, of tables those that are not known to be of no use."""
        unfit = {key(LATENCY, where): why for where in scorers if (why := failure(scorers, where))}
        tables = [name for where in scorers if (name := key(LATENCY, where)) not in unfit]
        return budgets(words, (*EXACT, *LINEAR, *tables), unfit)

    def fitted(where: str) -> Any:
        """A scorer for this module's thread alone, for it fills tables; None where the table cannot be fitted."""
        try:
            scorer = scorers[where]  # which may have to be fitted first
        except SpecError:
            return None
        if where not in own or own[where].table_bytes > MOST_BYTES:
            own[where] = type(scorer)(scorer.predictor, LARGEST_TABLE)
        return own[where]

    def draw(ask: ExploreAsk, lang: str) -> dict[str, Any]:
        tables = {where: fitted(where) for where in scorers} if ask.latency else {}
        limits = meant(ask.budgets)  # only now is it known which tables cannot be fitted
        found = ready(space_of(ask.space, ask.spec, ask.text))
        predict = {key(LATENCY, where): scorer for where, scorer in tables.items() if scorer is not None}
        unfit = [
            {"where": where, "why": sentence(failure(scorers, where) or "", lang)}
            for where, scorer in tables.items()
            if scorer is None
        ]
        drawn = sample(found, count=ask.count, seed=ask.seed, batch=ask.batch, dtype=ask.dtype, scorers=predict)
        for out in (*drawn["impossible"], *drawn["refused"]):
            out["reason"] = sentence(out["reason"], lang)
        return {**drawn, "budgets": limits, "unfit": unfit}

    @router.post("/api/explore")
    async def explore(request: Request) -> Response:
        ask = read(ExploreAsk, await request.body())
        async with turn:
            return await run_in_threadpool(lambda: reply(draw(ask, reader(request))))

    @router.post("/api/budgets")
    async def limits(request: Request) -> Response:
        ask = read(BudgetsAsk, await request.body())
        return reply({"budgets": meant(ask.budgets)})

    return router
