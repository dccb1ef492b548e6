"""Equal keys and shapes, another network: what differs in meaning is named, and loads only where it is allowed."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from _weights_peers import filled, named, on_meta
from timm.layers import GroupNorm, StdConv2d
from torch import nn

from otoyol import WeightsError, parse
from otoyol.nn import build
from otoyol.weights import load, save_safetensors
from otoyol.weights.meaning import FIELDS, differences, of_spec
from otoyol.weights.peer import of_module


def meta(design: str) -> Any:
    with torch.device("meta"):
        return build(design)


def fields(design: str, make: Any, source: Any = "timm") -> dict[str, tuple[Any, Any]]:
    """Fields in which a design differs from a living module, and the first difference of each: here, there."""
    spec = parse(design)
    found = differences(of_spec(spec), of_module(on_meta(make), spec, source))
    return {difference.field: (difference.here, difference.there) for difference in reversed(found)}


tv50, tm50, v2_50 = (
    partial(named, "torchvision", "resnet50"),
    partial(named, "timm", "resnet50"),
    partial(named, "timm", "resnetv2_50"),
)


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return on_meta(tv50).state_dict()


def test_v1_and_v15(state: dict[str, torch.Tensor]) -> None:
    with pytest.raises(WeightsError) as caught:
        load(meta("resnetv1_50"), state, "torchvision")
    text = str(caught.value)
    assert "stride_at: conv1 here, conv2 in the checkpoint (stages.1.0, stages.2.0, stages.3.0)" in text
    assert "allow_meaning={'stride_at'}" in text and text.count("\n") == 2
    load(meta("resnetv1_50"), state, "torchvision", allow_meaning={"stride_at"})
    load(meta("resnetv1_50"), state, "torchvision", of="resnetv1_50")  # a v1 checkpoint under torchvision's names
    with pytest.raises(WeightsError, match="stride_at: conv2 here, conv1 in the checkpoint"):
        load(meta("resnet50"), state, "torchvision", of="resnetv1_50")


def test_equal_shapes_compute_other_things() -> None:
    """Why it matters: the same weights with the stride elsewhere give other numbers."""
    theirs = filled(tv50).eval()
    ours = build("resnetv1_50").eval()
    load(ours, theirs.state_dict(), "torchvision", allow_meaning={"stride_at"})
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert (ours(x) - theirs(x)).abs().max() > 0.01 * theirs(x).abs().max()


@pytest.mark.parametrize(
    ("design", "told"),
    [
        ("resnet50@norm.eps=0.001", "eps: 0.001 here, 1e-05 in the checkpoint"),
        ("resnet50@act=silu", "act: silu here, relu in the checkpoint"),
        ("resnet50@stem.pool=none", "stem_pool: none here, 3x3 max, stride 2, padding 1 in the checkpoint"),
        ("resnet50@block=bottleneck-relu-before", "order: conv norm act conv norm act conv norm act + here,"),
        ("resnet50@shortcut=C", "missing: layer1.1.downsample.0.weight"),
        ("cifar_resnet20", "this looks like resnet50"),
    ],
)
def test_a_bare_state_dict_means_what_torchvision_builds(state: dict[str, Any], design: str, told: str) -> None:
    with pytest.raises(WeightsError) as caught:
        load(meta(design), state, "torchvision")
    assert told in str(caught.value)


def test_option_a_networks_need_to_be_told() -> None:
    """CIFAR ResNets with zero-padded shortcuts have torchvision's names and another meaning."""
    from otoyol.weights import export

    model = meta("cifar_resnet20")
    theirs = export(model, "torchvision")
    assert "layer2.0.downsample.0.weight" not in theirs and "layer3.2.bn2.weight" in theirs
    with pytest.raises(WeightsError, match="shortcut: zero-padding here"):
        load(meta("cifar_resnet20"), theirs, "torchvision")
    load(meta("cifar_resnet20"), theirs, "torchvision", of="cifar_resnet20")


def test_group_norm_v2_keys_do_not_tell_bit_from_plain() -> None:
    theirs = on_meta(partial(named, "timm", "resnetv2_50x1_bit"))
    with pytest.raises(WeightsError, match="conv: plain here, plain or weight-standardised"):
        load(meta("resnetv2_50@norm=group"), theirs.state_dict(), "timm")
    found = fields("resnetv2_50@norm=group", partial(named, "timm", "resnetv2_50x1_bit"))
    assert found["conv"] == ("plain", StdConv2d.__name__)
    assert found["stem_pool"][1] == "zeros around, then 3x3 max, stride 2, padding 0"


