"""After loading, outputs are equal: every family that torchvision or timm has, and every mechanism in both dtypes."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
import torchvision
from _weights_peers import BasicBlock, Bottleneck, ResNet, filled, known, named, on_meta, relative
from timm.layers import BatchNormAct2d, GroupNormAct, create_conv2d
from timm.models import FeatureListNet
from timm.models.resnetv2 import PreActBasic, ResNetV2
from torch import nn

from otoyol import parse
from otoyol.nn import build
from otoyol.spec import family
from otoyol.weights import export, load
from otoyol.weights.names import entries

BOUNDS = {torch.float32: 1e-5, torch.float64: 1e-12}


def image(dtype: torch.dtype) -> torch.Tensor:
    return torch.randn(2, 3, 33, 41, generator=torch.Generator().manual_seed(1), dtype=dtype)


@pytest.mark.parametrize(("source", "name"), known())
def test_every_family_of_the_peers(source: str, name: str) -> None:
    """Keys, shapes and the round trip for all; outputs up to 50 layers and 50 million parameters, because the rest
    repeats the same blocks and takes its time."""
    make = partial(named, source, name)
    theirs = on_meta(make)
    runs = sum(plan.depth for plan in family(name).plan) <= 16 and sum(p.numel() for p in theirs.parameters()) < 5e7
    theirs = filled(lambda: theirs) if runs else theirs
    state = theirs.state_dict()
    assert {entry.theirs: entry.their_shape for entry in entries(family(name), source)} == {
        key: tuple(value.shape) for key, value in state.items()
    }
    with torch.device("meta"):
        ours = build(name)
    done = load(ours, state, source)  # a meta model takes the tensors themselves
    assert len(done.loaded) == len(state) and not done.kept and not done.dropped
    back = export(ours, source)
    assert {key: value.shape for key, value in back.items()} == {key: value.shape for key, value in state.items()}
    if runs:
        assert all(torch.equal(back[key], state[key]) for key in state)
        x = torch.randn(1, 3, 33, 47, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            assert relative(ours.eval()(x), theirs.eval()(x)) <= 1e-5


def v1(block: type[nn.Module], layers: tuple[int, ...] = (2, 1, 2, 1), **options: object) -> nn.Module:
    return ResNet(block, layers, num_classes=10, channels=(32, 64, 128, 256), **options)


def v2(layers: tuple[int, ...] = (2, 1, 2, 1), **options: object) -> nn.Module:
    usual = {"channels": (128, 256, 512, 1024), "conv_layer": create_conv2d, "norm_layer": BatchNormAct2d}
    return ResNetV2(layers, num_classes=10, **{**usual, **options})


def tv(block: type[nn.Module], layers: tuple[int, ...] = (2, 1, 2, 1), **options: object) -> nn.Module:
    return torchvision.models.ResNet(block, list(layers), num_classes=10, **options)


SHORT, NARROW = "depths=2-1-2-1,head=10", ",widths=32-64-128-256"  # torchvision's widths are fixed
OS8, OS16 = "strides=1-2-1-1,dilations=1-1-2-4", "strides=1-2-2-1,dilations=1-1-1-2"
DEEP = {"stem_type": "deep", "stem_width": 32}
DOWN = {**DEEP, "avg_down": True}
TIERED = {"stem_type": "deep_tiered", "stem_width": 32, "avg_down": True}
V2_D = {"stem_type": "deep", "avg_down": True}
V2_BASIC = {"channels": (32, 64, 128, 256), "basic": True, "bottle_ratio": 1.0}
X32 = {"cardinality": 32, "base_width": 4}
LIGHT = {"stem_width": 32, "avg_down": True}
SE, ECA, CBAM = ({"block_args": {"attn_layer": kind}} for kind in ("se", "eca", "cbam"))
GROUP, BATCH = partial(nn.GroupNorm, 32), partial(nn.BatchNorm2d, eps=1e-3, momentum=0.03)
TvBasic, TvBottleneck = torchvision.models.resnet.BasicBlock, torchvision.models.resnet.Bottleneck
# One small network for every mechanism: design (shortened and narrowed), source, peer.
MECHANISMS = {
    "basic": ("resnet18@", "timm", partial(v1, BasicBlock)),
    "bottleneck": ("resnet50@", "timm", partial(v1, Bottleneck)),
    "c": ("resnet50c@", "timm", partial(v1, Bottleneck, **DEEP)),
    "d": ("resnet50d@", "timm", partial(v1, Bottleneck, **DOWN)),
    "basic d": ("resnet18d@", "timm", partial(v1, BasicBlock, **DOWN)),
    "t": ("resnet50t@", "timm", partial(v1, Bottleneck, **TIERED)),
    "resnext": ("resnext50_32x4d@widths=64-128-256-512,", "timm", partial(v1, Bottleneck, **X32)),
    "wide": ("wide_resnet50_2@widths=64-128-256-512,", "timm", partial(v1, Bottleneck, base_width=128)),
    "se": ("seresnet50@", "timm", partial(v1, Bottleneck, **SE)),
    "basic se": ("seresnet18@", "timm", partial(v1, BasicBlock, **SE)),
    "eca": ("ecaresnet50t@", "timm", partial(v1, Bottleneck, **TIERED, **ECA)),
    "cbam": ("resnet50@attention=cbam,", "timm", partial(v1, Bottleneck, **CBAM)),
    "light": ("ecaresnetlight@", "timm", partial(v1, Bottleneck, **LIGHT, **ECA)),
    "gn": ("resnet50_gn@", "timm", partial(v1, Bottleneck, norm_layer="groupnorm")),
    "silu": ("resnet50@act=silu,", "timm", partial(v1, Bottleneck, act_layer="silu")),
    "os8": (f"resnet50@{OS8},", "timm", partial(v1, Bottleneck, output_stride=8)),
    "basic os16": (f"resnet18@{OS16},", "timm", partial(v1, BasicBlock, output_stride=16)),
    "d os8": (f"resnet50d@{OS8},", "timm", partial(v1, Bottleneck, **DOWN, output_stride=8)),
    "v2": ("resnetv2_50@taps=raw,", "timm", v2),
    "v2 d": ("resnetv2_50d@taps=raw,", "timm", partial(v2, **V2_D)),
    "v2 t": ("resnetv2_50t@taps=raw,", "timm", partial(v2, stem_type="tiered", avg_down=True)),
    "v2 basic": ("resnetv2_18@taps=raw,", "timm", partial(v2, **V2_BASIC)),
    "v2 os8": (f"resnetv2_50@taps=raw,{OS8},", "timm", partial(v2, output_stride=8)),
    "v2 d os16": (f"resnetv2_50d@taps=raw,{OS16},", "timm", partial(v2, **V2_D, output_stride=16)),
    "v2 gn": ("resnetv2_50d@taps=raw,norm=group,", "timm", partial(v2, **V2_D, norm_layer=GroupNormAct)),
    "tv basic": ("resnet18@", "torchvision", partial(tv, TvBasic)),
    "tv wide": ("wide_resnet50_2@", "torchvision", partial(tv, TvBottleneck, width_per_group=128)),
    "tv os8": (f"resnet50@{OS8},depths=1-1-1-2,head=10", "torchvision", partial(
        tv, TvBottleneck, (1, 1, 1, 2), replace_stride_with_dilation=[False, True, True])),
    "tv resnext os16": (f"resnext50_32x4d@{OS16},", "torchvision", partial(
        tv, TvBottleneck, groups=32, width_per_group=4, replace_stride_with_dilation=[False, False, True])),
    "tv gn": ("resnet18@norm=group,", "torchvision", partial(tv, TvBasic, norm_layer=GROUP)),
    "tv eps": ("resnet18@norm.eps=0.001,norm.momentum=0.03,", "torchvision", partial(tv, TvBasic, norm_layer=BATCH)),
}  # fmt: skip


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_every_mechanism(mechanism: str) -> None:
    design, source, make = MECHANISMS[mechanism]
    design += "" if "depths" in design else SHORT
    design += "" if "widths" in design or source == "torchvision" else NARROW
    theirs = filled(make)
    for dtype, bound in BOUNDS.items():
        with torch.device("meta"):
            ours = build(design, dtype=dtype)
        _equal(ours, theirs.to(dtype), source, bound)


def _equal(ours: nn.Module, theirs: nn.Module, source: Any, bound: float) -> None:
    load(ours, copy.deepcopy(theirs.state_dict()), source, of=theirs)
    x = image(next(theirs.parameters()).dtype)
    with torch.no_grad():
        features = _features(theirs, x)
        taps = ours.eval().forward_taps(x)
        assert list(taps) == ["C1", "C2", "C3", "C4", "C5"]
        for tap, feature in zip(taps.values(), features, strict=True):
            assert relative(tap, feature) <= bound
        assert relative(ours.eval()(x), theirs.eval()(x)) <= bound
        assert relative(ours.train()(x), theirs.train()(x)) <= bound
    # The step in training mode moved every running statistic alike; counters too.
    back, state = export(ours, source), theirs.state_dict()
    assert back.keys() == state.keys()
    for key, value in state.items():
        counter = not value.is_floating_point()
        assert torch.equal(back[key], value) if counter else relative(back[key], value) <= bound, key


def _features(theirs: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """timm's own features_only wrapper; for torchvision, the stages by hand."""
    theirs.eval()
    if type(theirs).__module__.startswith("timm"):
        flat = isinstance(theirs, ResNetV2)
        return FeatureListNet(theirs, flatten_sequential=flat)(x)
    x = theirs.relu(theirs.bn1(theirs.conv1(x)))
    found = [x]
    x = theirs.maxpool(x)
    for name in ("layer1", "layer2", "layer3", "layer4"):
        x = getattr(theirs, name)(x)
        found.append(x)
    return found


