"""Answers as JSON, and refusals as the page shows them."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from otoyol.errors import SpecError


def reply(value: Any, status: int = 200) -> Response:
    """Compact JSON that nobody keeps."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Response(body, status, {"cache-control": "no-store"}, "application/json")


def told(error: Exception) -> dict[str, str]:
    """A refusal: the field, what was given and what is allowed, each short."""
    facts = {"message": str(error)[:600]}
    if isinstance(error, SpecError):
        facts |= {"field": error.field[:80], "given": str(error.given)[:80], "allowed": error.allowed[:400]}
    return facts
