"""build_detector: torchvision's RetinaNet, FCOS and Faster R-CNN over the taps of any spec."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from torch import nn
from torchvision.models.detection import FCOS, FasterRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.fcos import FCOSClassificationHead, FCOSHead, FCOSRegressionHead
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import MultiScaleRoIAlign

from otoyol.detect.choices import Detector
from otoyol.detect.pyramid import Pyramid, norm_factory
from otoyol.errors import SpecError
from otoyol.nn import build
from otoyol.ops import lower
from otoyol.spec import Spec, parse
from otoyol.weights import load
from otoyol.weights.names import Source


class Start(NamedTuple):
    """A checkpoint for the backbone; the fields are those of :func:`otoyol.weights.load`. A classifier's head is
    dropped, and the norms that ``taps: postact`` gives the taps can stay as initialised: ``fresh`` says so."""

    state_dict: Mapping[str, Any] | str | os.PathLike[str]
    source: Source = "torchvision"
    of: Spec | str | None = None
    prefix: str = ""
    fresh: Collection[str] = ("head",)
    allow_meaning: Collection[str] = ()


def build_detector(
    spec: Spec | str,
    detector: Detector | str = "retinanet",
    *,
    classes: int,
    start: Start | None = None,
    freeze: int = 0,
    skip_resize: bool = False,
) -> nn.Module:
    """A detector of ``classes`` kinds of object, in training mode: torchvision's module over our backbone.

    It is called as torchvision's are: a list of images (C, H, W) of values from 0 to 1, and in training a list of
    targets; losses come out in training, else ``boxes`` (x1, y1, x2, y2 in the image's own pixels), ``labels`` and
    ``scores``. Labels count from 1 with every kind; 0 is the background, as in torchvision's checkpoints.

    ``detector``: a description, or a kind with torchvision's numbers. A pre-activation backbone is tapped where its
    spec says (``taps``: by default normalised and activated). The backbone starts as initialised or from
    ``start``, a classifier's checkpoint.
    ``freeze``: how many of stem, stage 1, stage 2, … do not learn; 0, the default, trains everything. A backbone whose
    norms are affine by stored statistics is a spec with ``norm=frozen``. ``skip_resize``: in training, take images
    in the size they have.

    Raises SpecError for what cannot be built, WeightsError where the checkpoint does not fit.
    """
    spec = parse(spec) if isinstance(spec, str) else spec
    detector = Detector(kind=detector) if isinstance(detector, str) else detector
    if not isinstance(classes, int) or not 1 <= classes <= 1_000_000:
        raise SpecError("classes", classes, "a whole number from 1, the background left out")
    if len(detector.mean) != spec.input.channels:
        raise SpecError("detector.mean", list(detector.mean), f"{spec.input.channels} numbers, the spec's channels")
    indices = tap_indices(spec, detector.taps)
    body = build(spec, features_only=True, out_indices=indices)
    if start is not None:
        load(body, start.state_dict, start.source, of=start.of, prefix=start.prefix, fresh=start.fresh,
             allow_meaning=start.allow_meaning)  # fmt: skip
    body.cut(indices)
    pyramid = Pyramid(body, detector)
    pyramid.freeze(freeze)
    return _OVER[detector.kind](pyramid, detector, classes + 1, _image(detector, skip_resize))


def tap_indices(spec: Spec, taps: Sequence[str]) -> list[int]:
    """Where the named taps stand among the spec's. Raises SpecError for one that it does not have."""
    names = [tap.name for tap in lower(spec).taps]
    if unknown := [name for name in taps if name not in names]:
        raise SpecError("detector.taps", unknown[0], f"some of {', '.join(names)}")
    indices = [names.index(name) for name in taps]
    if indices != sorted(set(indices)):
        raise SpecError("detector.taps", list(taps), "each tap once, shallow to deep")
    return indices


def anchors(detector: Detector, strides: tuple[int, ...]) -> AnchorGenerator:
    """torchvision's generator of anchors for levels of these strides. Raises SpecError."""
    sizes = detector.sizes or tuple(tuple(int(scale * stride) for scale in detector.scales) for stride in strides)
    if len(sizes) != len(strides):
        raise SpecError("detector.sizes", [list(s) for s in sizes], f"{len(strides)} lists of sides, one for a level")
    return AnchorGenerator(sizes, (detector.ratios,) * len(sizes))


def _retinanet(pyramid: Pyramid, detector: Detector, labels: int, image: dict[str, Any]) -> RetinaNet:
    generator = anchors(detector, pyramid.strides)
    norm = norm_factory(detector.head_norm, detector.channels, "head_norm")
    head = RetinaNetHead(detector.channels, generator.num_anchors_per_location()[0], labels, norm_layer=norm)
    for tower in (head.classification_head, head.regression_head):
        tower.conv = _of_depth(tower.conv, detector.head_convs)
    head.regression_head._loss_type = detector.box_loss
    return RetinaNet(
        pyramid, labels, anchor_generator=generator, head=head, fg_iou_thresh=detector.foreground_iou,
        bg_iou_thresh=detector.background_iou, score_thresh=detector.score, nms_thresh=detector.nms_iou,
        detections_per_img=detector.detections, topk_candidates=detector.candidates, **image,
    )  # fmt: skip


def _fcos(pyramid: Pyramid, detector: Detector, labels: int, image: dict[str, Any]) -> FCOS:
    width, convs = detector.channels, detector.head_convs
    norm = norm_factory(detector.head_norm, width, "head_norm") or nn.Identity
    generator = AnchorGenerator(tuple((stride,) for stride in pyramid.strides), ((1.0,),) * len(pyramid.strides))
    head = FCOSHead(width, 1, labels, 0)  # its towers, whose norm it chooses itself, are put in below
    head.classification_head = FCOSClassificationHead(width, 1, labels, convs, norm_layer=norm)
    head.regression_head = FCOSRegressionHead(width, 1, convs, norm_layer=norm)
    return FCOS(
        pyramid, labels, anchor_generator=generator, head=head, center_sampling_radius=detector.radius,
        score_thresh=detector.score, nms_thresh=detector.nms_iou, detections_per_img=detector.detections,
        topk_candidates=detector.candidates, **image,
    )  # fmt: skip


def _fasterrcnn(pyramid: Pyramid, detector: Detector, labels: int, image: dict[str, Any]) -> FasterRCNN:
    generator, width = anchors(detector, pyramid.strides), detector.channels
    if detector.head_convs < 1:
        raise SpecError("detector.head_convs", detector.head_convs, "at least 1 in Faster R-CNN's proposal network")
    pool = MultiScaleRoIAlign([str(level) for level in range(len(detector.taps))], output_size=7, sampling_ratio=2)
    norm = norm_factory(detector.head_norm, width, "head_norm")
    box_head: nn.Module = TwoMLPHead(width * 7**2, detector.box_width)
    if detector.box_convs:
        box_head = FastRCNNConvFCHead((width, 7, 7), [width] * detector.box_convs, [detector.box_width], norm)
    return FasterRCNN(
        pyramid, rpn_anchor_generator=generator, box_roi_pool=pool, box_head=box_head,
        rpn_head=RPNHead(width, generator.num_anchors_per_location()[0], conv_depth=detector.head_convs),
        box_predictor=FastRCNNPredictor(detector.box_width, labels), rpn_fg_iou_thresh=detector.foreground_iou,
        rpn_bg_iou_thresh=detector.background_iou, rpn_pre_nms_top_n_test=detector.candidates,
        rpn_post_nms_top_n_test=detector.candidates, box_score_thresh=detector.score,
        box_nms_thresh=detector.nms_iou, box_detections_per_img=detector.detections, **image,
    )  # fmt: skip


_OVER: dict[str, Callable[[Pyramid, Detector, int, dict[str, Any]], nn.Module]] = {
    "retinanet": _retinanet,
    "fcos": _fcos,
    "fasterrcnn": _fasterrcnn,
}


def _of_depth(tower: nn.Sequential, convs: int) -> nn.Sequential:
    """torchvision's tower of four convolutions with another number of them."""
    kept = list(tower)[:convs]
    while len(kept) < convs:
        deeper = copy.deepcopy(tower[0])
        for layer in deeper.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=0.01)
        kept.append(deeper)
    return nn.Sequential(*kept)


def _image(detector: Detector, skip_resize: bool) -> dict[str, Any]:
    """What torchvision's detectors take about the image."""
    return {
        "min_size": detector.min_size, "max_size": detector.max_size, "image_mean": list(detector.mean),
        "image_std": list(detector.std), "size_divisible": detector.divisor, "_skip_resize": skip_resize,
    }  # fmt: skip
