"""Where randomness comes from: each draw from numbers that say what it is for, so that nothing has to be remembered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b

import torch


def seed_of(*what: int | str) -> int:
    """63 bits that follow from ``what``, such as ("sample", seed, epoch, index)."""
    text = ":".join(map(str, what)).encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest()) >> 1


@contextmanager
def own_chance() -> Iterator[None]:
    """Whatever is seeded and drawn inside leaves the caller's generators as they were."""
    with torch.random.fork_rng(range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []):
        yield


@contextmanager
def own_cpu_chance() -> Iterator[None]:
    """:func:`own_chance` for the CPU's generator alone, fast enough for every batch."""
    state = torch.default_generator.get_state()
    try:
        yield
    finally:
        torch.default_generator.set_state(state)


def draw_from(*what: int | str) -> None:
    """Seed the CPU's generator; on this way torch does not ask after every other device."""
    torch.default_generator.manual_seed(seed_of(*what))
