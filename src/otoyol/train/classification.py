"""Classification as a training task: labelled images, cross-entropy, accuracy."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from otoyol import weights
from otoyol.data import Images, load
from otoyol.data.images import MEAN, STD, covered, pixels
from otoyol.errors import OtoyolError, SpecError
from otoyol.nn import build
from otoyol.spec import Input
from otoyol.train.augment import Augment, Mix, make_augment, make_mix
from otoyol.train.config import Config, Decay, Flag, Part, Positive, Share, Text
from otoyol.train.confusion import Confusion
from otoyol.train.freeze import freeze
from otoyol.train.task import Built, Loss, Metric
from otoyol.train.trial import HELD_OUT

if TYPE_CHECKING:
    from PIL.Image import Image

TOP = 5  # classes that a prediction names


class ImageData(Part):
    """``source``: what :func:`otoyol.data.load` reads. ``judge``: the images that choose the best weights and tell the
    metrics, the source's ``test`` split, one in five training images, which then do not train, or all of ``train``.
    ``cache``: keep all images in memory, decoded. ``crop_share``: the part of the shorter side that an evaluation
    sees."""

    source: Text = "digits"
    judge: Literal["test", "held-out", "train"] = "test"
    cache: Flag = False
    download: Flag = False
    crop_share: Share = 1.0
    mean: tuple[float, ...] = Field(default=MEAN, min_length=1, max_length=3)
    std: tuple[Positive, ...] = Field(default=STD, min_length=1, max_length=3)


class ClassificationConfig(Config):
    """What trains a classifier. The head takes the data's classes."""

    task: Literal["classification"] = "classification"
    data: ImageData = ImageData()
    augment: Augment = Augment()
    mix: Mix = Mix()
    label_smoothing: Decay = 0.0

    def open(self, classes: tuple[str, ...] | None = None) -> Classification:
        return Classification(self, classes)


