"""Answers as JSON, and refusals as the page shows them."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from otoyol.errors import SpecError
from otoyol.explain.refusal import refusal
from otoyol.explain.text import language_of


def reply(value: Any, status: int = 200) -> Response:
    """Compact JSON that nobody keeps."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Response(body, status, {"cache-control": "no-store"}, "application/json")


def reader(request: Request) -> str:
    """The language of whoever asks; the page names its own."""
    return language_of(request.headers.get("accept-language", ""))


def told(error: Exception, lang: str) -> dict[str, str]:
    """A refusal: the field, what was given and what is allowed, each short."""
    if not isinstance(error, SpecError):
        return {"message": str(error)[:600]}
    words = refusal(error, lang)
    return {
        "message": words.message[:600], "field": words.field[:80], "given": words.given[:80],
        "allowed": words.allowed[:400],
    }  # fmt: skip
