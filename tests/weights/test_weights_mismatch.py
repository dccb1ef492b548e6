"""What does not fit is refused: which key, which shape, which meaning; and nothing has been changed."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import timm
import torch
import torchvision
from _weights_peers import filled, named, on_meta
from torch import nn

from otoyol import WeightsError
from otoyol.nn import build
from otoyol.weights import export, identify, load

CLASSES = {"num_classes": 10}


@pytest.fixture(scope="module")
def resnet18() -> nn.Module:
    return filled(partial(named, "torchvision", "resnet18", **CLASSES))


@pytest.fixture(scope="module")
def resnet50() -> nn.Module:
    return on_meta(partial(named, "torchvision", "resnet50"))


def meta(design: str) -> Any:
    with torch.device("meta"):
        return build(design)


def refusal(design: str, state: Any, source: Any = "torchvision", **options: Any) -> str:
    with pytest.raises(WeightsError) as caught:
        load(meta(design), state, source, **options)
    return str(caught.value)


def test_wrong_depth(resnet18: nn.Module) -> None:
    text = refusal("resnet34@head=10", resnet18.state_dict())
    assert "this looks like resnet18 " in text and "depths 2-2-2-2" in text
    assert "missing: layer1.2.conv1.weight" in text


def test_wrong_width(resnet50: nn.Module) -> None:
    text = refusal("wide_resnet50_2", resnet50.state_dict())
    assert "this looks like resnet50" in text
    assert "layer1.0.conv1.weight is [64, 64, 1, 1], [128, 64, 1, 1] is needed" in text


def test_wrong_groups() -> None:
    theirs = on_meta(partial(named, "torchvision", "resnext50_32x4d"))
    text = refusal("resnet50", theirs.state_dict())
    assert "this looks like resnext50_32x4d" in text and "32 groups" in text
    assert "layer1.0.conv2.weight is [128, 4, 3, 3], [64, 64, 3, 3] is needed" in text


def test_missing_and_extra_keys(resnet18: nn.Module) -> None:
    state = resnet18.state_dict()
    short = {key: value for key, value in state.items() if key != "layer3.1.bn2.running_var"}
    assert "missing: layer3.1.bn2.running_var" in refusal("resnet18@head=10", short)
    text = refusal("resnet18@head=10", {**state, "layer3.1.bn2.gain": torch.ones(1)})
    assert "not known here: layer3.1.bn2.gain" in text
    text = refusal("resnet18@head=10", {**short, "layer3.1.bn2.running_vat": state["layer3.1.bn2.running_var"]})
    assert "closest: layer3.1.bn2.running_var and layer3.1.bn2.running_vat" in text
    counter = {"layer5.0.bn1.num_batches_tracked": torch.tensor(1)}
    assert "not known here: layer5.0.bn1" in refusal("resnet18@head=10", {**state, **counter})
    assert "not known here: layer5.0.bn1" in refusal("resnet18@head=10,norm=frozen", {**state, **counter})
    one_counter_less = {key: value for key, value in state.items() if key != "bn1.num_batches_tracked"}
    assert "missing: bn1.num_batches_tracked" in refusal("resnet18@head=10", one_counter_less)


def test_files_without_counters_load(resnet18: nn.Module) -> None:
    state = {key: value for key, value in resnet18.state_dict().items() if "num_batches" not in key}
    model = build("resnet18@head=10")
    done = load(model, state, "torchvision")
    assert len(done.kept) == 20 and set(done.kept) == {key for key in model.state_dict() if "num_batches" in key}


def test_wrong_layout(resnet50: nn.Module) -> None:
    text = refusal("resnetv2_50", resnet50.state_dict(), "timm")
    assert "this looks like resnet50" in text and "stem.conv.weight" in text
    text = refusal("resnet50", resnet50.state_dict(), "otoyol")
    assert "(source torchvision or timm); wanted are such as stem.conv1.weight" in text
    assert "no residual network" in refusal("resnet50", {"features.0.weight": torch.ones(1)})


def test_classes(resnet18: nn.Module) -> None:
    text = refusal("resnet18", resnet18.state_dict())
    assert "the checkpoint has 10 classes: build the design with @head=10" in text and "fresh={'head'}" in text
    model = build("resnet18@head=7")
    before = model.head.fc.weight.clone()
    done = load(model, resnet18.state_dict(), "torchvision", fresh={"head"})
    assert set(done.kept) == {"head.fc.weight", "head.fc.bias"} and set(done.dropped) == {"fc.weight", "fc.bias"}
    assert torch.equal(model.head.fc.weight, before)
    assert torch.equal(model.stem.conv1.weight, resnet18.conv1.weight)


def test_no_head_on_one_side(resnet18: nn.Module) -> None:
    state = resnet18.state_dict()
    assert "fresh={'head'} drops the checkpoint's" in refusal("resnet18@head=0", state)
    features = build("resnet18", features_only=True)
    assert set(load(features, state, "torchvision", fresh={"head"}).dropped) == {"fc.weight", "fc.bias"}
    bare = {key: value for key, value in state.items() if not key.startswith("fc.")}
    assert "the checkpoint has no head" in refusal("resnet18@head=10", bare)
    assert load(meta("resnet18@head=0"), bare, "torchvision").dropped == ()


def test_image_channels(resnet18: nn.Module) -> None:
    assert "reads images of 3 channels" in refusal("resnet18@head=10,input=1x64x64", resnet18.state_dict())


def test_detection_prefix(resnet18: nn.Module) -> None:
    body = {f"backbone.body.{k}": v for k, v in resnet18.state_dict().items() if not k.startswith("fc.")}
    state = {**body, "rpn.head.conv.weight": torch.ones(3)}
    text = refusal("resnet18@head=0", state)
    assert "say prefix='backbone.body.'" in text
    done = load(build("resnet18@head=0"), state, "torchvision", prefix="backbone.body.")
    assert done.dropped == ("rpn.head.conv.weight",) and len(done.loaded) == len(body)
    assert "prefix: no key begins with 'body.'" in refusal("resnet18@head=0", state, prefix="body.")


def test_a_real_detectors_backbone() -> None:
    detector = torchvision.models.detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    model = build("resnet50@norm=frozen", features_only=True)
    with pytest.raises(WeightsError, match="norm: frozen here, batch in the checkpoint"):
        load(model, detector.state_dict(), "torchvision", prefix="backbone.body.", of=detector.backbone.body)
    load(model, detector.state_dict(), "torchvision", prefix="backbone.body.", of=detector.backbone.body,
         allow_meaning={"norm"})  # fmt: skip
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        theirs = list(detector.eval().backbone.body(x).values())
        ours = list(model(x))[1:]
    assert all((a - b).abs().max() <= 1e-5 * b.abs().max() for a, b in zip(ours, theirs, strict=True))


def test_attention_can_start_afresh(resnet18: nn.Module) -> None:
    assert "torchvision has no attention=se" in refusal("seresnet18@head=10", resnet18.state_dict())
    model = build("seresnet18@head=10")
    done = load(model, resnet18.state_dict(), "torchvision", of=resnet18, fresh={"attention"})
    assert len(done.kept) == 8 * 4 and all("attention" in key for key in done.kept)


def test_a_module_of_the_callers_own_stays_fresh_and_round_trips(resnet18: nn.Module) -> None:
    model = build("resnet18@head=10", attention=lambda channels: nn.Conv2d(channels, channels, 1, groups=channels))
    done = load(model, resnet18.state_dict(), "torchvision", fresh={"attention"})
    assert len(done.kept) == 8 * 2 and all(".attention." in key for key in done.kept)
    again = build("resnet18@head=10", attention=lambda channels: nn.Conv2d(channels, channels, 1, groups=channels))
    load(again, model.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
    with pytest.raises(WeightsError, match="attention=external is a module of your own"):
        export(model, "torchvision")


def test_norms_of_taps_exist_only_here() -> None:
    theirs = on_meta(partial(named, "timm", "resnetv2_50", **CLASSES))
    with torch.device("meta"):
        model = build("resnetv2_50@taps=postact", features_only=True)
    with pytest.raises(WeightsError, match=r"taps\.C2\.norm1\.weight \(exists only here; fresh=\{'tap'\}"):
        load(model, theirs.state_dict(), "timm", fresh={"head"})
    done = load(model, theirs.state_dict(), "timm", fresh={"head", "tap"})
    assert {key.split(".")[1] for key in done.kept} == {"C2", "C3", "C4"}


def test_a_refusal_changes_nothing(resnet18: nn.Module) -> None:
    model = build("resnet18")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(WeightsError):
        load(model, resnet18.state_dict(), "torchvision")
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"fresh": "head"}, "fresh: got 'head'; allowed: a collection of head, tap, attention"),
        ({"fresh": {"neck"}}, "fresh: got 'neck'"),
        ({"allow_meaning": {"strides"}}, "allow_meaning: got 'strides'; allowed: a collection of stride_at"),
        ({"of": 5}, "of: got int"),
    ],
)
def test_bad_arguments(resnet50: nn.Module, options: dict[str, Any], told: str) -> None:
    assert told in refusal("resnet50", resnet50.state_dict(), **options)


def test_other_models_and_sources(resnet50: nn.Module) -> None:
    with pytest.raises(WeightsError, match=r"otoyol\.nn\.build"):
        load(resnet50, resnet50.state_dict(), "torchvision")
    assert "source: got 'tv'" in refusal("resnet50", resnet50.state_dict(), "tv")


def test_a_model_changed_by_hand_is_refused(resnet18: nn.Module) -> None:
    model = build("resnet18@head=10")
    model.head.fc = nn.Linear(512, 3)
    with pytest.raises(WeightsError, match=r"changed after it was built: head\.fc\.weight"):
        load(model, resnet18.state_dict(), "torchvision")


def test_integers_are_no_weights(resnet18: nn.Module) -> None:
    state = {**resnet18.state_dict(), "conv1.weight": torch.zeros(64, 3, 7, 7, dtype=torch.int8)}
    assert "conv1.weight holds torch.int8" in refusal("resnet18@head=10", state)


@pytest.mark.parametrize(
    "name", ["resnet18", "resnet50d", "seresnet50", "ecaresnet50t", "resnetv2_50", "resnetv2_50d", "resnext50_32x4d",
             "wide_resnet50_2", "resnet50_gn", "ecaresnetlight"],
)  # fmt: skip
def test_identify(name: str) -> None:
    state = on_meta(partial(named, "timm", name, num_classes=7, in_chans=1)).state_dict()
    found = identify({f"module.{key}": value for key, value in state.items()})
    assert name in " ".join(found.families)
    assert found.prefix == "module." and "7 classes" in found.facts
    assert found.layout == ("resnetv2" if "v2" in name else "resnet")


def test_identify_says_what_it_can() -> None:
    assert identify(timm.create_model("resnet50").state_dict()).families == ("resnet50", "resnetv1_50")
    odd = on_meta(partial(timm.models.resnet.ResNet, timm.models.resnet.Bottleneck, [1, 2, 1, 1]))
    found = identify(odd.state_dict())
    assert found.families == () and "depths 1-2-1-1" in str(found)
    assert identify(meta("cifar_resnet20").state_dict()).families[:1] == ("cifar_resnet20",)
    assert identify({}).layout == "unknown"
