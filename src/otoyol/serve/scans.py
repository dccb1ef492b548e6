"""How many scans a JPEG has: a decoder goes over the whole image once for each, and an empty one takes eight bytes."""

from __future__ import annotations

import re

from otoyol.serve.refusal import Refusal

# A progressive photograph has about ten. What is nearly as large as allowed may have FEW, what is smaller more.
FEW, MOST = 16, 100
SOS, EOI = 0xDA, 0xD9
_START_OF_SCAN = bytes([0xFF, SOS])
# Between segments a decoder skips to the next marker: over fill bytes, stuffed zeros, and restarts within a scan.
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
_ALONE = frozenset({0x01, 0xD8})  # markers without a length


def check_scans(data: bytes, pixels: int, max_pixels: int) -> None:
    """Raises Refusal 413 for a JPEG of ``pixels`` whose scans would keep a decoder busy for long; others pass."""
    if not data.startswith(b"\xff\xd8"):
        return
    most = max(FEW, min(MOST, FEW * max_pixels // max(pixels, 1)))
    # Counting bytes is quick and never misses a scan, but comments and what is appended may hold the same two.
    if data.count(_START_OF_SCAN) > most and (found := scans(data, most + 1)) > most:
        raise Refusal(413, "image.scans", f"{found} or more", f"at most {most} in an image of {pixels} pixels")


def scans(data: bytes, enough: int) -> int:
    """The scans up to the image's end, counted as libjpeg reads; no further than to ``enough``."""
    found, place = 0, 0
    while found < enough and (marker := _MARKER.search(data, place)):
        kind, place = marker[1][0], marker.end()
        if kind == EOI:
            break
        found += kind == SOS
        if kind not in _ALONE:
            place += max(2, int.from_bytes(data[place : place + 2]))
    return found
