"""Rename tables against the state dicts of torchvision and timm: every key, every shape, and no other.

The families' own tables are in test_weights_equal.py, where they are put to use.
"""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torchvision
from _weights_peers import BasicBlock, ResNet, known, named, on_meta
from timm.layers import BatchNormAct2d, create_conv2d
from timm.models.resnetv2 import ResNetV2
from torch import nn

from otoyol import WeightsError, parse
from otoyol.nn import build
from otoyol.weights import rename
from otoyol.weights.names import entries

tv, tm = partial(named, "torchvision"), partial(named, "timm")
GROUP, FROZEN, SYNC = partial(nn.GroupNorm, 32), torchvision.ops.misc.FrozenBatchNorm2d, nn.SyncBatchNorm
V2 = {"conv_layer": create_conv2d, "norm_layer": BatchNormAct2d}
# Designs beyond the families: (design, source, what makes the peer).
VARIANTS = {
    "torchvision GN": ("resnet50@norm=group", "torchvision", partial(tv, "resnet50", norm_layer=GROUP)),
    "torchvision Frozen": ("resnet50@norm=frozen", "torchvision", partial(tv, "resnet50", norm_layer=FROZEN)),
    "torchvision SyncBN": ("resnet18@norm=sync", "torchvision", partial(tv, "resnet18", norm_layer=SYNC)),
    "10 classes": ("resnet18@head=10", "torchvision", partial(tv, "resnet18", num_classes=10)),
    "timm 1 channel": ("resnet50d@input=1x64x64", "timm", partial(tm, "resnet50d", in_chans=1)),
    "timm no head": ("resnet50@head=0", "timm", partial(tm, "resnet50", num_classes=0)),
    "timm v2 no head": ("resnetv2_50@head=0", "timm", partial(tm, "resnetv2_50", num_classes=0)),
    "timm v2 GN": ("resnetv2_50d@norm=group", "timm", partial(tm, "resnetv2_50d_gn")),
    "timm 18c": ("resnet18c", "timm", partial(ResNet, BasicBlock, [2, 2, 2, 2], stem_width=32, stem_type="deep")),
    "timm CBAM": ("resnet50@attention=cbam", "timm", partial(tm, "resnet50", block_args={"attn_layer": "cbam"})),
    "timm basic ECA": ("resnet34@attention=eca", "timm", partial(tm, "resnet34", block_args={"attn_layer": "eca"})),
    "timm v2 200": ("resnetv2_200", "timm", partial(ResNetV2, [3, 24, 36, 3], **V2)),
    "timm dilated": ("resnet50@strides=1-2-1-1,dilations=1-1-2-4", "timm", partial(tm, "resnet50", output_stride=8)),
}  # fmt: skip


def shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in module.state_dict().items()}


def test_families_cover_the_peers() -> None:
    found = list(known())
    assert sum(source == "torchvision" for source, _ in found) == 10
    assert len(found) >= 65
    ours = {name for source, name in found if source == "torchvision"}
    theirs = {
        name
        for name in torchvision.models.list_models(module=torchvision.models)
        if torchvision.models.get_model_builder(name).__module__ == "torchvision.models.resnet"
    }
    assert ours == theirs  # every one that torchvision has


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_key_and_shape_of_a_variant(variant: str) -> None:
    design, source, make = VARIANTS[variant]
    table = entries(parse(design), source)
    assert {entry.theirs: entry.their_shape for entry in table} == shapes(on_meta(make))
    assert len({entry.ours for entry in table}) == len(table)


@pytest.mark.parametrize(
    "name", ["resnet18", "seresnet50t", "ecaresnet26t", "resnet50_gn", "resnetv2_50d", "cifar_resnet20", "wrn_28_10"]
)
def test_our_side_is_the_built_module(name: str) -> None:
    with torch.device("meta"):
        model = build(name)
    table = entries(model.spec, "otoyol")
    assert [entry.ours for entry in table] == [entry.theirs for entry in table]
    assert {entry.ours: entry.shape for entry in table} == shapes(model)


def test_names_by_hand() -> None:
    table = rename(parse("resnet50"), "torchvision")
    assert table["stem.conv1.weight"] == "conv1.weight"
    assert table["stages.0.0.branch.norm3.running_var"] == "layer1.0.bn3.running_var"
    assert table["stages.3.0.shortcut.conv.weight"] == "layer4.0.downsample.0.weight"
    assert table["stages.3.0.shortcut.norm.bias"] == "layer4.0.downsample.1.bias"
    assert table["head.fc.bias"] == "fc.bias"
    table = rename(parse("seresnet50t"), "timm")
    assert table["stem.conv3.weight"] == "conv1.6.weight"
    assert table["stem.norm2.weight"] == "conv1.4.weight"
    assert table["stem.norm3.weight"] == "bn1.weight"
    assert table["stages.0.0.shortcut.conv.weight"] == "layer1.0.downsample.1.weight"
    assert table["stages.1.2.attention.fc2.bias"] == "layer2.2.se.fc2.bias"
    table = rename(parse("resnetv2_50t"), "timm")
    assert table["stem.conv3.weight"] == "stem.conv3.weight"
    assert table["stages.1.0.preact.norm1.weight"] == "stages.1.blocks.0.norm1.weight"
    assert table["stages.1.0.branch.norm1.weight"] == "stages.1.blocks.0.norm2.weight"
    assert table["stages.1.0.shortcut.conv.weight"] == "stages.1.blocks.0.downsample.conv.weight"
    assert table["final.norm1.bias"] == "norm.bias"


@pytest.mark.parametrize(
    ("design", "source", "told"),
    [
        ("resnetv2_50", "torchvision", "pre-activation"),
        ("resnet50d", "torchvision", "deep stem"),
        ("resnet50@shortcut=D", "torchvision", "shortcut=D"),
        ("seresnet50", "torchvision", "attention=se"),
        ("resnetv2_50@attention=se", "timm", "attention=se"),
        ("cifar_resnetv2_20", "timm", "bare stem"),
        ("cifar_resnet110_exclusive", "timm", "shortcut.gate=exclusive"),
        ("resnet50", "caffe", "torchvision, timm, otoyol"),
    ],
)
def test_what_has_no_names_is_refused(design: str, source: str, told: str) -> None:
    with pytest.raises(WeightsError, match=told):
        rename(parse(design), source)  # type: ignore[arg-type]
