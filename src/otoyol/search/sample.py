"""Designs of a space as arrays: drawn at random, reproducible by seed, or enumerated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from otoyol.errors import SpecError
from otoyol.search.space import Range, RegNet, Space, Structure, structures

Ints = NDArray[np.int64]
CHUNK = 16_384


class Chunk(NamedTuple):
    """Designs that share a structure. depths and widths: (N, stages)."""

    structure: int
    depths: Ints
    widths: Ints


def size(space: Space) -> int | None:
    """How many designs the space holds, counting what a tie or an impossible width rules out; None for RegNets."""
    if space.regnet:
        return None
    each = 1
    for ranges in (space.ranges("depths"), _free_widths(space)):
        for item in ranges or ():
            each *= item.size
    return each * len(structures(space)[0])


def draw(
    space: Space, count: int, seed: int = 0, *, start: int = 0, built: Sequence[Structure] | None = None
) -> Iterator[Chunk]:  # fmt: skip
    """``count`` random designs in chunks of at most ``CHUNK``. Structures take turns, so that each gets its share.

    Chunk i depends on the space, the seed and i alone; ``start`` skips that many chunks, to go on where one stopped.
    ``built``: the structures where they are known already. Raises SpecError for a seed below 0.
    """
    if seed < 0:
        raise SpecError("seed", seed, "0 or more")
    built = structures(space)[0] if built is None else built
    chunk = min(CHUNK, -(-count // len(built)))
    for index in range(start, -(-count // chunk)):
        rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence([seed, index])))
        here = index % len(built)
        wanted = min(chunk, count - index * chunk)
        depths, widths = _draw(space, built[here], wanted, rng)
        yield Chunk(here, depths, widths)


def enumerate_all(space: Space, *, start: int = 0) -> Iterator[Chunk]:
    """Every design of the space once, in chunks of at most ``CHUNK``. Raises SpecError where that is not finite."""
    if space.regnet:
        raise SpecError("space.regnet", "regnet", "depths and widths as ranges where a space is enumerated")
    built, _ = structures(space)
    depth_ranges, width_ranges = space.ranges("depths") or (), _free_widths(space) or ()
    sizes = [item.size for item in (*depth_ranges, *width_ranges)]
    total = int(np.prod(sizes, dtype=object)) if sizes else 1
    per_structure = -(-total // CHUNK)
    for index in range(start, per_structure * len(built)):
        here, part = divmod(index, per_structure)
        codes = np.arange(part * CHUNK, min((part + 1) * CHUNK, total), dtype=np.int64)
        digits = []
        for radix in reversed(sizes):
            codes, digit = np.divmod(codes, radix)
            digits.append(digit)
        digits.reverse()
        columns = [r.first + r.multiple * d for r, d in zip((*depth_ranges, *width_ranges), digits, strict=True)]
        count = len(codes)
        depths = _columns(columns[: len(depth_ranges)], built[here], "depth", count)
        widths = _columns(columns[len(depth_ranges) :], built[here], "width", count)
        depths, widths = _tie(space, depths, widths)
        yield Chunk(here, depths, widths)


def _free_widths(space: Space) -> tuple[Range, ...] | None:
    ranges = space.ranges("widths")
    return ranges[:1] if ranges and space.tie == "doubling" else ranges


def _columns(columns: list[Ints], structure: Structure, field: str, count: int) -> Ints:
    """Drawn columns, or the structure's own numbers repeated."""
    if columns:
        return np.stack(columns, axis=1)
    own = np.array([getattr(stage, field) for stage in structure.spec.stages], dtype=np.int64)
    return np.broadcast_to(own, (count, len(own)))


def _tie(space: Space, depths: Ints, widths: Ints) -> tuple[Ints, Ints]:
    if space.widths is None:
        return depths, widths
    if space.tie == "doubling":
        stages = depths.shape[1]
        widths = widths[:, :1] * 2 ** np.arange(stages, dtype=np.int64)
    elif space.tie == "increasing":
        keep = (np.diff(widths, axis=1) >= 0).all(axis=1)
        depths, widths = depths[keep], widths[keep]
    return depths, widths


def _draw(space: Space, structure: Structure, count: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    if space.regnet:
        return _draw_regnet(space.regnet, len(structure.spec.stages), count, rng)
    depths = _columns([_pick(r, count, rng) for r in space.ranges("depths") or ()], structure, "depth", count)
    picked = [_pick(r, count, rng) for r in _free_widths(space) or ()]
    if space.tie == "increasing":  # sorted column by column: numpy's sort along a short axis is ten times slower
        for last in range(len(picked) - 1, 0, -1):
            for i in range(last):
                picked[i], picked[i + 1] = np.minimum(picked[i], picked[i + 1]), np.maximum(picked[i], picked[i + 1])
        return depths, _columns(picked, structure, "width", count)
    return _tie(space, depths, _columns(picked, structure, "width", count))


def _pick(item: Range, count: int, rng: np.random.Generator) -> Ints:
    if item.scale == "uniform" or item.size == 1:
        return item.first + item.multiple * rng.integers(0, item.size, count)
    # Log-uniform over the members: each owns the logarithms from its own value to the next member's.
    values = np.exp(rng.uniform(np.log(item.first), np.log(item.first + item.multiple * item.size), count))
    steps = ((values - item.first) / item.multiple).astype(np.int64)
    return item.first + item.multiple * np.clip(steps, 0, item.size - 1)


def _draw_regnet(regnet: RegNet, stages: int, count: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Rows with exactly ``stages`` distinct widths; the others are dropped, so fewer than ``count`` may come."""
    depth = _pick(regnet.depth, count, rng)[:, None]
    w0 = _pick(regnet.w0.model_copy(update={"scale": "log"}), count, rng)[:, None].astype(float)
    wa = np.exp(rng.uniform(log(regnet.wa[0]), log(regnet.wa[1]), count))[:, None]
    wm = np.exp(rng.uniform(log(regnet.wm[0]), log(regnet.wm[1]), count))[:, None]
    block = np.arange(regnet.depth.high)[None]
    power = np.round(np.log((w0 + wa * block) / w0) / np.log(wm))  # Eq. 3
    widths = (np.round(w0 * wm**power / regnet.multiple) * regnet.multiple).astype(np.int64)  # Eq. 4
    inside = block < depth
    new = np.ones_like(inside)
    new[:, 1:] = widths[:, 1:] != widths[:, :-1]
    new &= inside
    keep = (new.sum(axis=1) == stages) & (widths[:, 0] > 0)
    widths, new, inside = widths[keep], new[keep], inside[keep]
    stage = np.cumsum(new, axis=1) - 1
    depths = np.stack([((stage == s) & inside).sum(axis=1) for s in range(stages)], axis=1)
    first = np.argsort(~new, axis=1, kind="stable")[:, :stages]
    return depths, np.take_along_axis(widths, first, axis=1)
