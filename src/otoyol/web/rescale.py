"""Equal budget: the design asked for, rescaled until it costs what the pinned one costs."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Any

from otoyol.errors import SpecError
from otoyol.search import Match, match
from otoyol.spec import Spec, parse
from otoyol.web.asks import MatchAsk
from otoyol.web.later import now

KEPT = 32  # structures whose times of blocks are remembered by one table
TURN = Lock()  # a scorer fills tables as it goes: one thread at a time


def rescale(spec: Spec, ask: MatchAsk, scorers: Mapping[str, Any], batch: int, dtype: str) -> Match:
    """``spec`` at the budget of ``ask.baseline``, counted for ``batch`` and ``dtype``; latency is for its table's own.

    Raises SpecError where the change cannot be rescaled, or the table's laws are not fitted yet.
    """
    baseline = parse(ask.baseline)
    if ask.equal != "latency":
        return match(baseline, spec, equal=ask.equal, vary=ask.vary, batch=batch, dtype=dtype)
    where = ask.where or next(iter(scorers), "")
    if where not in scorers:
        raise SpecError("table", where or "none", ", ".join(scorers) or "a table given by otoyol studio --table")
    scorer = now(scorers, where)
    with TURN:
        if len(scorer.of) > KEPT:
            scorer.of.clear()
        return match(baseline, spec, equal="latency_ms", vary=ask.vary, scorer=scorer)
