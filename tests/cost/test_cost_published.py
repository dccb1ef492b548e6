"""Figures of papers and of torchvision, and sums by hand."""

from __future__ import annotations

import pytest

import otoyol
from otoyol.cost import PER_ELEMENT, Flops, by, count, table
from otoyol.errors import SpecError


def test_resnet50() -> None:
    # torchvision's resnet50: parameters and conv + fc multiply-adds; output elements of conv and fc.
    cost = count(otoyol.family("resnet50"))
    assert (cost.params, cost.macs, cost.activations) == (25_557_032, 4_089_184_256, 11_114_984)
    assert cost.weight_bytes == 4 * 25_557_032
    # 53 batch norms on 26,560 channels: two vectors each and a counter.
    assert cost.buffers == 2 * 26_560 + 53


def test_resnet50_with_its_stride_on_the_first_1x1() -> None:
    # He et al. 2015, Table 1: 3.8 × 10^9 multiply-adds.
    assert round(count(otoyol.family("resnetv1_50")).macs / 1e9, 3) == 3.858


@pytest.mark.parametrize(
    ("name", "params"),
    [  # He et al. 2015, Table 6, option A, to the parameter (akamaster/pytorch_resnet_cifar10)
        ("cifar_resnet20", 269_722), ("cifar_resnet32", 464_154), ("cifar_resnet44", 658_586),
        ("cifar_resnet56", 853_018), ("cifar_resnet110", 1_727_962), ("cifar_resnet1202", 19_421_274),
    ],
)  # fmt: skip
def test_cifar_parameters(name: str, params: int) -> None:
    assert count(otoyol.family(name)).params == params


def test_cifar_resnet56_macs() -> None:
    assert count(otoyol.family("cifar_resnet56")).macs == 125_485_696  # pycls V-56: 125,485,706 with fc's 10 biases


@pytest.mark.parametrize(
    ("name", "billions"),
    [  # torchvision's weight entries, "_ops", in 10^9 conv + fc multiply-adds
        ("resnet18", 1.814), ("resnet34", 3.664), ("resnet101", 7.801), ("resnet152", 11.514),
        ("resnext50_32x4d", 4.23), ("resnext101_32x8d", 16.414), ("wide_resnet50_2", 11.398),
        ("wide_resnet101_2", 22.753),
    ],
)  # fmt: skip
def test_torchvision_macs(name: str, billions: float) -> None:
    assert round(count(otoyol.family(name)).macs / 1e9, 3) == billions


def test_wide_resnet_28_10() -> None:
    assert round(count(otoyol.family("wrn_28_10")).params / 1e6, 1) == 36.5  # Zagoruyko & Komodakis 2016, Table 4


def test_batch_and_dtype_scale_what_they_should() -> None:
    spec = otoyol.family("resnetv2_50")
    one, eight = count(spec), count(spec, batch=8)
    assert eight.params == one.params and eight.weight_bytes == one.weight_bytes
    for name in ("macs", "backward_macs", "activations", "peak_inference_bytes"):
        assert getattr(eight, name) == 8 * getattr(one, name)
    assert eight.forward_flops.total == 8 * one.forward_flops.total
    # Everything but the statistics of the norms (two vectors a norm, 22,720 channels) grows with the batch.
    channels = (one.buffers - 49) // 2
    assert eight.train_bytes - 8 * one.train_bytes == -7 * 4 * 2 * channels
    half = count(spec, dtype="bfloat16")
    assert 2 * half.weight_bytes == one.weight_bytes
    assert half.macs == one.macs


def test_depth_does_not_matter_to_the_stem() -> None:
    shallow, deep = count(otoyol.parse("resnet50@depths=1-1-1-1")), count(otoyol.parse("resnet50@depths=1-1-1-101"))
    # A last-stage block: 2048·512 + 9·512² + 512·2048 weights, 2·(512 + 512 + 2048) of its norms, on 7×7.
    weights = 2048 * 512 + 9 * 512 * 512 + 512 * 2048
    assert deep.macs - shallow.macs == 100 * 49 * weights
    assert deep.params - shallow.params == 100 * (weights + 2 * (512 + 512 + 2048))


