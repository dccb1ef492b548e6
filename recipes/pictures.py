"""The README's picture: python recipes/pictures.py [FOLDER]

The same place of ResNet-50 and of ResNetV2-50 side by side, once for light pages and once for dark ones. The pictures
are committed in docs/images; a test holds them to what this script writes.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Literal

import otoyol
from otoyol.spec.files import write_text

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "images"
DESIGNS = ("resnet50", "resnetv2_50")
GAP = 40


def blocks_svg(theme: Literal["light", "dark"]) -> str:
    """The second block of the first stage of each design, as one SVG."""
    parts, x, height = [], 0, 0
    for name in DESIGNS:
        svg = otoyol.draw.block_svg(otoyol.parse(name), stage=0, block=1, theme=theme, uid=f"{name}-{theme}")
        size = re.search(r'width="(\d+)" height="(\d+)"', svg)
        assert size is not None
        parts.append(svg.replace("<svg ", f'<svg x="{x}" ', 1))
        x, height = x + int(size[1]) + GAP, max(height, int(size[2]))
    width = x - GAP
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    return "\n".join([head, *parts, "</svg>"]) + "\n"


def main(folder: Path = FOLDER) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for theme in ("light", "dark"):
        path = folder / f"blocks-{theme}.svg"
        write_text(path, blocks_svg(theme))
        print(path)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
