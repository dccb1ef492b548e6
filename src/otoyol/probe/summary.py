"""Runs of several seeds put together: the figures that plots and verdicts share."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

from otoyol.draw.curves import Curve, spread_over
from otoyol.probe.result import BlockFigures, DeadChannels, NormFigures, Run, Snapshot

Row = list[float | None]
Layer = TypeVar("Layer", NormFigures, DeadChannels)


class Spread(NamedTuple):
    """A figure over seeds: mean, lowest, highest."""

    mean: float
    low: float
    high: float

    def apart(self, other: Spread) -> bool:
        """Whether the two ranges have nothing in common."""
        return self.high < other.low or other.high < self.low


def spread(values: Sequence[float]) -> Spread | None:
    return Spread(statistics.fmean(values), min(values), max(values)) if values else None


def by_design(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The runs of each design, in the order given."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run.spec, []).append(run)
    return found


def measured(runs: Sequence[Run], which: int) -> list[Snapshot]:
    """The runs' snapshots before (0) or after (1) training that hold figures."""
    return [run.snapshots[which] for run in runs if len(run.snapshots) > which and run.snapshots[which].blocks]


def block_curve(name: str, snapshots: Sequence[Snapshot], figures: Callable[[Snapshot], Row]) -> Curve:
    """Figures block by block, over seeds."""
    return spread_over(name, [figures(snapshot) for snapshot in snapshots])


def each_block(figure: Callable[[BlockFigures], float | None]) -> Callable[[Snapshot], Row]:
    """A figure of the block itself."""
    return lambda snapshot: [figure(block) for block in snapshot.blocks]


def each_norm(figure: Callable[[NormFigures], float | None]) -> Callable[[Snapshot], Row]:
    """The mean of a figure over a block's batch norms; None where it has none, or none with that figure."""

    def row(snapshot: Snapshot) -> Row:
        return [_mean([figure(norm) for norm in _inside(block, snapshot.norms)]) for block in snapshot.blocks]

    return row


def dead_share(snapshot: Snapshot) -> Row:
    """The share of a block's activated channels that are dead, over all its activations; None where it has none."""
    acts = [_inside(block, snapshot.dead) for block in snapshot.blocks]
    return [sum(act.dead for act in own) / sum(act.channels for act in own) if own else None for own in acts]


def _inside(block: BlockFigures, layers: Iterable[Layer]) -> list[Layer]:
    return [layer for layer in layers if layer.name.startswith(f"{block.name}.")]


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def gradient_ratio(snapshot: Snapshot) -> float | None:
    """‖dE/dx‖ at the first block's input over ‖dE/dy‖ at the last block's output."""
    last = snapshot.blocks[-1].grad_out
    return snapshot.blocks[0].grad_in / last if last else None


def weight_ratio(snapshot: Snapshot) -> float | None:
    """Largest over smallest gradient norm of the blocks' weights."""
    norms = [block.weight_grad for block in snapshot.blocks]
    return max(norms) / min(norms) if min(norms) > 0 else None


def skip_share(snapshot: Snapshot) -> float | None:
    """Mean of the blocks' shares of the gradient that come back through the shortcut."""
    shares = [block.skip_share for block in snapshot.blocks if block.skip_share is not None]
    return statistics.fmean(shares) if shares else None


def late_loss(run: Run, share: float = 0.1) -> float | None:
    """Mean loss of the last tenth of the steps, one at least."""
    count = max(1, round(share * len(run.losses)))
    return statistics.fmean(run.losses[-count:]) if run.losses and run.problem is None else None


def over(snapshots: Sequence[Snapshot], figure: Callable[[Snapshot], float | None]) -> Spread | None:
    """A network's figure over seeds."""
    return spread([value for snapshot in snapshots if (value := figure(snapshot)) is not None])
