"""A design's trial: a short training from scratch, judged on images held out of the training split."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from otoyol.data import Images, batches, load
from otoyol.data.images import Unreadable
from otoyol.errors import SpecError, TrainingError
from otoyol.nn import build
from otoyol.spec import Spec, parse
from otoyol.train.short import accuracy, cosine, train_steps

Precision = Literal["32-true", "bf16-mixed"]
HELD_OUT = 5  # one training image in so many judges; the test split stays unseen for the design that is chosen


@dataclass(frozen=True)
class ShortTraining:
    """Called with a design's text form it trains it and yields (step, accuracy from 0 to 1) ``reports`` times.

    ``steps`` batches of ``batch`` images at the learning rate ``lr``, cosine to 0. The head takes the data's classes.
    ``judged``: how many held-out images tell the accuracy, at most. ``device``: torch's name of one, by default a GPU
    where there is one. ``precision``: as a recipe has it. With ``unreadable="skip"``, ``left_out`` is called with the
    names of unreadable images, once a trial. On one machine a design and a ``seed`` give the same accuracies each time.
    """

    source: str
    steps: int
    seed: int = 0
    lr: float = 0.1
    batch: int = 64
    reports: int = 5
    judged: int = 1000
    unreadable: Unreadable = "stop"
    device: str | None = None
    left_out: Callable[[list[str]], None] | None = None
    precision: Precision = "32-true"

    def __call__(self, design: str) -> Generator[tuple[int, float], None, None]:
        """Train one design. Raises TrainingError where its loss is no longer finite or the memory does not suffice,
        OtoyolError where an image cannot be read."""
        spec = parse(design)
        train, held_out = self._images(spec)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model: nn.Module = build(spec, num_classes=len(train.classes)).to(_device(self.device))
        if self.precision == "bf16-mixed":
            model = _Mixed(model)
        told = {max(1, self.steps * part // self.reports) for part in range(1, self.reports + 1)}
        try:
            for step, _ in train_steps(
                model, batches(train, self.batch, seed=self.seed), steps=self.steps, lr=self.lr, schedule=cosine,
                seed=self.seed,
            ):  # fmt: skip
                if step in told:
                    reached = accuracy(model, held_out)
                    if step == self.steps and self.left_out and (skipped := {*train.skipped, *held_out.skipped}):
                        self.left_out(sorted(skipped))
                    yield step, reached
        except RuntimeError as error:
            if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
                raise
            raise TrainingError(f"training: not enough memory for batches of {self.batch} images") from None

    def _images(self, spec: Spec) -> tuple[Images, Images]:
        """What trains, and what judges."""
        images = load(self.source, spec.input, "train", unreadable=self.unreadable)
        held_out = range(0, len(images), HELD_OUT)
        count = min(self.judged, len(held_out))
        judges = [held_out[place * len(held_out) // count] for place in range(count)]  # evenly over the classes
        return images.take([index for index in range(len(images)) if index % HELD_OUT]), images.take(judges)

    def identity(self) -> dict[str, Any]:
        """Plain data on what decides the accuracies, except for the device; the data by its images' names, so that
        its folder may lie elsewhere on another machine. Raises SpecError for numbers that cannot be."""
        for name in ("steps", "batch", "reports", "judged"):
            if getattr(self, name) < 1:
                raise SpecError(name, getattr(self, name), "a whole number from 1")
        if not 0 < self.lr < float("inf"):
            raise SpecError("lr", self.lr, "a learning rate above 0")
        if self.precision not in get_args(Precision):
            raise SpecError("precision", self.precision, " or ".join(get_args(Precision)))
        _device(self.device)
        images = load(self.source, Spec.model_fields["input"].default, "train")
        if self.batch > (train := len(images) - len(range(0, len(images), HELD_OUT))):
            raise SpecError("batch", self.batch, f"at most {train}, the number of images for training")
        names = (f"{Path(name).name} {label}" for name, label in zip(images.names, images.labels, strict=True))
        text = "\n".join((*images.classes, *names))
        return {
            "data": Path(self.source).name,
            "images": len(images),
            "images_sha256": hashlib.sha256(text.encode()).hexdigest()[:16],
            **{
                name: getattr(self, name)
                for name in ("seed", "lr", "batch", "reports", "judged", "unreadable", "precision")
            },
        }


class _Mixed(nn.Module):
    """``model`` with its products in bfloat16; parameters and logits stay float32."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, torch.bfloat16):
            logits: Tensor = self.model(images)
        return logits.float()


def _device(name: str | None) -> torch.device:
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch's words for devices that it does not know or have
        said = str(error).splitlines()[0]
        raise SpecError("device", name, f"a device that torch has here, such as cpu or cuda ({said})") from None
    return device
