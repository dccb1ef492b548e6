"""A request that is not answered as asked: the status, and the same three things that every error of ours tells."""

from __future__ import annotations

import json

from otoyol.errors import SpecError

RETRY_AFTER_S = 1


class Refusal(Exception):  # noqa: N818 (an answer, not a fault of ours)
    """``status``: the HTTP status. ``field``, ``given``, ``allowed``: as in SpecError, at most 80 characters shown."""

    def __init__(self, status: int, field: str, given: object, allowed: str) -> None:
        self.status = status
        self.told = SpecError(field, given, allowed)
        super().__init__(str(self.told))

    @property
    def headers(self) -> dict[str, str]:
        """503 says when to come again; a client that was too slow is not waited for any longer."""
        if self.status == 503:
            return {"retry-after": str(RETRY_AFTER_S)}
        return {"connection": "close"} if self.status == 408 else {}

    def to_json(self) -> bytes:
        """``{"error": {"field", "given", "allowed", "message"}}``"""
        given = self.told.given if isinstance(self.told.given, str | int | float) else str(self.told.given)
        if isinstance(given, str):
            given = given if len(given) <= 80 else given[:77] + "..."
        error = {"field": self.told.field, "given": given, "allowed": self.told.allowed, "message": str(self)}
        return json.dumps({"error": error}).encode()
