"""A short training: so many steps of gradient descent with momentum, and the accuracy after it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from otoyol.errors import OtoyolError, TrainingError

Schedule = Callable[[int, int], float]
"""(step from 0, steps) → the factor of the learning rate at that step."""


class Step(NamedTuple):
    """``step`` counts from 1; ``loss`` is the mean cross-entropy of its batch, in nats, before the step."""

    step: int
    loss: float


def constant(step: int, steps: int) -> float:  # noqa: ARG001 (the signature of a schedule)
    """The same learning rate throughout."""
    return 1.0


def cosine(step: int, steps: int) -> float:
    """Half a cosine down to 0 (Loshchilov and Hutter 2017, equation 5) after a linear rise over the first 20th."""
    rise = steps // 20
    if step < rise:
        return (step + 1) / (rise + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / (steps - rise)))


def train_steps(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], *, steps: int, lr: float,
    momentum: float = 0.9, weight_decay: float = 1e-4, schedule: Schedule = constant, seed: int = 0,
) -> Iterator[Step]:  # fmt: skip
    """Train ``model`` in place, on the device where it lies, and yield after each step. Stop by not asking for more.

    ``batches``: (images (N, C, H, W), labels (N,)), at least ``steps`` of them. Whatever the model draws at random
    (dropout, stochastic depth) follows from ``seed`` and the step, whatever the caller does between two steps.

    Raises TrainingError with the step where the loss is no longer finite, OtoyolError where the batches end too early.
    """
    device = next(model.parameters()).device
    optimiser = torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum, weight_decay=weight_decay)
    source = iter(batches)
    for step in range(steps):
        try:
            images, labels = next(source)
        except StopIteration:
            raise OtoyolError(f"training: the batches ended after step {step} of {steps}") from None
        model.train()
        for group in optimiser.param_groups:
            group["lr"] = lr * schedule(step, steps)
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed((seed * 1_000_003 + step) % (1 << 63))
            loss = nn.functional.cross_entropy(model(images.to(device)), labels.to(device))
        value = loss.item()
        if not math.isfinite(value):
            raise TrainingError(f"training: the loss is {value} at step {step + 1}; try a learning rate below {lr:g}")
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        yield Step(step + 1, value)


def accuracy(model: nn.Module, images: Dataset[tuple[Tensor, int]], *, batch: int = 128) -> float:
    """The share of ``images`` whose label has the highest logit, from 0 to 1. The model's mode is left as it was."""
    device, training = next(model.parameters()).device, model.training
    right = total = 0
    model.eval()
    try:
        with torch.inference_mode():
            for x, labels in DataLoader(images, batch_size=batch, generator=torch.Generator()):
                right += int((model(x.to(device)).argmax(1) == labels.to(device)).sum())
                total += len(labels)
    finally:
        model.train(training)
    return right / total
