"""lower(spec) against the papers' tables and hand arithmetic."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from strategies import specs

import otoyol
from otoyol.ops import INPUT, lower
from otoyol.ops.attention import eca_kernel, squeezed
from otoyol.spec import FAMILIES, Spec, family


def taps(text: str) -> list[tuple[str, int, int, int, int, int]]:
    return [
        (t.name, t.channels, t.height, t.stride, t.receptive_field, t.offset) for t in lower(otoyol.parse(text)).taps
    ]


def test_resnet50() -> None:
    # He et al. 2015, Table 1: sizes and channels. Receptive fields by hand, r += (k - 1) * j at each 3×3, j the stride
    # so far: 7 at the stem, 11 behind the pool; + 3·8 = 35; + 8 + 3·16 = 91 (the first 3×3 of the stage strides);
    # + 16 + 5·32 = 267; + 32 + 2·64 = 427. Centred odd kernels: the offset is -(r - 1) / 2.
    assert taps("resnet50") == [
        ("C1", 64, 112, 2, 7, -3),
        ("C2", 256, 56, 4, 35, -17),
        ("C3", 512, 28, 8, 91, -45),
        ("C4", 1024, 14, 16, 267, -133),
        ("C5", 2048, 7, 32, 427, -213),
    ]


def test_striding_on_the_first_1x1_sees_more() -> None:
    # The 3×3 of a striding block then works at the new stride: 35; + 4·16 = 99; + 6·32 = 291; + 3·64 = 483.
    assert [tap[4] for tap in taps("resnetv1_50")] == [7, 35, 99, 291, 483]


def test_basic_blocks() -> None:
    # 7, 11; + 4·8 = 43; + 8 + 3·16 = 99; + 16 + 3·32 = 211; + 32 + 3·64 = 435.
    assert [tap[4] for tap in taps("resnet18")] == [7, 43, 99, 211, 435]


def test_dilation_in_place_of_stride() -> None:
    # torchvision's replace_stride_with_dilation=[False, True, True]: a stage's first block keeps the dilation before
    # it. 91 at stride 8; + 16 + 5·(2·2·8) = 267; + 2·2·8 + 2·(4·2·8) = 427: as far as with strides.
    dilated = taps("resnet50@strides=1-2-1-1,dilations=1-1-2-4")
    assert [tap[3] for tap in dilated] == [2, 4, 8, 8, 8]
    assert [tap[4] for tap in dilated] == [7, 35, 91, 267, 427]
    # detectron2 dilates the first block too: + 6·32 = 283; + 3·64 = 475.
    same = taps("resnet50@strides=1-2-1-1,dilations=1-1-2-4,dilation_first=same")
    assert [tap[4] for tap in same] == [7, 35, 91, 283, 475]


def test_a_deep_stem_sees_more() -> None:
    # Three 3×3 of strides 2, 1, 1: 3, 7, 11; pool 15; then as ResNet-50, four pixels more.
    assert [tap[4] for tap in taps("resnet50d")] == [11, 39, 95, 271, 431]


@pytest.mark.parametrize(
    ("name", "convs", "norms", "adds"),
    [
        ("resnet50", 53, 53, 16),  # 1 + 3·16 + 4 projections
        ("resnet18", 20, 20, 8),  # 1 + 2·8 + 3 projections
        ("cifar_resnet20", 19, 19, 9),  # option A has no weights
        ("cifar_resnet20b", 21, 21, 9),
        ("resnetv2_50", 53, 49, 16),  # 3·16 preact norms and the final one; none at the stem or the projections
        ("resnet50d", 55, 55, 16),
    ],
)
def test_how_many_of_each(name: str, convs: int, norms: int, adds: int) -> None:
    kinds = Counter(op.kind for op in lower(family(name)).ops)
    assert (kinds["conv"], kinds["norm"], kinds["add"], kinds["linear"]) == (convs, norms, adds, 1)


def test_the_shortcuts() -> None:
    def on_shortcut(text: str, stage: int) -> list[str]:
        ops = lower(otoyol.parse(text)).ops
        return [op.kind for op in ops if (op.slot, op.stage, op.block) == ("shortcut", stage, 0)]

    assert on_shortcut("cifar_resnet20", 1) == ["subsample", "pad"]
    assert on_shortcut("resnet50", 0) == on_shortcut("resnet50", 1) == ["conv", "norm"]
    assert on_shortcut("resnet50d", 0) == ["conv", "norm"]  # nothing to pool at stride 1
    assert on_shortcut("resnet50d", 1) == ["avgpool", "conv", "norm"]
    assert on_shortcut("resnetv2_50", 1) == ["conv"]  # He et al. 2016: bare
    assert on_shortcut("resnet50@shortcut=none", 1) == []
    assert on_shortcut("resnet18", 0) == []
    equal_width = "cifar_resnet20b@widths=16-16-16"
    assert on_shortcut(equal_width, 1) == ["conv", "norm"]  # a stride alone needs one too


def test_what_a_projection_of_a_preactivation_block_reads() -> None:
    for reads, slot in (("preact", "preact"), ("raw", "join")):
        ops = lower(otoyol.parse(f"resnetv2_50@shortcut.reads={reads}")).ops
        projection = next(op for op in ops if op.name == "stages.1.0.shortcut.conv")
        assert ops[projection.inputs[0]].slot == slot
        identity = next(op for op in ops if op.name == "stages.1.1.add")
        assert [ops[i].name for i in identity.inputs][1] == "stages.1.0.add"  # raw x, always


def test_attention_stands_on_f_and_never_on_the_skip() -> None:
    for name in ("seresnet50", "resnetv2_50@attention=se", "resnet18@attention=cbam,attention.place=spatial"):
        ops = lower(otoyol.parse(name)).ops
        for op in ops:
            if op.slot == "shortcut":
                assert all(i == INPUT or ops[i].slot != "attention" for i in op.inputs)
            if op.slot == "join" and op.kind == "add":
                assert ops[op.inputs[1]].slot != "attention"


def test_where_attention_stands_in_the_branch() -> None:
    def before(place: str) -> str:
        ops = lower(otoyol.parse(f"resnet50@attention=se,attention.place={place}")).ops
        gate = next(op for op in ops if op.name == "stages.0.1.attention.mul")
        return ops[gate.inputs[0]].name

    assert before("end") == "stages.0.1.branch.norm3"
    assert before("spatial") == "stages.0.1.branch.act2"
    assert before("start") == "stages.0.0.post.act1"
    assert before("4") == "stages.0.1.branch.conv2"


@pytest.mark.parametrize(("channels", "width"), [(64, 8), (256, 16), (512, 32), (2048, 128), (8, 8)])
def test_the_squeeze_of_se(channels: int, width: int) -> None:
    # timm.layers.make_divisible(channels / 16, 8, round_limit=0.), by hand: the nearest multiple of 8, at least 8.
    assert squeezed(channels, 16, 8) == width


@pytest.mark.parametrize(("channels", "kernel"), [(16, 3), (64, 3), (127, 3), (128, 5), (256, 5), (2047, 5), (2048, 7)])
def test_the_kernel_of_eca(channels: int, kernel: int) -> None:
    # Wang et al. 2020, Eq. 12 with gamma 2 and b 1, as timm rounds: t = int(|log2 C + 1| / 2), the next odd number,
    # at least 3: 16 → 2 → 3, 64 → 3, 128 → 4 → 5, 256 → 4 → 5, 2047 → 5, 2048 → 6 → 7.
    assert eca_kernel(channels) == kernel


@pytest.mark.parametrize("name", FAMILIES)
def test_families_hold_together(name: str) -> None:
    if len(lower(family(name)).ops) < 3000:
        holds_together(family(name))


@settings(max_examples=150)
@given(specs())
def test_any_design_holds_together(spec: Spec) -> None:
    holds_together(spec)


def holds_together(spec: Spec) -> None:
    """Operators read what earlier ones made, in its shape; taps are what they say."""
    network = lower(spec)
    made = {INPUT: (spec.input.channels, spec.input.height, spec.input.width)}
    for i, op in enumerate(network.ops):
        assert all(j == INPUT or j < i for j in op.inputs)
        assert made[op.inputs[0]] == (op.c_in, op.h_in, op.w_in), op.name
        if op.kind == "add":
            assert made[op.inputs[0]] == made[op.inputs[1]] == (op.c_out, op.h_out, op.w_out)
        assert op.c_in % op.groups == op.c_out % op.groups == 0
        made[i] = (op.c_out, op.h_out, op.w_out)
    strides = 2 ** (spec.stem.pool == "max")
    for stride in spec.stem.strides:
        strides *= stride
    for index, tap in enumerate(network.taps):
        if index:
            strides *= spec.stages[index - 1].stride
            assert tap.channels == spec.plan[index - 1].out
            assert tap.stride == strides
        assert (tap.channels, tap.height, tap.width) == made[tap.op]
    assert [tap.name for tap in network.taps] == [f"C{i + 1}" for i in range(len(spec.stages) + 1)]
    counts = Counter(op.name for op in network.ops)
    assert all(times == 1 or ".attention.channel." in name for name, times in counts.items())
