"""A block taken apart: the two terms of its addition, each computed by the block's own code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from otoyol.nn import ResidualBlock


@contextmanager
def _changed(block: ResidualBlock, **fields: object) -> Iterator[None]:
    before = {name: getattr(block, name) for name in fields}
    for name, value in fields.items():
        setattr(block, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(block, name, value)


def branch_term(block: ResidualBlock, x: Tensor) -> Tensor:
    """F(x) as it enters the addition: with attention, scale, gate and stochastic depth."""
    with _changed(block, joined=False, add_in_place=False, post=None):
        return block(x)


def skip_term(block: ResidualBlock, x: Tensor) -> Tensor | None:
    """The shortcut as it enters the addition; None where nothing is added."""
    if not block.joined:
        return None
    if block.shortcut is None:
        return x
    source = x
    if block.reads_preact and block.preact is not None:
        source = block.preact(x)
    term = block.shortcut(source)
    if block.gated:
        term = term * (1 - block.shortcut.gate(x).sigmoid())  # type: ignore[operator]
    return term


def after(block: ResidualBlock, total: Tensor) -> Tensor:
    """What the block puts out for a sum. The sum stays as it is, though an activation may run in place."""
    return total if block.post is None else block.post(total.clone())
