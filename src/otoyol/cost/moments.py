"""A running sum of bytes that grow with the batch and bytes that do not, and its highest points."""

from __future__ import annotations

from typing import NamedTuple


class Line(NamedTuple):
    """Bytes as a function of the batch."""

    per_image: int
    fixed: int

    def at(self, batch: int) -> int:
        return self.per_image * batch + self.fixed

    def plus(self, per_image: int, fixed: int) -> Line:
        return Line(self.per_image + per_image, self.fixed + fixed)

    def less(self, other: Line) -> Line:
        return Line(self.per_image - other.per_image, self.fixed - other.fixed)


class Ledger:
    """What is alive now, and what was at the moments marked."""

    def __init__(self) -> None:
        self._per_image = self._fixed = 0
        self._marked: dict[int, int] = {}

    @property
    def now(self) -> Line:
        return Line(self._per_image, self._fixed)

    def add(self, per_image: int, fixed: int) -> None:
        self._per_image += per_image
        self._fixed += fixed

    def mark(self) -> None:
        if self._marked.get(self._per_image, -1) < self._fixed:
            self._marked[self._per_image] = self._fixed

    def highest(self) -> tuple[Line, ...]:
        """The moments that are the peak for some batch, the others left out where one is above them for every batch."""
        kept: list[Line] = []
        for per_image in sorted(self._marked, reverse=True):
            if not kept or self._marked[per_image] > kept[-1].fixed:
                kept.append(Line(per_image, self._marked[per_image]))
        return tuple(kept)
