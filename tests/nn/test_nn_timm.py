"""timm's own style of model tests, through timm's ``create_model``."""

from __future__ import annotations

import math

import pytest
import timm
import torch
from timm.models import FeatureInfo, FeatureListNet
from timm.models._features_fx import create_feature_extractor, get_graph_node_names
from timm.optim import param_groups_layer_decay, param_groups_weight_decay

import otoyol
from otoyol import nn as onn
from otoyol.spec import FAMILIES

NAMES = onn.register_timm()
SOME = (
    "resnet18", "resnet26d", "seresnet18", "ecaresnet26t", "resnetv2_18", "resnetv2_18d", "cifar_resnet20",
    "cifar_resnetv2_20",
)  # fmt: skip


@pytest.fixture(params=SOME)
def name(request):
    return f"otoyol_{request.param}"


def batch(model, size=2, target=64):
    c, h, w = model.default_cfg["input_size"]
    return torch.randn(size, c, min(h, target), min(w, target))


def test_every_family_is_registered():
    assert [*(f"otoyol_{family}" for family in FAMILIES), "otoyol_design"] == NAMES
    assert set(timm.list_models("otoyol_*")) == set(NAMES)
    assert timm.list_models("otoyol_*", pretrained=True) == []
    assert timm.get_pretrained_cfg("otoyol_cifar_resnet20").input_size == (3, 32, 32)


def test_forward(name):
    model = timm.create_model(name, pretrained=False).eval()
    y = model(batch(model, 1))
    assert y.shape == (1, model.num_classes)
    assert not torch.isnan(y).any()


def test_backward(name):
    model = timm.create_model(name, pretrained=False, num_classes=42).train()
    y = model(batch(model))
    y.mean().backward()
    for path, parameter in model.named_parameters():
        assert parameter.grad is not None, f"No gradient for {path}"
    assert y.shape == (2, 42)
    assert not torch.isnan(y).any()


def test_default_cfg(name):
    model = timm.create_model(name, pretrained=False).eval()
    names, cfg = model.state_dict().keys(), model.default_cfg
    x = torch.randn(1, *cfg["input_size"])
    maps = model.forward_features(x)
    assert tuple(maps.shape[-2:]) == cfg["pool_size"]
    assert model.forward_head(maps, pre_logits=True).shape == (1, model.head_hidden_size)
    model.reset_classifier(0)
    assert model(x).shape == (1, model.num_features)
    model.reset_classifier(0, "")
    assert tuple(model(x).shape[-2:]) == cfg["pool_size"]
    assert timm.create_model(name, num_classes=0)(x).shape == (1, model.num_features)
    assert timm.create_model(name, num_classes=0, global_pool="")(x).dim() == 4
    assert cfg["classifier"] + ".weight" in names
    assert cfg["first_conv"] + ".weight" in names


def test_features(name):
    model = timm.create_model(name, pretrained=False, features_only=True).eval()
    x = batch(model)
    channels, reductions = model.feature_info.channels(), model.feature_info.reduction()
    maps = model(x)
    assert len(maps) == len(channels) >= 4
    for c, r, t in zip(channels, reductions, maps, strict=True):
        assert t.shape == (2, c, math.ceil(x.shape[2] / r), math.ceil(x.shape[3] / r))
        assert not torch.isnan(t).any()
    chosen = timm.create_model(name, features_only=True, out_indices=(0, 2)).eval()
    assert [t.shape[1] for t in chosen(x)] == [channels[0], channels[2]] == chosen.feature_info.channels()


def test_forward_intermediates(name):
    model = timm.create_model(name, pretrained=False).eval()
    info = FeatureInfo(model.feature_info, len(model.feature_info))
    x = batch(model)
    y, maps = model.forward_intermediates(x, output_fmt="NCHW")
    assert [t.shape[1] for t in maps] == info.channels()
    assert [math.ceil(x.shape[2] / r) for r in info.reduction()] == [t.shape[2] for t in maps]
    torch.testing.assert_close(y, model.forward_features(x))
    taps = list(model.forward_taps(x).values())
    assert all(torch.equal(a, b) for a, b in zip(maps, taps, strict=True))
    (last,) = model.forward_intermediates(x, 1, intermediates_only=True, norm=True)
    torch.testing.assert_close(last, y)
    _, early = model.forward_intermediates(x, [1, -2], stop_early=True)
    assert [t.shape for t in early] == [maps[1].shape, maps[-2].shape]
    model.set_grad_checkpointing()
    torch.testing.assert_close(model.forward_intermediates(x)[0], y)
    with pytest.raises(otoyol.SpecError, match="NCHW"):
        model.forward_intermediates(x, output_fmt="NLC")


def test_channels_classes_and_rates(name):
    model = timm.create_model(name, in_chans=5, num_classes=3, drop_rate=0.1, drop_path_rate=0.2)
    x = batch(model)
    assert x.shape[1] == 5
    assert model(x).shape == (2, 3)


@pytest.mark.parametrize("family", ["resnet18", "resnetv2_18d", "seresnet18"])
@pytest.mark.parametrize("output_stride", [8, 16])
def test_dilated(family, output_stride):
    model = timm.create_model(f"otoyol_{family}", output_stride=output_stride).eval()
    assert model.forward_features(batch(model)).shape[-1] == 64 // output_stride


def test_timms_fx_features(name):
    model = timm.create_model(name, pretrained=False).eval()
    x = batch(model)
    nodes, _ = get_graph_node_names(model)
    extractor = create_feature_extractor(model, return_nodes=[row["module"] for row in model.feature_info])
    for ours, theirs in zip(model.forward_taps(x).values(), extractor(x).values(), strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(create_feature_extractor(model, return_nodes=[nodes[-1]])(x)[nodes[-1]], model(x))


def test_timms_feature_list():
    model = timm.create_model("otoyol_resnet18").eval()
    features = FeatureListNet(model, out_indices=(1, 2, 3, 4), flatten_sequential=True)
    x = batch(model)
    expected = [tap for name, tap in model.forward_taps(x).items() if name != "C1"]
    assert all(torch.equal(a, b) for a, b in zip(features(x), expected, strict=True))


def test_timms_parameter_groups(name):
    model = timm.create_model(name)
    groups = param_groups_weight_decay(model, 0.1, no_weight_decay_list=model.no_weight_decay())
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    layers = param_groups_layer_decay(model, layer_decay=0.5)
    scales = {path: group["lr_scale"] for group in layers for path in group.get("param_names", ())}
    assert len({group["lr_scale"] for group in layers}) > len(model.stages), scales
    assert set(model.group_matcher(coarse=True)) == {"stem", "blocks"}


@pytest.mark.parametrize(
    ("options", "words"),
    [({"pretrained": True}, "otoyol.weights.load"), ({"colour": "red"}, "colour"), ({"global_pool": "max"}, "avg")],
)
def test_what_cannot_be_had_is_refused(options, words):
    with pytest.raises(otoyol.SpecError, match=words):
        timm.create_model("otoyol_resnet18", **options)
