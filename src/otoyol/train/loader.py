"""Batches from a source, in this process or in others, the same ones either way."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset

from otoyol.errors import OtoyolError
from otoyol.train.order import Key
from otoyol.train.seeds import draw_from, own_cpu_chance
from otoyol.train.task import Source


class SampleError(OtoyolError):
    """A sample cannot be read, and is not to be skipped."""


class Fetched(NamedTuple):
    """``batch`` of so many ``samples`` (None of 0); ``skipped``: names of samples that could not be read."""

    batch: Any
    samples: int
    skipped: tuple[str, ...] = ()


class Reader(Dataset[Any]):
    """Reads lists of keys. What a sample draws follows from (seed, epoch, index) alone.

    ``replace``: the place of an unreadable sample is taken by the next readable one, so that training batches stay
    whole; otherwise it is left out. With ``skip`` False the first unreadable one is an error.
    """

    def __init__(
        self, source: Source, collate: Callable[[Sequence[Any]], Any], seed: int, *, skip: bool, replace: bool
    ) -> None:
        self.source, self.collate, self.seed, self.skip, self.replace = source, collate, seed, skip, replace

    def __getitems__(self, keys: Sequence[Key]) -> Fetched | str:
        """The batch; or the message of an error, since an exception would lose its kind between processes."""
        skipped: list[str] = []
        try:
            with own_cpu_chance():
                found = [sample for key in keys for sample in self._read(key, skipped)]
        except OtoyolError as error:
            return str(error)
        return Fetched(self.collate(found) if found else None, len(found), tuple(skipped))

    def _read(self, key: Key, skipped: list[str]) -> Iterator[Any]:
        count = len(self.source)
        for ahead in range(count if self.replace else 1):
            index = (key.sample + ahead) % count
            draw_from("sample", self.seed, key.epoch, index)
            try:
                yield self.source.sample(index)
                return
            except OtoyolError:
                if not self.skip:
                    raise
                skipped.append(self.source.names[index])
        if self.replace:
            raise OtoyolError("data: no sample can be read")


class Batches:
    """Iterate over the batches for ``keys``, any number of times; ``close`` ends the other processes."""

    def __init__(self, reader: Reader, keys: Iterable[list[Key]], *, workers: int, pin: bool = False) -> None:
        self._loader: DataLoader[Any] = DataLoader(
            reader, batch_sampler=keys, collate_fn=_as_it_is, num_workers=workers, worker_init_fn=_calm,
            pin_memory=pin, persistent_workers=workers > 0,
            generator=torch.Generator(),  # otherwise each pass draws from the global one
        )  # fmt: skip

    def __iter__(self) -> Iterator[Fetched]:
        """Raises SampleError where a sample cannot be read, OtoyolError where a process has died."""
        source = iter(self._loader)
        while True:
            try:
                fetched = next(source)
            except StopIteration:
                return
            except RuntimeError as error:
                if not (told := reader_s_end(error)):
                    raise
                raise OtoyolError(f"data: {told}") from None
            if isinstance(fetched, str):
                raise SampleError(fetched)
            yield fetched

    def close(self) -> None:
        iterator = getattr(self._loader, "_iterator", None)
        if iterator is not None:
            iterator._shutdown_workers()
            self._loader._iterator = None


def reader_s_end(error: RuntimeError) -> str:
    """What to say of a reading process that has died; empty of any other error, such as one that went wrong in it."""
    line = next(iter(str(error).splitlines()), "")
    return f"a reading process died, perhaps for lack of memory ({line})" if "DataLoader worker (pid" in line else ""


def _as_it_is(fetched: Any) -> Any:
    return fetched


def _calm(_: int) -> None:
    """The main process alone decides when to stop; it ends its readers, and they end where it is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
