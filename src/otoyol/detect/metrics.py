"""COCO's figures for boxes: average precision and recall over overlaps, sizes and classes (Lin et al. 2014, and the
evaluation code that came with it). faster-coco-eval does the matching; the tests hold it to pycocotools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from otoyol.errors import MissingExtraError, OtoyolError

IOUS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
RECALLS = tuple(round(0.01 * step, 2) for step in range(101))
AREAS = ("all", "small", "medium", "large")  # bounds at 32² and 96² square pixels
DETECTIONS = (1, 10, 100)  # an image and class


class Judged(NamedTuple):
    """One image's truth and predictions, in its own pixels: boxes (N, 4) as x1, y1, x2, y2, labels from 1."""

    image_id: int
    width: int
    height: int
    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray  # bool (N,): regions of many objects, in which predictions count neither way
    areas: np.ndarray  # (N,), for the sizes
    found_boxes: np.ndarray
    found_labels: np.ndarray
    scores: np.ndarray


class ClassScores(NamedTuple):
    """One class's figures. ``boxes``: how many there are to be found. ``precision``: at IoU 0.5, by :data:`RECALLS`."""

    name: str
    boxes: int
    ap: float
    ap50: float
    ap75: float
    ar: float
    precision: tuple[float, ...]


class Scores(NamedTuple):
    """COCO's twelve figures from 0 to 1, NaN where there is nothing to be found. ``ap``: mean over IoU 0.5 to 0.95;
    ``ar_1``, ``ar_10``, ``ar_100``: recall with so many detections an image. ``classes``: by class."""

    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    ar_1: float
    ar_10: float
    ar_100: float
    ar_small: float
    ar_medium: float
    ar_large: float
    classes: tuple[ClassScores, ...]

    def to_mapping(self) -> dict[str, Any]:
        """Plain data; None for NaN."""
        own = {name: _plain(value) for name, value in self._asdict().items() if name != "classes"}
        rows = [{name: _plain(value) for name, value in row._asdict().items()} for row in self.classes]
        return {**own, "classes": [{**row, "precision": list(map(_plain, row["precision"]))} for row in rows]}


def coco_scores(images: Sequence[Judged], classes: Sequence[str]) -> Scores:
    """The figures over ``images``, each image id once. ``classes``: names of the labels 1, 2, ….

    Raises OtoyolError where there is no image, MissingExtraError without faster-coco-eval.
    """
    if not images:
        raise OtoyolError("detection: there is no image to judge")
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ModuleNotFoundError:
        raise MissingExtraError("faster-coco-eval", "detect") from None
    truth = COCO(_truth(images, classes))
    found = truth.loadRes(_found(images))
    judge = COCOeval_faster(truth, found, "bbox", print_function=_silent)
    judge.params.maxDets = list(DETECTIONS)
    judge.params.imgIds = sorted(image.image_id for image in images)
    judge.params.catIds = list(range(1, len(classes) + 1))
    judge.evaluate()
    judge.accumulate()
    precision = np.asarray(judge.eval["precision"]).reshape(len(IOUS), len(RECALLS), len(classes), len(AREAS), -1)
    recall = np.asarray(judge.eval["recall"]).reshape(len(IOUS), len(classes), len(AREAS), -1)
    counts = _counts(images, len(classes))
    by_class = tuple(
        ClassScores(
            name, counts[k], _mean(precision[:, :, k, 0, -1]), _mean(precision[0, :, k, 0, -1]),
            _mean(precision[5, :, k, 0, -1]), _mean(recall[:, k, 0, -1]),
            tuple(float(p) if p > -1 else float("nan") for p in precision[0, :, k, 0, -1]),
        )
        for k, name in enumerate(classes)
    )  # fmt: skip
    return Scores(
        ap=_mean(precision[:, :, :, 0, -1]), ap50=_mean(precision[0, :, :, 0, -1]),
        ap75=_mean(precision[5, :, :, 0, -1]), ap_small=_mean(precision[:, :, :, 1, -1]),
        ap_medium=_mean(precision[:, :, :, 2, -1]), ap_large=_mean(precision[:, :, :, 3, -1]),
        ar_1=_mean(recall[:, :, 0, 0]), ar_10=_mean(recall[:, :, 0, 1]), ar_100=_mean(recall[:, :, 0, 2]),
        ar_small=_mean(recall[:, :, 1, 2]), ar_medium=_mean(recall[:, :, 2, 2]), ar_large=_mean(recall[:, :, 3, 2]),
        classes=by_class,
    )  # fmt: skip


def _truth(images: Sequence[Judged], classes: Sequence[str]) -> dict[str, Any]:
    annotations: list[dict[str, Any]] = []
    for image in images:
        for box, label, crowd, area in zip(image.boxes, image.labels, image.crowd, image.areas, strict=True):
            annotations.append({
                "id": len(annotations) + 1, "image_id": image.image_id, "category_id": int(label), "bbox": _xywh(box),
                "area": float(area), "iscrowd": int(crowd),
            })  # fmt: skip
    return {
        "info": {}, "annotations": annotations,
        "images": [{"id": image.image_id, "width": image.width, "height": image.height} for image in images],
        "categories": [{"id": label, "name": name} for label, name in enumerate(classes, 1)],
    }  # fmt: skip


def _found(images: Sequence[Judged]) -> list[dict[str, Any]]:
    return [
        {"image_id": image.image_id, "category_id": int(label), "bbox": _xywh(box), "score": float(score)}
        for image in images
        for box, label, score in zip(image.found_boxes, image.found_labels, image.scores, strict=True)
    ]


def _xywh(box: np.ndarray) -> list[float]:
    x1, y1, x2, y2 = (float(value) for value in box)
    return [x1, y1, x2 - x1, y2 - y1]


def _counts(images: Sequence[Judged], classes: int) -> list[int]:
    """Boxes to be found, by class."""
    labels = np.concatenate([image.labels[~image.crowd] for image in images]).astype(np.int64)
    return [int(count) for count in np.bincount(labels, minlength=classes + 1)[1:]]


def _mean(values: np.ndarray) -> float:
    """Mean over what is defined; COCO's code writes -1 where nothing is to be found."""
    known = values[values > -1]
    return float(known.mean()) if known.size else float("nan")


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and value != value else value


def _silent(*_: Any) -> None:
    """faster-coco-eval tells of its progress."""
