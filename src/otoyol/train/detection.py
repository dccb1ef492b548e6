"""Detection as a training task: images with boxes, torchvision's losses, COCO's average precision."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torchvision import tv_tensors

from otoyol.data.box_source import load_boxes
from otoyol.data.boxes import BoxImages, rgb
from otoyol.detect import Augment, Detector, Judged, Start, build_detector, coco_scores, draw_boxes
from otoyol.detect.augment import augmenter, fit
from otoyol.detect.metrics import Scores
from otoyol.detect.pictures import precision_recall_plot
from otoyol.errors import OtoyolError, SpecError
from otoyol.spec.files import write_bytes
from otoyol.train.config import Config, Part, Text
from otoyol.train.freeze import freeze
from otoyol.train.task import Built, Loss, Metric

if TYPE_CHECKING:
    from PIL.Image import Image

PARTS = {
    "retinanet": ("classification", "bbox_regression"),
    "fcos": ("classification", "bbox_regression", "bbox_ctrness"),
    "fasterrcnn": ("loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"),
}
FIGURES = ("ap", "ap50", "ap75", "ar_100")
SHOWN = 0.3  # the lowest score of a box in a picture
DRAWN = 12  # images in the report


class BoxData(Part):
    """``source``, ``classes``, ``images``: what :func:`otoyol.detect.load_boxes` reads. ``train`` and ``judge`` are
    splits: what is learnt from, and what chooses the best weights and tells the metrics."""

    source: Text
    train: Text = "train"
    judge: Text = "val"
    classes: tuple[Text, ...] | None = None
    images: Text | None = None


class DetectionConfig(Config):
    """What trains a detector. ``weights`` are the backbone's, ``freeze`` names submodules (``backbone.body.stem``)."""

    task: Literal["detection"] = "detection"
    data: BoxData
    detector: Detector = Detector()
    augment: Augment = Augment()

    def open(self, classes: tuple[str, ...] | None = None) -> Detection:
        return Detection(self, classes)


class Batch(NamedTuple):
    """``images``: uint8 (N, 3, H, W), or a tuple of (3, H, W) where sizes differ. ``targets``: a mapping of tensors for
    each. Boxes to learn from are in the pixels of the image as it is here, boxes to judge by in those of the image as
    it was (``size``: height, width)."""

    images: Any
    targets: list[dict[str, Tensor]]


