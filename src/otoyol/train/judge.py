"""A whole split judged, exactly, over any number of ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from otoyol.train.loader import Batches
from otoyol.train.machine import Fabric, gathered, laid_out, share_buffers
from otoyol.train.signals import Stop
from otoyol.train.task import Metric, Task


class Interrupted(Exception):  # noqa: N818 (a way out, no error)
    """A signal came amid the evaluation."""


def judge(
    task: Task, model: nn.Module, batches: Batches, fabric: Fabric, stop: Stop,
    note: Callable[[Sequence[str]], None] = lambda _: None, channels_last: bool = False,
) -> Metric | None:  # fmt: skip
    """The metric over all ranks' ``batches``, on rank 0 (None elsewhere); ``note`` there hears of all unreadable ones.

    ``model`` is the plain one: DDP would wait for the other ranks at every batch, and theirs may be fewer. It is left
    in evaluation mode, with the first rank's running statistics on every rank. Raises Interrupted where a signal asks
    to stop and no other rank would wait.
    """
    precision = fabric.strategy.precision
    metric = task.metric()
    share_buffers(fabric, model)
    model.eval()
    skipped: list[str] = []
    with torch.no_grad(), precision.forward_context():
        for fetched in batches:
            if stop.asked and fabric.world_size == 1:
                raise Interrupted
            skipped.extend(fetched.skipped)
            if fetched.samples:
                batch = laid_out(fabric.to_device(precision.convert_input(fetched.batch)), channels_last)
                metric.update(model, batch)
    found = gathered(fabric, (metric.state(), skipped))
    if found is None:
        return None
    note([name for _, names in found for name in names])
    metric.merge([state for state, _ in found])
    return metric
