"""Pictures of a design: block and network diagrams as SVG text, stage-by-stage costs as bars and plots."""

from otoyol.draw.block import block_svg
from otoyol.draw.network import network_svg

__all__ = ["block_svg", "network_svg"]