class Detection:
    """A :class:`otoyol.train.task.Task` over images with boxes. Labels count from 1; ``classes[0]`` names label 1."""

    name = "detection"
    metrics = FIGURES
    best = "ap"

    def __init__(self, config: DetectionConfig, classes: tuple[str, ...] | None = None) -> None:
        if config.spec.input.channels != 3:
            raise SpecError("spec.input.channels", config.spec.input.channels, "3: images are read in colour")
        self.config = config
        self._classes = classes

    def _load(self, split: str) -> BoxImages:
        data = self.config.data
        known = self._classes or data.classes
        return load_boxes(
            data.source, split, classes=known, images=data.images, broken=self.config.run.unreadable
        )  # fmt: skip

    @cached_property
    def _learnt_from(self) -> BoxImages:
        images = self._load(self.config.data.train)
        if empty := [name for name, count in zip(images.classes, images.boxes_by_class(), strict=True) if not count]:
            raise OtoyolError(f"data: the class {empty[0]} has no box to train on")
        return images

    @property
    def classes(self) -> tuple[str, ...]:
        return self._classes or self.config.data.classes or self._learnt_from.classes

    @property
    def parts(self) -> tuple[str, ...]:
        return PARTS[self.config.detector.kind]

    @cached_property
    def train(self) -> BoxSource:
        return BoxSource(self._learnt_from, self.config, learning=True)

    @cached_property
    def validation(self) -> BoxSource:
        images = self._load(self.config.data.judge)
        if images.classes != self.classes:
            raise SpecError("data.judge", ", ".join(images.classes), f"the classes of train: {', '.join(self.classes)}")
        return BoxSource(images, self.config, learning=False)

    def build(self, start: bool = True) -> Built:
        config = self.config
        first = None
        if start and (given := config.weights) is not None:
            fresh = {*given.fresh, "head"}
            first = Start(given.file, given.source, given.of, given.prefix, fresh, given.allow_meaning)
        model = build_detector(
            config.spec, config.detector, classes=len(self.classes), start=first,
            skip_resize=config.augment.canvas is not None,
        )  # fmt: skip
        return Built(model, freeze(model, config.freeze))

    def collate(self, samples: Sequence[tuple[Tensor, dict[str, Tensor]]]) -> Batch:
        images = tuple(image for image, _ in samples)
        alike = len({image.shape for image in images}) == 1
        return Batch(torch.stack(images) if alike else images, [target for _, target in samples])

    def loss(self, model: nn.Module, batch: Batch) -> Loss:
        found = model(inputs(batch.images, model), batch.targets)
        parts = {name: found[name] for name in self.parts}
        return Loss(torch.stack(list(parts.values())).sum(), {name: part.detach() for name, part in parts.items()})

    def metric(self) -> Metric:
        return BoxMetric(self.classes)

    def report(self, metric: Metric, model: nn.Module, folder: Path) -> dict[str, Any]:  # noqa: ARG002 (the protocol's)
        assert isinstance(metric, BoxMetric)  # noqa: S101 (for the type checker: metric() made it)
        scores = metric.scores()
        precision_recall_plot(scores, folder)
        self._draw(metric, folder)
        # Of a run that is over, what it learnt from need not be here.
        sources = (self.train, self.validation) if "train" in vars(self) else (self.validation,)
        images = [source.images for source in sources]
        return {
            "scores": scores.to_mapping(),
            "annotations_left_out": [line for one in images for line in one.left_out],
            "clipped_boxes": sum(one.clipped for one in images),
        }

    def _draw(self, metric: BoxMetric, folder: Path) -> None:
        """Some judged images with what was found, and what was to be found in thin outline."""
        import io

        from PIL import Image

        paths = {annotation.image_id: annotation.path for annotation in self.validation.images.annotations}
        for judged in metric.judged()[:DRAWN]:
            sure = judged.scores >= SHOWN
            with Image.open(paths[judged.image_id]) as picture:
                drawn = draw_boxes(
                    picture, judged.found_boxes[sure], judged.found_labels[sure].tolist(), self.classes,
                    scores=judged.scores[sure].tolist(), truth=judged.boxes,
                )  # fmt: skip
            data = io.BytesIO()
            drawn.save(data, "PNG")
            write_bytes(folder / f"predicted-{paths[judged.image_id].stem}.png", data.getvalue())

    def predict(self, model: nn.Module, pictures: Sequence[Image]) -> list[dict[str, Any]]:
        detector, rows = self.config.detector, []
        for picture in pictures:
            image = fit(rgb(picture, "picture"), detector.min_size, detector.max_size)
            found = judge(model, [image.as_subclass(Tensor)], [(picture.height, picture.width)])[0]
            rows.append({
                "boxes": [[round(value, 2) for value in box] for box in found["boxes"].tolist()],
                "labels": [self.classes[label - 1] for label in found["labels"].tolist()],
                "scores": [round(score, 6) for score in found["scores"].tolist()],
            })  # fmt: skip
        return rows

    def picture(self, picture: Image, prediction: dict[str, Any]) -> Image:
        import numpy as np

        sure = [i for i, score in enumerate(prediction["scores"]) if score >= SHOWN]
        boxes = np.array([prediction["boxes"][i] for i in sure]).reshape(-1, 4)
        labels = [self.classes.index(prediction["labels"][i]) + 1 for i in sure]
        return draw_boxes(picture, boxes, labels, self.classes, scores=[prediction["scores"][i] for i in sure])


