"""Detectors over the taps of any backbone: torchvision's RetinaNet, FCOS and Faster R-CNN on a feature pyramid, their
augmentation, COCO's and VOC's figures, and pictures."""

from __future__ import annotations

from otoyol.errors import MissingExtraError

try:
    import torch as _torch  # noqa: F401 (only to say what to install)
    import torchvision as _torchvision  # noqa: F401
except ModuleNotFoundError as error:
    raise MissingExtraError(str(error.name), "torch") from error

from otoyol.data.box_source import load_boxes
from otoyol.data.boxes import BoxImages
from otoyol.detect.augment import Augment
from otoyol.detect.build import Start, build_detector
from otoyol.detect.choices import Detector
from otoyol.detect.metrics import ClassScores, Judged, Scores, coco_scores
from otoyol.detect.pictures import draw_boxes, precision_recall_plot
from otoyol.detect.pyramid import Pyramid
from otoyol.detect.weights import export_detector, load_detector

__all__ = [
    "Augment", "BoxImages", "ClassScores", "Detector", "Judged", "Pyramid", "Scores", "Start", "build_detector",
    "coco_scores", "draw_boxes", "export_detector", "load_boxes", "load_detector", "precision_recall_plot",
]  # fmt: skip
