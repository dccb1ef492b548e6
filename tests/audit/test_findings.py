"""What the audit warns of, on designs where the truth is plain."""

from __future__ import annotations

import pytest

import otoyol
from otoyol.audit import Finding, highway


def findings(spec: str) -> dict[str, Finding]:
    return {finding.code: finding for finding in highway(otoyol.parse(spec)).warnings}


@pytest.mark.parametrize(
    ("spec", "codes"),
    [
        # v1.5: the 3×3 carries the stride, three projections stride over three quarters of the positions.
        ("resnet50", {"strided_shortcut"}),
        # v1 strides on the first 1×1 of F as well.
        ("resnetv1_50", {"strided_branch", "strided_shortcut"}),
        ("resnet50d", set()),
        # v2 has no norm at the end of F to start at zero.
        ("resnetv2_50", {"strided_shortcut", "idle_zero_init"}),
        ("cifar_resnet20", {"strided_shortcut", "no_zero_init"}),
        ("cifar_resnet110_relu_before", {"strided_shortcut", "rectified_branch", "unactivated_end"}),
        ("cifar_resnet110_dropout", {"dropout", "strided_shortcut", "no_zero_init"}),
        ("cifar_resnet110_exclusive", {"gate", "strided_shortcut", "no_zero_init"}),
    ],
)
def test_codes(spec: str, codes: set[str]) -> None:
    assert set(findings(spec)) == codes


def test_a_strided_1x1_skips_three_quarters() -> None:
    found = findings("resnetv1_50")["strided_branch"]
    assert found.facts == {"blocks": 3, "unread": 0.75}  # 1 - (1/2)²
    assert found.blocks == ((1, 0), (2, 0), (3, 0))


def test_scales_multiply_along_the_highway() -> None:
    found = findings("cifar_resnet110_scale")["scale"]
    assert found.facts["blocks"] == 54
    assert found.facts["product"] == pytest.approx(0.5**54)  # He et al. 2016, Eq. 8


def test_option_c_projects_where_nothing_changes() -> None:
    assert findings("cifar_resnet110_conv")["needless_projection"].facts == {"blocks": 52}  # 54 less two that widen


def test_a_shortcut_left_out() -> None:
    # 64→16, 16→24 (stride 2), 24→40, 40→80: every first block changes channels, so four have no shortcut.
    found = findings("resnet50@block=inverted,expansion=6,shortcut=none,widths=16-24-40-80")
    assert found["absent"].blocks == ((0, 0), (1, 0), (2, 0), (3, 0))


def test_gridding_counts_convolutions_that_share_a_dilation() -> None:
    # output stride 16, last stage of three 3×3: the first keeps dilation 1 (torchvision), two have 2: 2² grids.
    found = findings("resnet50@strides=1-2-2-1,dilations=1-1-1-2")["gridding"]
    assert found.facts == {"convolutions": 2, "dilation": 2, "grids": 4}
    assert found.blocks == ((3, 1), (3, 2))
    # detectron2 dilates the whole stage: three.
    found = findings("resnet50@strides=1-2-2-1,dilations=1-1-1-2,dilation_first=same")["gridding"]
    assert found.facts["convolutions"] == 3
    assert "gridding" not in findings("resnet50")


def test_a_view_smaller_than_the_image() -> None:
    # 3×3 stem and six 3×3 at stride 1: 1 + 2 · 7 = 15 pixels of 32.
    found = findings("custom@input=3x32x32,stem=cifar,depths=3,widths=16,block=basic")["small_view"]
    assert found.facts == {"receptive_field": 15, "side": 32, "tap": "C2"}
