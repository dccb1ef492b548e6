"""Pictures of a design: block and network diagrams as SVG text, stage-by-stage costs as bars and plots."""

from otoyol.draw.bars import bars_svg
from otoyol.draw.block import block_svg
from otoyol.draw.costs import METRICS
from otoyol.draw.network import network_svg
from otoyol.draw.plot import cost_plot

__all__ = ["METRICS", "bars_svg", "block_svg", "cost_plot", "network_svg"]
