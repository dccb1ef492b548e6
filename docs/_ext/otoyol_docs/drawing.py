"""Drawings by name, as SVG text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import otoyol


def block(text: str, lang: str, theme: Any, stage: int = 1, block: int = 1) -> str:
    """A block of a stage, both counted from 1 as on the command line."""
    return otoyol.draw.block_svg(otoyol.parse(text), stage=stage - 1, block=block - 1, lang=lang, theme=theme)


def network(text: str, lang: str, theme: Any) -> str:
    return otoyol.draw.network_svg(otoyol.parse(text), lang=lang, theme=theme)


DRAWINGS: dict[str, Callable[..., str]] = {"block": block, "network": network}