class BoxSource:
    """Images as uint8 tensors with their targets: to learn from, augmented and without crowds; to judge, in the size
    that the detector wants."""

    def __init__(self, images: BoxImages, config: DetectionConfig, *, learning: bool) -> None:
        self.images, self.sizes, self.learning = images, (config.detector.min_size, config.detector.max_size), learning
        self._augment = augmenter(config.augment, tuple(round(255 * value) for value in config.detector.mean))

    @property
    def names(self) -> Sequence[str]:
        return self.images.names

    @property
    def left_out(self) -> Sequence[str]:
        """What the reader of the annotations left out, a sentence each."""
        return self.images.left_out

    def __len__(self) -> int:
        return len(self.images)

    def sample(self, index: int) -> tuple[Tensor, dict[str, Tensor]]:
        image, target = self.images[index]
        if self.learning:
            kept = ~target["iscrowd"]
            target |= {name: target[name][kept] for name in ("labels", "iscrowd", "difficult", "area")}
            target["boxes"] = tv_tensors.wrap(target["boxes"][kept], like=target["boxes"])
            image, target = self._augment((image, target))
            learnt = {"boxes": target["boxes"].as_subclass(Tensor), "labels": target["labels"]}
            return image.as_subclass(Tensor), learnt
        truth = {name: target[name] for name in ("labels", "iscrowd", "area")}
        truth["boxes"] = target["boxes"].as_subclass(Tensor)
        truth["image_id"], truth["size"] = torch.tensor(target["image_id"]), torch.tensor(image.shape[-2:])
        return fit(image, *self.sizes).as_subclass(Tensor), truth

    def fingerprint(self) -> dict[str, Any]:
        digest = hashlib.sha256("\n".join(self.images.classes).encode())
        for one in self.images.annotations:
            size = one.path.stat().st_size if one.path.is_file() else 0
            digest.update(f"\n{one.path.name} {one.width}x{one.height} {size} ".encode())
            digest.update(one.boxes.tobytes() + one.labels.tobytes() + one.crowd.tobytes())
        return {"samples": len(self), "classes": len(self.images.classes), "sha256": digest.hexdigest()[:32]}


class BoxMetric:
    """What was to be found and what was found, image by image: COCO's figures are of the whole split at once."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        self.classes = classes
        self._judged: dict[int, Judged] = {}

    def update(self, model: nn.Module, batch: Batch) -> None:
        sizes = [(int(target["size"][0]), int(target["size"][1])) for target in batch.targets]
        for target, found, (height, width) in zip(
            batch.targets, judge(model, batch.images, sizes), sizes, strict=True
        ):  # fmt: skip
            own = {name: value.cpu().numpy() for name, value in target.items()}
            self._judged[int(own["image_id"])] = Judged(
                int(own["image_id"]), width, height, own["boxes"], own["labels"], own["iscrowd"], own["area"],
                *(found[name].float().cpu().numpy() if name != "labels" else found[name].cpu().numpy()
                  for name in ("boxes", "labels", "scores")),
            )  # fmt: skip

    def state(self) -> list[Judged]:
        return list(self._judged.values())

    def merge(self, states: Sequence[list[Judged]]) -> None:
        self._judged = {judged.image_id: judged for state in states for judged in state}

    def judged(self) -> list[Judged]:
        """In the order of the images' ids."""
        return [self._judged[key] for key in sorted(self._judged)]

    def scores(self) -> Scores:
        return coco_scores(self.judged(), self.classes)

    def compute(self) -> dict[str, float]:
        scores = self.scores()
        return {name: getattr(scores, name) for name in FIGURES}


def inputs(images: Tensor | Sequence[Tensor], model: nn.Module) -> list[Tensor]:
    """uint8 images as what the detectors read: a list, values from 0 to 1 in the parameters' type."""
    like = next(model.parameters()).dtype
    return [image.to(like).div_(255) for image in images]


def judge(
    model: nn.Module, images: Tensor | Sequence[Tensor], sizes: Sequence[tuple[int, int]]
) -> list[dict[str, Tensor]]:
    """The model's detections on fitted uint8 images, boxes in pixels of images of ``sizes`` (height, width)."""
    device = next(model.parameters()).device
    given = inputs([image.to(device) for image in images], model)
    found = []
    for image, detected, (height, width) in zip(given, model(given), sizes, strict=True):
        scale = detected["boxes"].new_tensor([width / image.shape[-1], height / image.shape[-2]]).repeat(2)
        found.append({**detected, "boxes": detected["boxes"] * scale})
    return found
