"""Scorers that are fitted while the page is open already: a large table takes a minute."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from threading import Lock
from typing import TYPE_CHECKING

from otoyol.errors import OtoyolError, SpecError

if TYPE_CHECKING:
    from otoyol.measure import Scorer

_log = logging.getLogger(__name__)


class Later(Mapping[str, "Scorer"]):
    """Scorers by their tables' settings. Each is made once, by who asks for it first or by :meth:`prepare`; others wait
    for it. One that cannot be made is told to who asks for it, and is not tried again."""

    def __init__(self, make: Mapping[str, Callable[[], Scorer]]) -> None:
        self._make = dict(make)
        self._made: dict[str, Scorer] = {}
        self._failed: dict[str, str] = {}
        self._locks = {where: Lock() for where in self._make}

    def __getitem__(self, where: str) -> Scorer:
        """The scorer, made now where it is not there yet. Raises SpecError where it cannot be made."""
        self._settle(where)
        if where in self._failed:
            raise SpecError("table", where, fittable(self._failed[where]))
        return self._made[where]

    def _settle(self, where: str) -> None:
        """Make it, if nobody has tried yet."""
        with self._locks[where]:
            if where in self._made or where in self._failed:
                return
            try:
                self._made[where] = self._make[where]()
            except Exception as error:  # whatever it is: the others are shown, and of this one why it cannot be
                self._failed[where] = " ".join(str(error).split())[:400] or type(error).__name__
                _log.warning("%s: %s", where, self._failed[where], exc_info=not isinstance(error, OtoyolError))

    def __contains__(self, where: object) -> bool:
        return where in self._make  # Mapping's own would make it

    def __iter__(self) -> Iterator[str]:
        return iter(self._make)

    def __len__(self) -> int:
        return len(self._make)

    def prepare(self) -> None:
        """Make all of them, for a thread beside the server."""
        for where in self._make:
            self._settle(where)

    def ready(self, where: str) -> Scorer | None:
        """The scorer where it is made already; never waits."""
        return self._made.get(where)

    def failure(self, where: str) -> str | None:
        """Why the scorer cannot be made; None where it can, or where that is not known yet."""
        return self._failed.get(where)


def fittable(why: str) -> str:
    """What is allowed in place of a table that cannot be fitted, and why it cannot."""
    return f"a table whose laws can be fitted ({why})"


def ready(scorers: Mapping[str, Scorer], where: str) -> Scorer | None:
    """The scorer, or None where it is still being made or cannot be."""
    return scorers.ready(where) if isinstance(scorers, Later) else scorers[where]


def failure(scorers: Mapping[str, Scorer], where: str) -> str | None:
    """Why the scorer cannot be made; None where it can, or where that is not known yet."""
    return scorers.failure(where) if isinstance(scorers, Later) else None


def now(scorers: Mapping[str, Scorer], where: str) -> Scorer:
    """The scorer. Raises SpecError where it is still being made, or cannot be: never waits."""
    if (scorer := ready(scorers, where)) is not None:
        return scorer
    if failure(scorers, where) is None:
        raise SpecError("table", where, "a table whose laws are fitted; those of this one will be in a minute or so")
    return scorers[where]