def test_flops_by_class_of_a_block_by_hand() -> None:
    spec = otoyol.parse("cifar_resnet20@depths=1,widths=16,input=3x8x8,head.classes=10")
    pixels = 64
    cost = count(spec)
    stem, inner = 27 * 16 * pixels, 9 * 16 * 16 * pixels
    assert cost.forward_flops == Flops(
        conv=2 * (stem + 2 * inner),
        linear=2 * 16 * 10,
        norm=2 * 3 * 16 * pixels,
        act=3 * 16 * pixels,
        pool=16 * pixels,  # the mean: 63 additions and a division a channel
        add=16 * pixels,
        elementwise=0,
    )
    assert cost.backward_flops.conv == 2 * stem + 4 * 2 * inner
    assert cost.backward_flops.linear == 4 * 16 * 10
    assert cost.backward_flops.norm == 9 * 3 * 16 * pixels
    assert cost.backward_macs == stem + 2 * 2 * inner + 2 * 160


def test_arithmetic_intensity_of_one_convolution_by_hand() -> None:
    # A net that is hardly more than one 1×1 convolution of 8 to 8 channels twice over, on one pixel.
    spec = otoyol.parse(
        "custom@depths=1,widths=8,expansion=1,block=/conv1/,stem.kernels=1,stem.widths=8,stem.strides=1,"
        "stem.activated=false,stem.pool=none,input=8x1x1,head.classes=0,head.pool=none"
    )
    cost = count(spec)
    assert cost.forward_flops.total == 2 * 64 + 2 * 64 + 8
    # Each convolution reads 8 and writes 8, the addition reads 16 and writes 8; 128 weights.
    assert cost.bytes_moved == 4 * (16 + 16 + 24 + 128)
    assert cost.flops_per_byte == 264 / 736


@pytest.mark.parametrize("key", ["op", "slot", "block", "stage", "class"])
@pytest.mark.parametrize("name", ["resnet50", "resnetv2_50d", "seresnext50_32x4d", "cifar_resnet110_exclusive"])
def test_parts_add_up(name: str, key: str) -> None:
    spec = otoyol.family(name)
    total, parts = count(spec, batch=2), by(spec, key, batch=2).values()  # type: ignore[arg-type]
    for field in ("params", "buffers", "macs", "backward_macs", "activations", "weight_bytes", "train_bytes",
                  "train_bytes_lean", "bytes_moved"):  # fmt: skip
        assert sum(getattr(part, field) for part in parts) == getattr(total, field), field
    for field in ("forward_flops", "backward_flops"):
        assert tuple(map(sum, zip(*(getattr(part, field) for part in parts), strict=True))) == getattr(total, field)
    assert max(part.peak_inference_bytes for part in parts) == total.peak_inference_bytes


def test_groups_have_the_names_of_what_they_group() -> None:
    spec = otoyol.parse("resnetv2_50@attention=se")
    assert list(by(spec, "stage")) == ["stem", "stages.0", "stages.1", "stages.2", "stages.3", "final", "head"]
    assert {"stages.0.0", "stages.2.5"} <= by(spec, "block").keys()
    assert by(spec, "slot").keys() == {
        "stem", "preact", "shortcut", "branch", "attention", "join", "final", "head",
    }  # fmt: skip
    assert list(by(spec, "op")) == list(dict.fromkeys(row.op.name for row in table(spec)))


def test_every_operator_kind_states_its_flops() -> None:
    from typing import get_args

    from otoyol.ops.op import Kind
    from otoyol.spec.parts import Act, Norm

    kinds = set(get_args(Kind)) - {"conv", "conv1d", "linear", "norm", "act"}
    kinds |= {f"act:{name}" for name in get_args(Act)}
    kinds |= {f"norm:{name}" for name in get_args(Norm.model_fields["kind"].annotation)}
    assert kinds == PER_ELEMENT.keys()
    assert all(row.reasoning for row in PER_ELEMENT.values())


@pytest.mark.parametrize(
    ("choices", "field"),
    [({"batch": 0}, "batch"), ({"batch": True}, "batch"), ({"batch": 1.5}, "batch"), ({"dtype": "int3"}, "dtype")],
)
def test_impossible_batches_and_dtypes(choices: dict[str, object], field: str) -> None:
    with pytest.raises(SpecError) as error:
        count(otoyol.family("resnet18"), **choices)  # type: ignore[arg-type]
    assert error.value.field == field


def test_an_unknown_breakdown_is_refused() -> None:
    with pytest.raises(SpecError, match="op, slot, block, stage, class"):
        by(otoyol.family("resnet18"), "colour")  # type: ignore[arg-type]
