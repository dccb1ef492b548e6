"""timm's build options: what they change, against timm and torchvision."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from _designs import image, randomise
from torch import nn

import otoyol
from otoyol import nn as onn
from otoyol.spec.dilate import with_output_stride


def spatial(model):
    """(stride, dilation, padding) of every 3×3 or larger convolution, and the strides of 1×1 ones."""
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    return [(m.stride[0], m.dilation[0], m.padding[0]) for m in convs if m.kernel_size[0] > 1]


@pytest.mark.parametrize("output_stride", [8, 16, 32])
@pytest.mark.parametrize("name", ["resnet50", "resnet18", "resnet50d", "seresnet50", "resnetv2_50", "resnetv2_50d"])
def test_output_stride_is_timms(name, output_stride):
    with torch.device("meta"):
        if name not in timm.list_models():
            pytest.skip(f"no {name} in timm")
        theirs = timm.create_model(name, output_stride=output_stride)
        ours = onn.build(name, output_stride=output_stride)
    assert spatial(ours) == spatial(theirs)
    pools = [[(type(m).__name__, m.stride if m.__class__ is nn.AvgPool2d else 1) for m in model.modules()
              if type(m).__name__.startswith("AvgPool2d")] for model in (ours, theirs)]  # fmt: skip
    assert pools[0] == pools[1]
    assert ours.tap_strides["C5"] == output_stride == theirs.feature_info[-1]["reduction"]


@pytest.mark.parametrize(("dilate", "output_stride"), [((False, False, True), 16), ((False, True, True), 8)])
def test_output_stride_is_torchvisions(dilate, output_stride):
    with torch.device("meta"):
        theirs = torchvision.models.resnet50(replace_stride_with_dilation=dilate)
        ours = onn.build("resnet50", output_stride=output_stride)
    assert spatial(ours) == spatial(theirs)


def test_a_dilated_network_equals_torchvisions_with_its_weights_in_order():
    theirs = randomise(torchvision.models.resnet50(replace_stride_with_dilation=(False, True, True))).double().eval()
    ours = onn.build("resnet50", output_stride=8, dtype=torch.float64).eval()
    keys = zip(ours.state_dict(), theirs.state_dict().values(), strict=True)
    ours.load_state_dict(dict(keys))
    x = image(ours.spec, 1, (49, 65), torch.float64)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-10, atol=1e-10)


def test_detectron2s_dilation_dilates_the_whole_stage():
    # detectron2's make_stage gives every block of res5 the dilation (RESNETS.RES5_DILATION)
    spec = with_output_stride(otoyol.parse("resnet50@dilation_first=same"), 16)
    model = onn.build(spec, device="meta")
    assert [block.branch.conv2.dilation for block in model.stages[3]] == [(2, 2)] * 3
    timms = onn.build("resnet50", output_stride=16, device="meta")
    assert [block.branch.conv2.dilation for block in timms.stages[3]] == [(1, 1), (2, 2), (2, 2)]


def test_output_stride_of_small_images_and_existing_dilation():
    assert onn.build("cifar_resnet20", output_stride=2).tap_strides == {"C1": 1, "C2": 1, "C3": 2, "C4": 2}
    twice = with_output_stride(with_output_stride(otoyol.parse("resnet50"), 16), 8)
    assert twice == with_output_stride(otoyol.parse("resnet50"), 8)
    assert with_output_stride(otoyol.parse("resnet50"), 32) == otoyol.parse("resnet50")


@pytest.mark.parametrize("output_stride", [0, 2, 5, 12, 64, True])
def test_output_strides_that_a_network_never_has(output_stride):
    with pytest.raises(otoyol.SpecError, match=r"output_stride: got .*; allowed: 4 or 8 or 16 or 32"):
        onn.build("resnet50", output_stride=output_stride)


def test_options_are_edits_of_the_spec():
    model = onn.build(
        "resnet50@depths=2-2-2-2,input=3x64x64",
        num_classes=7,
        in_chans=5,
        drop_rate=0.2,
        drop_path_rate=0.1,
        device="meta",
    )
    expected = otoyol.parse("resnet50@depths=2-2-2-2,head=7,head.dropout=0.2,drop_path=0.1,input=5x64x64")
    assert model.spec == expected
    assert model.stem.conv1.in_channels == 5
    assert model.head.fc.out_features == 7
    assert [type(m).__name__ for m in model.head.children()][1:] == ["Dropout", "Linear"]


def test_heads():
    model = randomise(onn.build("resnet18@input=3x64x64", num_classes=3)).eval()
    x = image(model.spec)
    maps = model.forward_features(x)
    assert maps.shape == (2, 512, 2, 2)
    assert torch.equal(model.forward_head(maps), model(x))
    assert torch.equal(model.forward_head(maps, pre_logits=True), maps.mean((2, 3)))
    torch.testing.assert_close(model(x), model.get_classifier()(maps.mean((2, 3))))
    model.reset_classifier(0)
    assert torch.equal(model(x), maps.mean((2, 3)))
    assert isinstance(model.get_classifier(), nn.Identity)
    model.reset_classifier(0, "")
    assert torch.equal(model(x), maps)
    model.reset_classifier(11, "avg")
    assert model(x).shape == (2, 11)
    assert model.num_classes == model.spec.head.classes == 11
    assert not model.head.training
    with pytest.raises(otoyol.SpecError, match=r"avg, or '' for none"):
        model.reset_classifier(11, "catavgmax")
    with pytest.raises(otoyol.SpecError, match="avg where there are classes"):
        model.reset_classifier(11, "")


def test_a_new_classifier_keeps_device_and_dtype():
    model = onn.build("resnet18@taps=postact", dtype=torch.float64)
    model.reset_classifier(3)
    assert model.head.fc.weight.dtype is torch.float64
    meta = onn.build("resnet18", device="meta")
    meta.reset_classifier(3)
    assert meta.head.fc.weight.is_meta


def test_postact_taps_come_and_go_with_the_pool():
    model = onn.build("resnetv2_18@taps=postact")
    assert list(model.taps) == []
    model.reset_classifier(0, "")
    assert list(model.taps) == ["C2", "C3", "C4"]
    assert model.state_dict().keys() == onn.build(model.spec).state_dict().keys()


def test_out_indices_need_features_only():
    with pytest.raises(otoyol.SpecError, match="only with features_only"):
        onn.build("resnet18", out_indices=(1,))
    with pytest.raises(otoyol.SpecError, match="indices"):
        onn.build("resnet18", features_only=True, out_indices=(7,))


def test_device_and_dtype():
    model = onn.build("resnet18", device="meta", dtype=torch.bfloat16)
    assert {(p.is_meta, p.dtype) for p in model.parameters()} == {(True, torch.bfloat16)}
    assert onn.build("resnet18", dtype=torch.float64)(torch.randn(2, 3, 32, 32).double()).dtype is torch.float64
