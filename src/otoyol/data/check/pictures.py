"""The same picture twice: by its pixels, and, between splits, by what it looks like."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from otoyol.data.check.findings import Finding
from otoyol.data.images import unreadable_errors

NEAR = 2  # bits of 64 in which pictures that look the same may differ
PLAIN = 6.0  # spread of the shrunk picture's grey values below which it has too little on it to be recognised


class Seen(NamedTuple):
    """One decoded image. ``digest`` is of its pixels and size; ``look`` is 64 bits, None of a plain picture."""

    path: Path
    split: str
    label: str
    width: int
    height: int
    digest: bytes
    look: int | None


def look_at(path: Path, split: str, label: str = "") -> Seen | Finding:
    """Decode an image whole, which is what finds it broken."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            picture.load()
            pixels = picture.convert("RGB")
            digest = hashlib.sha256(f"{picture.size}".encode() + pixels.tobytes()).digest()
            return Seen(path, split, label, *picture.size, digest, look(pixels.convert("L").resize((9, 8))))
    except unreadable_errors() as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return Finding("unreadable", str(path), " ".join(str(reason).split()))


def look(shrunk: object) -> int | None:
    """64 bits of a grey picture of 9×8: whether each pixel is darker than its right neighbour (a difference hash)."""
    grey = np.asarray(shrunk, dtype=np.int16)
    if grey.std() < PLAIN:
        return None
    return int.from_bytes(np.packbits(grey[:, 1:] > grey[:, :-1]).tobytes(), "big")


def same_pictures(seen: Sequence[Seen]) -> list[Finding]:
    """Equal pixels under two classes, in two splits, or twice in one; then pictures of two splits that look alike."""
    groups: dict[bytes, list[Seen]] = defaultdict(list)
    for one in seen:
        groups[one.digest].append(one)
    found = []
    for group in groups.values():
        for first, other in pairwise(group):
            if first.label != other.label:
                detail = f"also {other.path}, as {other.label} and not {first.label}"
                found.append(Finding("conflict", str(first.path), detail))
            if len({one.split for one in group}) > 1:
                found.append(Finding("leak", str(first.path), f"{first.split}; also {other.path}, {other.split}"))
            else:
                found.append(Finding("duplicate", str(first.path), f"also {other.path}"))
    distinct = [one for one in seen if one.look is not None]
    for first, other in alike(distinct):
        if first.split != other.split and first.digest != other.digest:
            found.append(Finding("near_leak", str(first.path), f"{first.split}; like {other.path}, {other.split}"))
    return found


def alike(seen: Sequence[Seen]) -> Iterator[tuple[Seen, Seen]]:
    """Pairs whose looks differ in at most :data:`NEAR` bits, each once. Of four quarters, two or more are then equal,
    so that pictures are compared only where a quarter is."""
    buckets: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, one in enumerate(seen):
        assert one.look is not None  # noqa: S101 (for the type checker)
        for quarter in range(4):
            buckets[quarter, (one.look >> (16 * quarter)) & 0xFFFF].append(index)
    told: set[tuple[int, int]] = set()
    for bucket in buckets.values():
        looks = np.array([seen[index].look for index in bucket], dtype=np.uint64)
        for position in range(len(bucket) - 1):
            differing = np.unpackbits((looks[position + 1 :] ^ looks[position])[:, None].view(np.uint8), axis=1)
            for ahead in np.flatnonzero(differing.sum(axis=1) <= NEAR):
                told.add((bucket[position], bucket[position + 1 + int(ahead)]))
    for first, other in sorted(told):
        yield seen[first], seen[other]
