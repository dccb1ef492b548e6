"""A part of torchrun's store that belongs to one life of the ranks alone, agreed upon through the store itself.

torchrun's agents keep one store for all restarts, and each of them counts only the restarts that its own processes have
caused: in one life, ranks of two machines may know different counts. So the ranks make up the name of their life.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING
from uuid import uuid4

from otoyol.errors import OtoyolError

if TYPE_CHECKING:
    from torch.distributed import Store

SECONDS = 300.0  # machines that read their packages from a slow disk start minutes apart
PAUSE = 0.05


def agree(store: Store, rank: int, world: int, *, seconds: float = SECONDS) -> str:
    """A prefix for keys of ``store``: the same on each rank of this life, another one in every other life.

    Each rank writes a fresh name; rank 0 lists the names, again whenever one has changed; who finds its own name in the
    list answers with the list's digest; once all have answered, rank 0 says so, and the digest is the prefix. A list
    with a name that an earlier life has left gets no answer from it, for who had that name is dead.

    Raises OtoyolError after ``seconds``.
    """
    own, until = uuid4().hex, time.monotonic() + seconds
    place = f"otoyol/{world}"
    names, answers = ([f"{place}/{what}/{other}" for other in range(world)] for what in ("name", "answer"))
    store.set(names[rank], own)
    listed: list[str] = []
    answered = ""
    while True:
        if rank == 0:
            found = _read(store, names)
            if found and found != listed:
                listed = found
                store.set(f"{place}/list", " ".join(listed))
        else:
            listed = "".join(_read(store, [f"{place}/list"])).split()
        life = blake2b(" ".join(listed).encode(), digest_size=16).hexdigest()
        if listed[rank : rank + 1] == [own]:
            if life != answered:
                store.set(answers[rank], answered := life)
            if rank == 0 and _read(store, answers) == [life] * world:
                store.set(f"{place}/whole", life)
            if _read(store, [f"{place}/whole"]) == [life]:
                return f"{place}/{life}"
        if time.monotonic() > until:
            raise OtoyolError(_late(rank, world, _silent(store, names, answers, life if listed else ""), seconds))
        time.sleep(min(1.0, PAUSE + world / 1000))  # all of them ask one server


def _read(store: Store, keys: Sequence[str]) -> list[str]:
    """The values of ``keys``; none where one of them was never written, for which ``get`` would wait."""
    return [value.decode() for value in store.multi_get(list(keys))] if store.check(list(keys)) else []


def _silent(store: Store, names: Sequence[str], answers: Sequence[str], life: str) -> list[int]:
    """The ranks that have not answered to ``life``; where there is no list yet, those that have no name."""
    if not life:
        return [rank for rank, key in enumerate(names) if not _read(store, [key])]
    return [rank for rank, key in enumerate(answers) if _read(store, [key]) != [life]]


def _late(rank: int, world: int, silent: Sequence[int], seconds: float) -> str:
    who = f"rank {', '.join(map(str, silent[:8]))}" if rank == 0 else "rank 0"
    return (
        f"ranks: {who} did not answer rank {rank} within {seconds:g} s, of {world} processes; does every machine run "
        "the same command? TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 has torchrun open another store at each restart"
    )
