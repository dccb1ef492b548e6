"""The exponential moving average of weights and buffers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from otoyol.train.sharded import own


class Average:
    """a ← d · a + (1 - d) · w after every step, for floating-point parameters and buffers; others are copied.

    ``warm``: d at update t (from 0) is at most (1 + t) / (10 + t), so that the start is soon forgotten. ``values`` is
    what a checkpoint keeps.
    """

    def __init__(self, model: nn.Module, decay: float, warm: bool) -> None:
        self.decay, self.warm = decay, warm
        self._live = list(model.state_dict(keep_vars=True).values())
        self._names = list(model.state_dict())
        self._mean = [value.detach().clone() for value in self._live]
        floats = [value.is_floating_point() for value in self._live]
        self._moving = [place for place, is_float in enumerate(floats) if is_float]
        self._copied = [place for place, is_float in enumerate(floats) if not is_float]

    @torch.no_grad()
    def update(self, updates: int) -> None:
        """``updates``: how many there have been before."""
        decay = min(self.decay, (1 + updates) / (10 + updates)) if self.warm else self.decay
        live = [own(self._live[place].detach()) for place in self._moving]
        torch._foreach_lerp_([own(self._mean[place]) for place in self._moving], live, 1 - decay)
        for place in self._copied:
            self._mean[place].copy_(self._live[place])

    @property
    def values(self) -> dict[str, Tensor]:
        return dict(zip(self._names, self._mean, strict=True))

    def load(self, values: dict[str, Tensor]) -> None:
        for mean, value in zip(self._mean, (values[name] for name in self._names), strict=True):
            mean.copy_(value)

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Inside, the model holds the average; after it, its own values again, to the last bit."""
        with torch.no_grad():
            before = [value.detach().clone() for value in self._live]
            _copy(self._live, self._mean)
        try:
            yield
        finally:
            with torch.no_grad():
                _copy(self._live, before)


def _copy(to: list[Tensor], values: list[Tensor]) -> None:
    for target, value in zip(to, values, strict=True):
        target.detach().copy_(value)
