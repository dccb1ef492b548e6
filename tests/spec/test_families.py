"""Families against the papers' tables: layers by name, widths, strides, choices."""

from __future__ import annotations

import re

import pytest

import otoyol
from otoyol.spec import FAMILIES, family
from otoyol.spec.blocks import kernel_of


def layers(name: str) -> int:
    """Weighted layers as the papers count them: the stem, the branches' convolutions, the classifier."""
    spec = family(name)
    per_block = sum(1 for token in spec.block.branch if kernel_of(token))
    return 1 + per_block * sum(stage.depth for stage in spec.stages) + 1


NUMBERED = [name for name in FAMILIES if re.match(r"(cifar_|se|eca)?resn(et|ext)(v\d_)?\d|wide_resnet", name)]


@pytest.mark.parametrize("name", NUMBERED)
def test_the_number_in_the_name_is_the_number_of_layers(name: str) -> None:
    depth = int(re.search(r"(?:resnet|resnext|resnetv\d_)(\d+)", name)[1])  # type: ignore[index]
    # timm names the depth of the basic 18/34 shapes and of the 3-30-48-8 "269" alike; ResNet-D and T stems have three
    # convolutions and are still counted as one layer.
    assert layers(name) == depth


def test_wide_resnet_28_10_counts_its_projections() -> None:
    # Zagoruyko & Komodakis 2016: depth 6n+4, so n = 4; groups of width 160, 320, 640.
    spec = family("wrn_28_10")
    assert [(s.depth, s.width, s.stride) for s in spec.stages] == [(4, 160, 1), (4, 320, 2), (4, 640, 2)]


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("resnet18", [64, 128, 256, 512]),  # He et al. 2015, Table 1
        ("resnet50", [256, 512, 1024, 2048]),
        ("resnext50_32x4d", [256, 512, 1024, 2048]),  # Xie et al. 2017, Table 1
        ("wide_resnet50_2", [256, 512, 1024, 2048]),
        ("cifar_resnet20", [16, 32, 64]),  # He et al. 2015, section 4.2
        ("cifar_resnetv2_164", [64, 128, 256]),  # He et al. 2016
    ],
)
def test_channels_of_the_stages(name: str, channels: list[int]) -> None:
    assert [plan.out for plan in family(name).plan] == channels


def test_inner_widths_and_groups_of_resnext() -> None:
    # Xie et al. 2017, Table 1: 128, 256, 512, 1024 with C = 32.
    assert [(plan.mid, plan.groups) for plan in family("resnext50_32x4d").plan] == [
        (128, 32), (256, 32), (512, 32), (1024, 32),
    ]  # fmt: skip


def test_where_v1_and_v15_stride() -> None:
    token = {name: family(name).plan[1].form.stride_token for name in ("resnetv1_50", "resnet50", "resnet18")}
    branch = family("resnet50").plan[1].form.branch
    assert branch[token["resnetv1_50"]] == "conv1"
    assert branch[token["resnet50"]] == "conv3"
    assert token["resnet18"] == 0


def test_every_advertised_kind_of_family_is_there() -> None:
    wanted = [f"{kind}{depth}{suffix}" for depth in (18, 34, 50, 101, 152) for kind, suffix in (
        ("resnet", ""), ("resnetv1_", ""), ("resnet", "c"), ("resnet", "d"), ("resnetv2_", ""),
    )]  # fmt: skip
    wanted += ["resnetv2_200", "wrn_28_10", "seresnet50", "ecaresnet50d", "wide_resnet101_2", "resnext101_64x4d"]
    for depth in (20, 32, 44, 56, 110, 164, 1001, 1202):
        wanted += [f"cifar_resnet{depth}", f"cifar_resnet{depth}b", f"cifar_resnetv2_{depth}"]
    for ordering in ("bn_after", "relu_before", "relu_preact"):
        wanted += [f"cifar_resnet110_{ordering}"]
    for shortcut in ("scale", "exclusive", "shortcut_only", "conv", "dropout"):
        wanted += [f"cifar_resnet110_{shortcut}"]
    assert sorted(set(wanted) - set(FAMILIES)) == []


def test_option_a_pads_and_option_b_projects() -> None:
    assert family("cifar_resnet20").plan[1].form.shortcut == "A"
    assert family("cifar_resnet20b").plan[1].form.shortcut == "B"


def test_an_unknown_family_suggests_near_names() -> None:
    with pytest.raises(otoyol.SpecError, match="resnet50"):
        family("resnet5O")
