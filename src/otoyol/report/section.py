"""What a page says before the designs themselves: sections of paragraphs, tables and pictures from elsewhere."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from pathlib import Path

from otoyol.report.tables import Grid

KINDS = {".svg": "image/svg+xml", ".png": "image/png"}


@dataclass(frozen=True)
class Image:
    """A picture that is carried along in the page. ``source`` is a data URI, ``alt`` tells it to who cannot see it."""

    source: str
    alt: str
    caption: str


@dataclass(frozen=True)
class Section:
    """``facts``: (label, value, note) triples; ``code``: a command or a text form to copy."""

    id: str
    title: str
    paragraphs: tuple[str, ...] = ()
    facts: tuple[tuple[str, str, str], ...] = ()
    code: str = ""
    tables: tuple[Grid, ...] = ()
    images: tuple[Image, ...] = field(default=())


def image_file(path: Path, alt: str, caption: str) -> Image:
    """The picture in a file, whole."""
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return Image(f"data:{KINDS[path.suffix]};base64,{data}", alt, caption)
