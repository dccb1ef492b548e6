"""Seconds of blocks by the widths around them, remembered within a limit of bytes.

Widths are numbered in the order they are met, and a block's table has the seconds for every number, or every pair of
numbers. Where a table has no room, the tables of the owner that was used longest ago go; where that is not enough there
is none, and what it would hold is evaluated anew.
"""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
from numpy.typing import NDArray

from otoyol.measure.features import Floats

Ints = NDArray[np.int64]
MOST_BYTES = 256 << 20
LARGEST_TABLE = 1 << 22  # entries of one table: a larger one is mostly empty, and costs more than it saves
WIDEST = 65_536  # of all widths that a design may have
SMALLEST_SIDE = 64


class Remembered:
    """Tables of all owners (structures) in at most ``most_bytes``, each of at most ``largest_table`` entries. The
    numbers of the widths, which everybody needs, take a quarter of a MiB of them."""

    def __init__(self, largest_table: int = LARGEST_TABLE, most_bytes: int = MOST_BYTES) -> None:
        self.largest_table, self.most_bytes = largest_table, most_bytes
        self.numbers = np.full(WIDEST + 1, -1, dtype=np.int32)
        self.widths = np.zeros(0, dtype=np.int64)  # by their numbers
        self.tables: dict[Hashable, dict[Hashable, Floats]] = {}  # in the order of their last use
        self.bytes = self.numbers.nbytes

    def number(self, widths: Ints) -> Ints:
        """The numbers of widths; new ones get the next."""
        found = self.numbers[widths]
        if found.min() < 0:
            new = np.unique(widths[found < 0])
            self.numbers[new] = np.arange(len(self.widths), len(self.widths) + len(new))
            self.widths = np.concatenate([self.widths, new])
            found = self.numbers[widths]
        return found.astype(np.int64)

    @property
    def side(self) -> int:
        """Entries along a table's axis: a power of two, so that tables seldom grow."""
        return max(SMALLEST_SIDE, 1 << (len(self.widths) - 1).bit_length())

    def table(self, owner: Hashable, key: Hashable, pairs: bool) -> Floats | None:
        """(side, side) for ``pairs``, otherwise (1, side): NaN where not yet known. None where there is no room."""
        mine = self.tables[owner] = self.tables.pop(owner, {})
        table, shape = mine.get(key), (self.side if pairs else 1, self.side)
        if table is not None and table.shape == shape:
            return table
        size = 8 * shape[0] * shape[1]
        if not self._make_room(size, owner):
            self.bytes -= mine.pop(key).nbytes if table is not None else 0  # of no use: widths have outgrown it
            return None
        grown = np.full(shape, np.nan)
        if table is not None:
            grown[: table.shape[0], : table.shape[1]] = table
        self.bytes += grown.nbytes - (table.nbytes if table is not None else 0)
        mine[key] = grown
        return grown

    def forget(self, owner: Hashable) -> None:
        """Drop the owner's tables."""
        self.bytes -= sum(table.nbytes for table in self.tables.pop(owner, {}).values())

    def _make_room(self, size: int, owner: Hashable) -> bool:
        if size > 8 * self.largest_table:
            return False
        while self.bytes + size > self.most_bytes:
            oldest = next(iter(self.tables))
            if oldest is owner:  # the owner is the last, so that nobody else is left
                return False
            self.bytes -= sum(table.nbytes for table in self.tables.pop(oldest).values())
        return True
