"""Drawings by name, as SVG text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import otoyol


def block(text: str, lang: str, theme: Any, stage: int = 1, block: int = 0) -> str:
    """A block of a stage (from 1), the block's index from 0."""
    return otoyol.draw.block_svg(otoyol.parse(text), stage=stage, block=block, lang=lang, theme=theme)


def network(text: str, lang: str, theme: Any) -> str:
    return otoyol.draw.network_svg(otoyol.parse(text), lang=lang, theme=theme)


DRAWINGS: dict[str, Callable[..., str]] = {"block": block, "network": network}
