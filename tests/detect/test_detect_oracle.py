"""torchvision's own detectors are the oracle: with their weights ours give their losses and their boxes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from _detect_small import images, targets
from torch import nn
from torchvision.models import detection as peers

from otoyol.detect import Detector, build_detector, export_detector, load_detector
from otoyol.errors import WeightsError

V2 = {"head_convs": 2, "box_convs": 4, "head_norm": "batch", "fpn_norm": "batch"}
CASES: list[tuple[Callable[..., nn.Module], str, dict[str, Any]]] = [
    (peers.retinanet_resnet50_fpn_v2, "retinanet", {}),
    (peers.retinanet_resnet50_fpn, "retinanet", {"head_norm": None, "box_loss": "l1", "extra": "p6p7"}),
    (peers.fcos_resnet50_fpn, "fcos", {}),
    (peers.fasterrcnn_resnet50_fpn, "fasterrcnn", {}),
    (peers.fasterrcnn_resnet50_fpn_v2, "fasterrcnn", V2),
]


@pytest.mark.parametrize(("peer", "kind", "choices"), CASES, ids=[peer.__name__ for peer, _, _ in CASES])
def test_losses_and_boxes_are_torchvision_s(peer: Callable[..., nn.Module], kind: str, choices: dict[str, Any]) -> None:
    torch.manual_seed(0)
    theirs = peer(weights=None, weights_backbone=None, num_classes=4, min_size=64, max_size=96)
    ours = build_detector("resnet50", Detector(kind=kind, min_size=64, max_size=96, **choices), classes=3)
    load_detector(ours, theirs.state_dict(), "torchvision")
    back = export_detector(ours, "torchvision")
    assert list(map(len, (back, theirs.state_dict()))) == [len(back)] * 2
    assert all(torch.equal(back[key], value) for key, value in theirs.state_dict().items())
    for model in (ours, theirs) if kind == "fasterrcnn" else ():  # a few proposals tell as much and take less time
        model.rpn._post_nms_top_n = {"training": 64, "testing": 64}
        model.roi_heads.batch_size_per_image = 64
    losses = []
    for model in (ours.train(), theirs.train()):
        torch.manual_seed(1)  # Faster R-CNN draws its samples
        losses.append({name: value.detach() for name, value in model(images(), targets()).items()})
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-6, atol=0)
    found = []
    for model in (ours.eval(), theirs.eval()):
        (model.roi_heads if kind == "fasterrcnn" else model).score_thresh = 0.2 if kind == "fasterrcnn" else 0.005
        with torch.inference_mode():
            found.append(model(images()))
    assert min(len(one["boxes"]) for one in found[1]) > 20
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-4)


def test_defaults_of_the_results_are_torchvision_s() -> None:
    for peer, kind, choices in CASES[:1] + CASES[2:4]:
        with torch.device("meta"):
            theirs = peer(weights=None, weights_backbone=None, num_classes=4)
            ours = build_detector("resnet50", Detector(kind=kind, **choices), classes=3)
        heads = [model.roi_heads if kind == "fasterrcnn" else model for model in (ours, theirs)]
        for name in ("score_thresh", "nms_thresh", "detections_per_img", "topk_candidates", "center_sampling_radius"):
            assert getattr(heads[0], name, None) == getattr(heads[1], name, None), name
        generators = [model.rpn.anchor_generator if kind == "fasterrcnn" else model.anchor_generator
                      for model in (ours, theirs)]  # fmt: skip
        for mine, other in zip(generators[0].cell_anchors, generators[1].cell_anchors, strict=True):
            assert mine.shape == other.shape
        assert generators[0].sizes == generators[1].sizes
        assert repr(ours.transform) == repr(theirs.transform)
        if kind == "fasterrcnn":
            for name in ("_pre_nms_top_n", "_post_nms_top_n", "nms_thresh"):
                assert getattr(ours.rpn, name) == getattr(theirs.rpn, name)


def test_a_checkpoint_that_does_not_fit_changes_nothing() -> None:
    from _detect_small import SMALL, V1

    model = build_detector(V1, Detector(kind="fcos", **SMALL | {"head_norm": None}), classes=3)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    wrong = {
        "lacks": {key: value + 1 for key, value in before.items() if "cls_logits.bias" not in key},
        "holds": {**{key: value + 1 for key, value in before.items()}, "head.other": torch.zeros(1)},
        "size mismatch": {**{key: value + 1 for key, value in before.items()},
                          "head.classification_head.cls_logits.bias": torch.zeros(7)},
        "stem.conv1": {key: value + 1 for key, value in before.items() if "stem.conv1" not in key},
    }  # fmt: skip
    for words, checkpoint in wrong.items():
        with pytest.raises(WeightsError, match=words):
            load_detector(model, checkpoint)
        assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    load_detector(model, {key: value + 1 for key, value in before.items()})
    assert all(torch.equal(value, before[key] + 1) for key, value in model.state_dict().items())