# (design, a peer with other keyword arguments, field, here, there)
LIVING = [
    ("resnet50", partial(tm50, output_stride=8), "dilation", 1, 2),
    ("resnet50", partial(tm50, output_stride=8), "stride", 2, 1),
    ("resnet50@strides=1-2-1-1,dilations=1-1-2-4", tm50, "dilation", 2, 1),
    ("resnet50", partial(tm50, act_layer="silu"), "act", "relu", "silu"),
    ("resnet50", partial(tm50, norm_layer=partial(nn.BatchNorm2d, eps=1e-3)), "eps", 1e-5, 1e-3),
    ("resnet50", partial(tm50, norm_layer=partial(nn.BatchNorm2d, momentum=0.01)), "momentum", 0.1, 0.01),
    ("resnet50_gn", partial(tm50, norm_layer=partial(GroupNorm, num_groups=16)), "norm_groups", 32, 16),
    ("resnet50@norm=frozen", tm50, "norm", "frozen", "batch"),
    ("resnet50d@shortcut=B", partial(named, "timm", "resnet50d"), "shortcut", "1x1 projection",
     "2x2 average pool, stride 2, ceil edges, then 1x1"),
    ("resnet50", partial(named, "timm", "resnetblur50"), "anti_alias", "none", "BlurPool2d"),
    ("resnet50@block=bottleneck-bn-after", tm50, "order", "conv norm act conv norm act conv + norm act",
     "conv norm act conv norm act conv norm + act"),
    ("seresnet50@attention.place=spatial", partial(named, "timm", "seresnet50"), "order",
     "conv norm act conv norm act se conv norm + act", "conv norm act conv norm act conv norm se + act"),
    ("resnetv2_50@shortcut.reads=raw", v2_50, "reads", "raw", "preact"),
    ("resnetv2_50@stride_at=first", v2_50, "stride_at", "conv1", "conv2"),
    ("resnetv2_50@norm.eps=0.001", v2_50, "eps", 1e-3, 1e-5),
    ("resnetv2_50@act=silu", v2_50, "act", "silu", "relu"),
    ("resnetv2_50", partial(v2_50, output_stride=16), "dilation", 1, 2),
    ("resnet50@shortcut.gate=scale", tm50, "gate", "scale", "none"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("design", "make", "field", "here", "there"), LIVING, ids=[f"{row[0]} {row[2]}" for row in LIVING]
)
def test_a_living_module_tells(design: str, make: Any, field: str, here: Any, there: Any) -> None:
    assert fields(design, make)[field] == (here, there)


@pytest.mark.parametrize(
    ("design", "source", "make"),
    [
        ("resnet50", "torchvision", tv50),
        ("resnet50d", "timm", partial(named, "timm", "resnet50d")),
        ("resnet50d@strides=1-2-1-1,dilations=1-1-2-4", "timm", partial(named, "timm", "resnet50d", output_stride=8)),
        ("ecaresnet26t", "timm", partial(named, "timm", "ecaresnet26t")),
        ("resnetv2_50t", "timm", partial(named, "timm", "resnetv2_50t")),
        ("resnetv2_18", "timm", partial(named, "timm", "resnetv2_18")),
        ("resnet50_gn", "timm", partial(named, "timm", "resnet50_gn")),
    ],
)
def test_equal_networks_differ_in_nothing(design: str, source: Any, make: Any) -> None:
    assert fields(design, make, source) == {}
    spec = parse(design)
    there = of_module(on_meta(make), spec, source)
    told = {name for name in FIELDS if there[name]}
    always = ("stride_at", "stride", "dilation", "groups", "padding", "conv", "norm", "eps", "act", "stem_pool")
    assert {*always, "shortcut", "order"} <= told
    ours = of_spec(spec)
    assert all(there[name].keys() == ours[name].keys() for name in told - {"gate"})


def test_a_block_nobody_knows_is_not_guessed() -> None:
    module = on_meta(tv50)
    module.layer2[0].__class__ = type("Odd", (type(module.layer2[0]),), {"__module__": "somewhere"})
    with pytest.raises(WeightsError, match=r"stages\.1\.0 is a somewhere\.Odd"):
        of_module(module, parse("resnet50"), "torchvision")


def test_metadata_is_compared(tmp_path: Any) -> None:
    path = tmp_path / "v1.safetensors"
    save_safetensors(build("resnetv1_50@depths=1-1-1-1,head=3"), path)
    with pytest.raises(WeightsError, match="stride_at: conv2 here, conv1 in the checkpoint"):
        load(meta("resnet50@depths=1-1-1-1,head=3"), path)
    load(meta("resnet50@depths=1-1-1-1,head=3"), path, allow_meaning={"stride_at"})
    load(meta("resnetv1_50@depths=1-1-1-1,head=3"), path)


def test_meaning_of_one_design_against_another(state: dict[str, Any]) -> None:
    model = meta("resnet50@norm.eps=0.001,strides=1-2-2-1,dilations=1-1-1-2")
    with pytest.raises(WeightsError) as caught:
        load(model, state, "torchvision", of="resnet50")
    text = str(caught.value)
    assert "stride: 1 here, 2 in the checkpoint (stages.3.0)" in text
    assert "dilation: 2 here, 1 in the checkpoint (stages.3.1.branch.conv2, stages.3.2.branch.conv2)" in text
    assert "eps: 0.001 here, 1e-05 in the checkpoint (stem.norm1, " in text and "and 50 more" in text
    load(model, state, "torchvision", of="resnet50", allow_meaning={"stride", "dilation", "padding", "eps"})
