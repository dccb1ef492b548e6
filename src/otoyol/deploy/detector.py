"""A dense detector (torchvision's RetinaNet or FCOS) as a module of tensors alone, for one image of one size.

The arithmetic is torchvision's ``postprocess_detections``, in an order that keeps shapes fixed as long as possible: the
best candidates of each level, decoded and clipped; then suppression class by class; then the score threshold, which may
come last, because a box of low score suppresses none of a higher. Anchors of a fixed size are constants.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection import FCOS, RetinaNet
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import clip_boxes_to_image, nms

from otoyol.errors import SpecError


def is_dense(detector: nn.Module) -> bool:
    return isinstance(detector, RetinaNet | FCOS)


def dense(detector: nn.Module) -> Any:
    """The detector. Raises SpecError where it is none whose outputs are dense."""
    if not is_dense(detector):
        raise SpecError("detector", type(detector).__name__, "RetinaNet or FCOS: their outputs are dense")
    return detector


class DenseDetections(nn.Module):
    """``image`` (1, C, H, W), normalised, to boxes (D, 4) in its pixels, labels (D,) and scores (D,), best first.

    As in torchvision, zeros fill the image up at the right and below to the next multiple of 32: levels and anchors
    are laid over that.
    """

    def __init__(self, detector: nn.Module, height: int, width: int) -> None:
        super().__init__()
        given = dense(detector)
        self.backbone, self.head = given.backbone, given.head
        self.size = (height, width)
        self.overlap = float(given.nms_thresh)
        self.most, self.candidates = int(given.detections_per_img), int(given.topk_candidates)
        self.coder, self.centred = given.box_coder, isinstance(given, FCOS)
        channels = next(detector.parameters()).shape[1]
        step = int(given.transform.size_divisible)
        self.fill = (0, -width % step, 0, -height % step)  # right, below
        with torch.no_grad():
            x = torch.zeros(1, channels, height + self.fill[3], width + self.fill[1])
            levels = list(self.backbone.eval()(x).values())
            anchors = given.anchor_generator(ImageList(x, [self.size]), levels)[0]
        places = len(anchors) // sum(level.shape[2] * level.shape[3] for level in levels)
        self.counts = [level.shape[2] * level.shape[3] * places for level in levels]
        self.anchors: Tensor
        self.score: Tensor  # a weight of the graph, so that the check can set it to 0
        self.register_buffer("score", torch.tensor(float(given.score_thresh)))
        self.register_buffer("anchors", anchors)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = functional.pad(image, self.fill) if any(self.fill) else image
        found: dict[str, Any] = self.head(list(self.backbone(x).values()))
        scores = found["cls_logits"][0].sigmoid()
        if self.centred:
            scores = (scores * found["bbox_ctrness"][0].sigmoid()).sqrt()
        kinds = scores.shape[1]
        picked, best = [], []
        start = 0
        for count in self.counts:
            values, order = scores[start : start + count].flatten().topk(min(self.candidates, count * kinds))
            best.append(values)
            picked.append(order + start * kinds)
            start += count
        values, order = torch.cat(best), torch.cat(picked)
        rows, labels = order // kinds, order % kinds
        boxes = self._decoded(found["bbox_regression"][0][rows], self.anchors[rows])
        boxes = clip_boxes_to_image(boxes, self.size)
        # Classes far apart from each other never suppress one another.
        keep = nms(boxes + labels[:, None] * (2.0 * max(self.size)), values, self.overlap)
        keep = keep[values[keep] > self.score]
        keep = keep[torch.arange(keep.shape[0]) < self.most]
        return boxes[keep], labels[keep], values[keep]

    def _decoded(self, regression: Tensor, anchors: Tensor) -> Tensor:
        if self.centred:
            decoded: Tensor = self.coder.decode(regression, anchors)
            return decoded
        single: Tensor = self.coder.decode_single(regression, anchors)
        return single


__all__ = ["DenseDetections", "dense", "is_dense"]