class Classification:
    """A :class:`otoyol.train.task.Task`. A batch is (uint8 (N, C, H, W), labels (N,)); the images become floating-point
    numbers on the model's device, in its parameters' type."""

    name = "classification"
    parts: tuple[str, ...] = ()
    best = "accuracy"

    def __init__(self, config: ClassificationConfig, classes: tuple[str, ...] | None = None) -> None:
        self.config = config
        self._classes = classes
        self._mix = make_mix(config.mix, len(classes or self.classes))

    @cached_property
    def _images(self) -> tuple[Images, Images]:
        """What trains and what judges. Raises OtoyolError for a label out of range and for a class without images."""
        data, size = self.config.data, self.config.spec.input
        if not data.crop_share:
            raise SpecError("data.crop_share", data.crop_share, "a share above 0")
        train = load(data.source, size, "train", download=data.download)
        if data.judge == "held-out":
            judges = train.take(range(0, len(train), HELD_OUT))
            train = train.take([index for index in range(len(train)) if index % HELD_OUT])
        else:
            judges = load(data.source, size, data.judge, download=data.download)
        check_labels(train, judges)
        return train, judges

    @property
    def classes(self) -> tuple[str, ...]:
        return self._classes or self._images[0].classes

    @property
    def metrics(self) -> tuple[str, ...]:
        return ("accuracy", "top5", "loss") if len(self.classes) > TOP else ("accuracy", "loss")

    @cached_property
    def train(self) -> ImageSource:
        return ImageSource(self._images[0], self.config)

    @cached_property
    def validation(self) -> ImageSource:
        judges = self._images[1]
        if self._classes and judges.classes != self._classes:
            known = ", ".join(self._classes)
            raise SpecError("data.source", ", ".join(judges.classes), f"the classes of the run: {known}")
        return ImageSource(judges, self.config.model_copy(update={"augment": None}))

    def build(self, start: bool = True) -> Built:
        config = self.config
        if config.spec.head.pool == "none":
            raise SpecError("spec.head.pool", "none", "avg, for a classifier needs a pool")
        model = build(config.spec, num_classes=len(self.classes))
        if start and (given := config.weights) is not None:
            weights.load(model, given.file, given.source, of=given.of, prefix=given.prefix, fresh=given.fresh,
                         allow_meaning=given.allow_meaning)  # fmt: skip
        return Built(model, freeze(model, config.freeze))

    def collate(self, samples: Sequence[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
        return torch.stack([image for image, _ in samples]), torch.tensor([label for _, label in samples])

    def loss(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Loss:
        images, labels = batch
        x, target = self._mix(self.inputs(images, model), labels)
        total = nn.functional.cross_entropy(model(x), target, label_smoothing=self.config.label_smoothing)
        return Loss(total, {})

    def inputs(self, images: Tensor, model: nn.Module) -> Tensor:
        """uint8 (N, C, H, W) as what the model reads."""
        like = next(model.parameters())
        mean, std = (
            torch.tensor([of[channel % len(of)] for channel in range(images.shape[1])], dtype=like.dtype)
            .to(images.device).view(-1, 1, 1) for of in (self.config.data.mean, self.config.data.std)
        )  # fmt: skip
        return images.to(like.dtype).div_(255).sub_(mean).div_(std)

    def metric(self) -> Metric:
        return Confusion(self.classes, self.inputs)

    def report(self, metric: Metric, model: nn.Module, folder: Path) -> dict[str, Any]:  # noqa: ARG002 (the protocol's)
        from otoyol.train.pictures import confusion_plot, precision_plot, sheet

        assert isinstance(metric, Confusion)  # noqa: S101 (for the type checker: metric() made it)
        confusion_plot(metric.counts, self.classes, folder)
        precision_plot(metric, folder)
        sheet(metric.shown(), self.classes, folder)
        return {"classes": metric.by_class()}

    def predict(self, model: nn.Module, pictures: Sequence[Image]) -> list[dict[str, Any]]:
        size = self.config.spec.input
        device = next(model.parameters()).device
        found: list[dict[str, Any]] = []
        for picture in pictures:
            x = fitted(pixels(picture, size.channels, "picture"), size, self.config.data.crop_share)
            scores = model(self.inputs(x[None].to(device), model))[0].double().softmax(0)
            order = scores.argsort(descending=True)[:TOP].tolist()
            top = [{"label": self.classes[index], "score": round(float(scores[index]), 6)} for index in order]
            found.append({**top[0], "top": top})
        return found

    def picture(self, picture: Image, prediction: dict[str, Any]) -> Image:
        from otoyol.train.pictures import captioned

        return captioned(picture, f"{prediction['label']} {prediction['score']:.0%}")


class ImageSource:
    """Images as uint8 tensors of the input's size, augmented where the configuration has an ``augment``."""

    def __init__(self, images: Images, config: ClassificationConfig) -> None:
        self.images, self.size, self.share = images, config.spec.input, config.data.crop_share
        augment: Augment | None = config.augment
        self._whole = augment is not None and augment.crop is not None and augment.crop.kind == "resized"
        self._augment = None if augment is None else make_augment(augment, self.size)
        if augment is not None:
            self.share = 1.0
        self._cache = [self._kept(index) for index in range(len(images))] if config.data.cache else None

    @property
    def names(self) -> Sequence[str]:
        return self.images.names

    def __len__(self) -> int:
        return len(self.images)

    def sample(self, index: int) -> tuple[Tensor, int]:
        x = self._cache[index] if self._cache is not None else self._base(index)
        if isinstance(x, OtoyolError):
            raise x
        if self._augment is not None:
            x = self._augment(x)
        return x.expand(self.size.channels, -1, -1), self.images.labels[index]

    def _base(self, index: int) -> Tensor:
        x = self.images.pixels(index)
        return x if self._whole else covered(x, self.size, self.share)

    def _kept(self, index: int) -> Tensor | OtoyolError:
        try:
            return self._base(index)
        except OtoyolError as error:
            return error

    def fingerprint(self) -> dict[str, Any]:
        digest = hashlib.sha256("\n".join(self.images.classes).encode())
        for name, label in zip(self.images.names, self.images.labels, strict=True):
            path = Path(name)
            size = path.stat().st_size if path.is_file() else 0
            digest.update(f"\n{path.parent.name}/{path.name} {label} {size}".encode())
        return {"samples": len(self), "classes": len(self.images.classes), "sha256": digest.hexdigest()[:32]}


def fitted(x: Tensor, size: Input, share: float) -> Tensor:
    """A picture's pixels as one evaluation sample."""
    return covered(x, size, share).expand(size.channels, -1, -1)


def check_labels(train: Images, judges: Images) -> None:
    """Raises OtoyolError for a label that is no class's number, and for a class that has no image to learn from."""
    for images in (train, judges):
        for name, label in zip(images.names, images.labels, strict=True):
            if not 0 <= label < len(images.classes):
                raise OtoyolError(
                    f"data: {name} has the label {label}; there are {len(images.classes)} classes, from 0"
                )
    present = set(train.labels)
    if empty := [name for number, name in enumerate(train.classes) if number not in present]:
        raise OtoyolError(f"data: the class {empty[0]} has no image to train on")
