"""Scorers that are fitted while the page is open already: a large table takes a minute."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otoyol.measure import Scorer


class Later(Mapping[str, "Scorer"]):
    """Scorers by their tables' settings. Each is made once, by who asks for it first or by :meth:`prepare`; others wait
    for it."""

    def __init__(self, make: Mapping[str, Callable[[], Scorer]]) -> None:
        self._make = dict(make)
        self._made: dict[str, Scorer] = {}
        self._locks = {where: Lock() for where in self._make}

    def __getitem__(self, where: str) -> Scorer:
        with self._locks[where]:
            if where not in self._made:
                self._made[where] = self._make[where]()
            return self._made[where]

    def __iter__(self) -> Iterator[str]:
        return iter(self._make)

    def __len__(self) -> int:
        return len(self._make)

    def prepare(self) -> None:
        """Make all of them, for a thread beside the server."""
        for where in self._make:
            self[where]

    def ready(self, where: str) -> Scorer | None:
        """The scorer where it is made already; never waits."""
        return self._made.get(where)


def ready(scorers: Mapping[str, Scorer], where: str) -> Scorer | None:
    """The scorer, or None where it is still being made."""
    return scorers.ready(where) if isinstance(scorers, Later) else scorers[where]
