"""The page's own files, read once: what is not in the package cannot be asked for."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import NamedTuple

from otoyol.draw.svg import stylesheet

KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".json": "application/json",
}


class Asset(NamedTuple):
    """A file as it is sent. ``tag`` changes with its bytes."""

    data: bytes
    kind: str
    tag: str


@cache
def assets() -> dict[str, Asset]:
    """Every file by its path in the URL, and the diagrams' style sheet."""
    found = {f"/static/{name}": asset(data, name) for name, data in _files(resources.files("otoyol.web") / "static")}
    found["/"] = found.pop("/static/index.html")
    found["/static/css/diagram.css"] = asset(diagram_css().encode(), "diagram.css")
    return found


def diagram_css() -> str:
    """The colours of the SVG diagrams in the page's two themes."""
    return stylesheet(".diagram svg", "light") + stylesheet('[data-theme="dark"] .diagram svg', "dark")


def _files(folder: Traversable, prefix: str = "") -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for entry in folder.iterdir():
        name = prefix + entry.name
        if entry.is_dir():
            found += _files(entry, name + "/")
        elif _suffix(name) in KINDS:
            found.append((name, entry.read_bytes()))
    return found


def asset(data: bytes, name: str) -> Asset:
    """Bytes as the file of that name is sent."""
    return Asset(data, KINDS[_suffix(name)], f'"{hashlib.sha256(data).hexdigest()[:20]}"')


def _suffix(name: str) -> str:
    return "." + name.rpartition(".")[2]
