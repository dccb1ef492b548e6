"""What a task is to the training engine: everything in which classification and detection differ, and nothing else.

The engine (:mod:`otoyol.train.engine`) owns order, seeds, devices, ranks, optimiser, schedule, averaging, logs and
checkpoints. A task owns samples, model, loss, metric and what is said and drawn at the end. It keeps no state that
training changes, so that a checkpoint of model, optimiser and step number is all there is to resume from.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from torch import Tensor, nn

if TYPE_CHECKING:
    from PIL.Image import Image


class Built(NamedTuple):
    """``model``: a plain module on the CPU. ``frozen``: paths of its submodules whose parameters no longer learn
    (``requires_grad`` is False already); the engine keeps them in evaluation mode, so that their norms stay as well."""

    model: nn.Module
    frozen: tuple[str, ...] = ()


class Loss(NamedTuple):
    """``total``: the mean over the batch's samples, a scalar to differentiate; the engine weighs it by the batch's
    share of the global batch and averages over ranks, so that the gradient is the mean over the global batch.
    ``parts``: scalars without gradient for the log, one for each name in the task's ``parts``."""

    total: Tensor
    parts: dict[str, Tensor]


class Source(Protocol):
    """Samples by number. It is pickled into the loader's processes."""

    @property
    def names(self) -> Sequence[str]:
        """What to call each sample in a message: a path where there is one."""

    def __len__(self) -> int: ...

    def sample(self, index: int) -> Any:
        """The sample at ``index``, augmented where this source is for training.

        Whatever it draws comes from torch's global generator, which the engine has seeded from (seed, epoch, index):
        so a sample is the same in any process and any order. Raises OtoyolError where it cannot be read.
        """

    def fingerprint(self) -> dict[str, Any]:
        """Plain data that differs where the samples do (count, classes, a digest of names, labels, file sizes). A run
        goes on only with the data it began with."""


class Metric(Protocol):
    """Figures over a whole split, exact whatever the batches and ranks are: counts and sums, never means of means."""

    def update(self, model: nn.Module, batch: Any) -> None:
        """Take in one batch of the task's ``collate``, on the model's device; ``model`` is in evaluation mode and
        without DDP, gradients are off."""

    def state(self) -> Any:
        """What the other ranks need to know, on the CPU (it crosses processes)."""

    def merge(self, states: Sequence[Any]) -> None:
        """Become the metric over all ``states``, which are those of every rank, this one's included, in order."""

    def compute(self) -> dict[str, float]:
        """The figures, one for each name in the task's ``metrics``; NaN where there is none."""


class Task(Protocol):
    """One training task, opened from its configuration.

    ``parts`` and ``metrics`` are columns of the log and known before anything runs. ``best`` names the metric whose
    highest value chooses the best weights.
    """

    @property
    def name(self) -> str: ...

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels' names. A task that is opened with given classes does not open its data for this."""

    @property
    def parts(self) -> tuple[str, ...]: ...

    @property
    def metrics(self) -> tuple[str, ...]: ...

    @property
    def best(self) -> str: ...

    @property
    def train(self) -> Source: ...

    @property
    def validation(self) -> Source: ...

    def build(self, start: bool = True) -> Built:
        """The model, from spec, weights and freezing; without ``start`` the file of weights is not read, for a
        checkpoint's replace them. What it draws comes from torch's global generator, seeded."""

    def collate(self, samples: Sequence[Any]) -> Any:
        """At least one sample as a batch of tensors, in tuples, lists and mappings as the task likes; every
        four-dimensional tensor in it is a batch of images."""

    def loss(self, model: nn.Module, batch: Any) -> Loss:
        """One forward pass in training mode. ``model`` may be wrapped by the engine: call it, reach not into it.
        Random draws (mixup, sampling of boxes) come from torch's global generator, seeded from (seed, step, rank)."""

    def metric(self) -> Metric:
        """A fresh metric."""

    def report(self, metric: Metric, model: nn.Module, folder: Path) -> dict[str, Any]:
        """Pictures into ``folder`` after the last evaluation, whose merged ``metric`` this is; plain data for
        ``result.json``. Runs on one rank."""

    def predict(self, model: nn.Module, pictures: Sequence[Image]) -> list[dict[str, Any]]:
        """Plain data on each picture (labels, scores, boxes in its own pixels). ``model`` is in evaluation mode."""

    def picture(self, picture: Image, prediction: dict[str, Any]) -> Image:
        """The picture with its prediction drawn on it."""
