"""The page's files, words and choices: what does not depend on a design."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from fastapi import APIRouter, Request, Response

from otoyol import __version__
from otoyol.cost.count import ITEM_BYTES
from otoyol.cost.training import STATES
from otoyol.errors import SpecError
from otoyol.explain import ANSWERED, QUESTIONS
from otoyol.explain.text import LANGUAGES, catalogue, locale
from otoyol.ops.recompute import MODES
from otoyol.search import EQUAL
from otoyol.spec import FAMILIES, Spec
from otoyol.web.assets import Asset, asset, assets
from otoyol.web.reply import reply

OWN = "studio."  # the page's own words go without it
ALSO = (
    "report.quantity.",
    "report.head.",
    "draw.part.",
    "draw.quantity.",
    "draw.front.",
)


def routes(scorers: Mapping[str, Any]) -> APIRouter:
    """GET: the files, ``/api/words/{lang}``, ``/api/choices`` and ``/health``."""
    router = APIRouter()
    answers = dict(assets())
    answers |= {f"/api/words/{lang}": _json(words(lang)) for lang in LANGUAGES}
    answers["/api/choices"] = _json(choices(tuple(scorers)))
    for path, held in answers.items():
        router.add_api_route(path, _sender(held), methods=["GET"])

    @router.get("/health")
    async def health() -> Response:
        return reply({"version": __version__})

    return router


def _sender(held: Asset) -> Any:
    """Sends an asset, or nothing where the browser has it already."""
    headers = {"etag": held.tag, "cache-control": "no-cache"}

    async def send(request: Request) -> Response:
        if request.headers.get("if-none-match") == held.tag:
            return Response(None, 304, headers)
        return Response(held.data, 200, headers, held.kind)

    return send


def _json(value: Any) -> Asset:
    return asset(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(), "answer.json")


@cache
def words(lang: str) -> dict[str, str]:
    """The page's sentences by key, placeholders and all; its own without ``studio.``. Raises SpecError."""
    if lang not in LANGUAGES:
        raise SpecError("lang", lang, " or ".join(LANGUAGES))
    found = catalogue(lang)
    own = {key.removeprefix(OWN): text for key, text in found.items() if key.startswith(OWN)}
    titles = {key: text for key, text in found.items() if re.fullmatch(r"why\.\w+\.title", key)}
    return own | titles | {key: text for key, text in found.items() if key.startswith(ALSO)}


def choices(where: tuple[str, ...]) -> dict[str, Any]:
    """What can be chosen: the JSON Schema of a spec, the families, what figures can be asked for, how each language
    writes numbers. ``questions`` stand in one panel; all that are ``answered`` may stand in a link."""
    return {
        "version": __version__,
        "schema": Spec.model_json_schema(),
        "families": list(FAMILIES),
        "dtypes": list(ITEM_BYTES),
        "optimizers": list(STATES),
        "modes": list(MODES),
        "equal": [*EQUAL, *(["latency"] if where else [])],
        "tables": list(where),
        "languages": {lang: locale(lang)._asdict() for lang in LANGUAGES},
        "questions": list(QUESTIONS),
        "answered": list(ANSWERED),
    }
