"""What can be chosen of a detector, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision
from _detect_small import NORMED, SMALL, V1, V2, images, targets
from torch import nn

from otoyol.detect import Detector, Start, build_detector
from otoyol.errors import SpecError, WeightsError
from otoyol.nn import build


@pytest.mark.parametrize("design", [V1, V2])
@pytest.mark.parametrize("kind", ["retinanet", "fcos", "fasterrcnn"])
def test_every_kind_learns_over_v1_and_v2(design: str, kind: str) -> None:
    torch.manual_seed(0)
    normed = NORMED if kind != "fasterrcnn" else {}
    box = {"box_width": 16} if kind == "fasterrcnn" else {}
    model = build_detector(design, Detector(kind=kind, **SMALL, **normed, **box), classes=3)
    losses = model(images(), targets())
    sum(losses.values()).backward()
    silent = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert not silent  # nothing hangs loose: no parameter without a gradient
    model.eval()
    found = model(images())
    assert [set(one) for one in found] == [{"boxes", "labels", "scores"}] * 2
    assert all(int(label) in (1, 2, 3) for one in found for label in one["labels"])


def test_a_pre_activation_backbone_is_tapped_where_its_spec_says() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 3, 64, 64)
    lowest = {}
    for taps in ("raw", "preact", "postact"):
        model = build_detector(f"{V2},taps={taps}", Detector(**SMALL, **NORMED), classes=3)
        sum(model(images(), targets()).values()).backward()
        loose = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
        assert not loose  # for whose gradients the ranks of a distributed run would wait
        lowest[taps] = min(tap.min().item() for tap in model.backbone.body(x))
    assert lowest["raw"] < 0 and lowest["preact"] == lowest["postact"] == 0  # the latter two end in a ReLU


def test_levels_and_anchors_are_data() -> None:
    fine = Detector(taps=("C2", "C3"), extra="none", sizes=((6, 9), (20, 30)), ratios=(1.0,), **SMALL, **NORMED)
    model = build_detector(V1, fine, classes=1)
    levels = model.backbone(torch.zeros(1, 3, 64, 64))
    assert [tuple(level.shape[1:]) for level in levels.values()] == [(8, 16, 16), (8, 8, 8)]  # strides 4 and 8
    assert not any("stages.2" in name for name in model.state_dict())  # what no level needs is not there
    first = model.anchor_generator.cell_anchors[0]
    assert first.tolist() == [[-3, -3, 3, 3], [-4, -4, 4, 4]]  # 9 / 2, rounded to even
    scaled = build_detector(V1, Detector(taps=("C2", "C3"), extra="none", **SMALL, **NORMED), classes=1)
    assert scaled.anchor_generator.sizes == ((16, 20, 25), (32, 40, 50))  # 4 · stride · 2^(0, 1/3, 2/3)
    pooled = build_detector(V1, Detector(kind="fasterrcnn", **SMALL, box_width=8), classes=1)
    assert pooled.backbone.strides == (4, 8, 16, 32, 64)


def test_p6_reads_what_it_is_told_to_where_widths_are_equal() -> None:
    for extra, reads_p5 in (("p6p7", True), ("p6p7_c5", False)):
        model = build_detector(V1, Detector(**{**SMALL, **NORMED, "channels": 16, "extra": extra}), classes=1)
        assert model.backbone.fpn.extra_blocks.use_P5 is reads_p5  # C5 too has 16 channels


@pytest.mark.parametrize("convs", [0, 2, 6])
def test_heads_are_as_deep_as_asked(convs: int) -> None:
    model = build_detector(V1, Detector(**{**SMALL, **NORMED, "head_convs": convs}), classes=1)
    towers = (model.head.classification_head.conv, model.head.regression_head.conv)
    for tower in towers:
        weights = [layer.weight for layer in tower.modules() if isinstance(layer, nn.Conv2d)]
        assert len(weights) == convs and len({w.data_ptr() for w in weights}) == convs
        assert all(not torch.equal(weights[0], w) for w in weights[1:])  # each with its own start


def test_freezing_is_what_was_asked_for() -> None:
    model = build_detector(V1, Detector(**SMALL, **NORMED), classes=1, freeze=2)
    body = model.backbone.body
    assert model.backbone.frozen == ("stem", "stages.0")
    model.train()
    before = {key: value.clone() for key, value in body.state_dict().items()}
    sum(model(images(), [{**t, "labels": t["labels"].clamp(max=1)} for t in targets()]).values()).backward()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter -= parameter.grad
    moved = {key for key, value in body.state_dict().items() if not torch.equal(value, before[key])}
    assert moved and not any(key.startswith(("stem.", "stages.0.")) for key in moved)  # running statistics as well
    assert any(key.startswith("stages.1.") and "running_mean" in key for key in moved)
    model.backbone.freeze(0)
    assert all(parameter.requires_grad for parameter in body.parameters())
    free = build_detector(V1, Detector(**SMALL, **NORMED), classes=1)
    assert all(parameter.requires_grad for parameter in free.parameters())  # never silently


def test_a_backbone_starts_from_a_classifier_s_weights() -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.resnet18(num_classes=10).eval()
    model = build_detector("resnet18", Detector(kind="fcos", channels=32), classes=1, start=Start(theirs.state_dict()))
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        c5 = nn.Sequential(*list(theirs.children())[:-2])(x)
        torch.testing.assert_close(model.eval().backbone.body(x)[-1], c5, rtol=1e-5, atol=1e-5)
    ours = build(V2, num_classes=10)
    start = build_detector(V2, Detector(**SMALL, **NORMED), classes=1, start=Start(ours.state_dict(), "otoyol"))
    assert torch.equal(start.backbone.body.stem.conv1.weight, ours.stem.conv1.weight)
    with pytest.raises(WeightsError, match="fresh"):
        build_detector(V2, Detector(**SMALL, **NORMED), classes=1, start=Start(theirs.state_dict(), fresh=("all",)))


@pytest.mark.parametrize(
    ("choices", "field"),
    [
        ({"kind": "yolo"}, "detector.kind"),
        ({"kind": "fcos", "box_loss": "giou"}, "detector.box_loss"),
        ({"kind": "fcos", "ratios": [1.0]}, "detector.ratios"),
        ({"kind": "retinanet", "radius": 2.0}, "detector.radius"),
        ({"kind": "fasterrcnn", "head_norm": "group"}, "detector.head_norm"),
        ({"min_size": 900, "max_size": 800}, "detector.min_size"),
        ({"std": [1.0, 1.0, 0.0]}, "detector.std"),
        ({"std": [1.0]}, "detector.std"),
        ({"background_iou": 0.9}, "detector.background_iou"),
        ({"sizes": [[8], [16, 32]]}, "detector.sizes"),
        ({"channels": 0}, "detector.channels"),
        ({"colour": 3}, "detector.colour"),
    ],
)
def test_descriptions_that_are_refused(choices: dict[str, Any], field: str) -> None:
    with pytest.raises(SpecError) as refused:
        Detector(**choices)
    assert refused.value.field.startswith(field)


@pytest.mark.parametrize(
    ("choices", "more", "field"),
    [
        ({"taps": ("C3", "C9")}, {}, "detector.taps"),
        ({"taps": ("C4", "C3")}, {}, "detector.taps"),
        ({"channels": 12}, {}, "detector.head_norm"),
        ({"sizes": ((8,),), **NORMED}, {}, "detector.sizes"),
        ({"mean": (0.5,), "std": (0.5,), **NORMED}, {}, "detector.mean"),
        (NORMED, {"classes": 0}, "classes"),
        (NORMED, {"freeze": 9}, "freeze"),
    ],
)
def test_detectors_that_cannot_be_built(choices: dict[str, Any], more: dict[str, Any], field: str) -> None:
    with pytest.raises(SpecError) as refused:
        build_detector(V1, Detector(**SMALL | choices), **{"classes": 1, **more})
    assert refused.value.field.startswith(field)
