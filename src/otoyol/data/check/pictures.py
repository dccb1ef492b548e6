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
from otoyol.data.images import eight_bits, sixteen_bits, unreadable_errors

NEAR = 2  # bits of 64 in which pictures that look the same may differ
CROWD = 4096  # pictures with an equal quarter of their looks
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
            pixels = eight_bits(picture).convert("RGB")
            whole = picture if sixteen_bits(picture) else pixels  # equal in all of its bits
            digest = hashlib.sha256(f"{picture.size}".encode() + whole.tobytes()).digest()
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
            if first.split != other.split:
                found.append(Finding("leak", str(first.path), f"{first.split}; also {other.path}, {other.split}"))
            else:
                found.append(Finding("duplicate", str(first.path), f"also {other.path}"))
    for first, other in alike([one for one in seen if one.look is not None]):
        found.append(Finding("near_leak", str(first.path), f"{first.split}; like {other.path}, {other.split}"))
    return found


def alike(seen: Sequence[Seen]) -> Iterator[tuple[Seen, Seen]]:
    """Each picture that looks like a later one of another split, with the first such one: looks differ in at most
    :data:`NEAR` bits, pixels somewhere. Of four quarters two or more are then equal, so that pictures are compared
    only where a quarter is. What more than :data:`CROWD` pictures share is no sign of anything and not looked into."""
    looks = np.array([one.look for one in seen], dtype=np.uint64)
    splits = np.array([one.split for one in seen])
    buckets: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, value in enumerate(looks.tolist()):
        for quarter in range(4):
            buckets[quarter, (value >> (16 * quarter)) & 0xFFFF].append(index)
    told: dict[int, int] = {}
    for bucket in buckets.values():
        if not 1 < len(bucket) <= CROWD:
            continue
        members = np.array(bucket)
        for position, index in enumerate(bucket[:-1]):
            later = members[position + 1 :]
            later = later[splits[later] != splits[index]]
            bits = np.unpackbits((looks[later] ^ looks[index])[:, None].view(np.uint8), axis=1).sum(axis=1)
            for other in later[bits <= NEAR].tolist():
                if seen[other].digest != seen[index].digest:
                    told[index] = min(other, told.get(index, other))
                    break
    for index, other in sorted(told.items()):
        yield seen[index], seen[other]