def test_gradients_are_equal_too() -> None:
    theirs = filled(partial(v1, Bottleneck, **DOWN)).double()
    ours = build(f"resnet50d@{SHORT}{NARROW}", dtype=torch.float64)
    load(ours, theirs.state_dict(), "timm", of=theirs)
    x = image(torch.float64)
    for module in (ours, theirs):
        module.train()(x).square().sum().backward()
    there = dict(theirs.named_parameters())
    for entry in entries(ours.spec, "timm"):
        if entry.theirs in there:
            mine = ours.get_parameter(entry.ours).grad
            assert relative(mine, there[entry.theirs].grad) <= 1e-10, entry.ours


def test_frozen_norms_equal_the_checkpoint_in_both_modes() -> None:
    theirs = filled(partial(tv, TvBasic)).eval()
    ours = build(f"resnet18@norm=frozen,{SHORT}")
    done = load(ours, theirs.state_dict(), "torchvision")
    assert len(done.dropped) == 1 + 2 * 6 + 3 and all(key.endswith("num_batches_tracked") for key in done.dropped)
    x = image(torch.float32)
    with torch.no_grad():
        assert relative(ours.train()(x), theirs(x)) <= 1e-5
        assert relative(ours.eval()(x), theirs(x)) <= 1e-5


def test_preact_taps_are_the_next_norms_output() -> None:
    theirs = filled(v2).eval()
    ours = build(f"resnetv2_50@{SHORT}{NARROW}").eval()
    load(ours, theirs.state_dict(), "timm")
    seen: dict[str, torch.Tensor] = {}
    places = {"C2": "stages.1.blocks.0.norm1", "C3": "stages.2.blocks.0.norm1", "C5": "norm"}
    for name, place in places.items():
        theirs.get_submodule(place).register_forward_hook(lambda _m, _x, y, name=name: seen.update({name: y.clone()}))
    x = image(torch.float32)
    with torch.no_grad():
        theirs(x)
        taps = ours.forward_taps(x)
    assert all(relative(taps[name], seen[name]) <= 1e-5 for name in places)


def test_basic_blocks_of_timm_are_what_the_spec_says() -> None:
    assert parse("resnetv2_18").block.branch == ("conv3", "norm", "act", "conv3")
    assert PreActBasic.__name__ in {type(module).__name__ for module in named("timm", "resnetv2_18").modules()}
