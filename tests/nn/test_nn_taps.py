"""C1, C2, …: what is tapped, once, untouched, and no further than asked."""

from __future__ import annotations

import pytest
import torch
from _designs import SMALL, image, randomise

import otoyol
from otoyol import nn as onn

V2 = "resnetv2_18@widths=8-16-24-32,head=5"
NAMES = ["C1", "C2", "C3", "C4", "C5"]


def watch(model, path, found, which="output"):
    """Copies, so that later in-place work would show."""

    def hook(module, args, y):
        found[path] = (args[0] if which == "input" else y).clone()

    return model.get_submodule(path).register_forward_hook(hook)


@pytest.mark.parametrize("text", SMALL)
def test_taps_are_the_published_modules_outputs(text):
    model = randomise(onn.build(text)).eval()
    found: dict[str, torch.Tensor] = {}
    for row in model.feature_info:
        watch(model, row["module"], found)
    x = image(model.spec)
    taps = model.forward_taps(x)
    for row in model.feature_info:
        assert torch.equal(taps[row["name"]], found[row["module"]]), row
        assert taps[row["name"]].shape[1] == row["num_chs"] == model.tap_channels[row["name"]]
        assert taps[row["name"]].shape[2] == -(-x.shape[2] // row["reduction"])
    assert torch.equal(model.head(taps[row["name"]]) if model.final is None else model(x), model(x))


@pytest.mark.parametrize("text", [V2, "resnet18@widths=8-16-24-32,head=5", "cifar_resnet110_relu_preact@depths=1-2-1"])
@pytest.mark.parametrize("taps", ["raw", "preact", "postact"])
def test_training_statistics_move_once(text, taps):
    text = f"{text},taps={taps}"
    model, plain = onn.build(text, features_only=True), onn.build(text, features_only=True)
    plain.load_state_dict(randomise(model).state_dict())
    x = image(model.spec)
    model.forward_taps(x)
    plain.forward_features(x)
    counts = {name: t for name, t in model.named_buffers() if name.endswith("num_batches_tracked")}
    assert {int(count) for name, count in counts.items() if not name.startswith("final")} == {1}
    for name, tensor in plain.state_dict().items():
        if not name.startswith(("taps", "final")):
            torch.testing.assert_close(model.state_dict()[name], tensor)


def test_raw_preact_and_postact_of_a_v2_network():
    raw = randomise(onn.build(V2 + ",taps=raw", features_only=True)).eval()
    x = image(raw.spec)
    sums: dict[str, torch.Tensor] = {}
    for stage in range(4):
        watch(raw, f"stages.{stage}", sums)
    taps = raw.forward_taps(x)
    for stage in range(4):
        assert torch.equal(taps[f"C{stage + 2}"], sums[f"stages.{stage}"])
    assert taps["C3"].min() < 0

    preact = onn.build(V2, features_only=True).eval()
    preact.load_state_dict(raw.state_dict())
    taps = preact.forward_taps(x)
    for stage in range(3):
        expected = raw.stages[stage + 1][0].preact(sums[f"stages.{stage}"])
        torch.testing.assert_close(taps[f"C{stage + 2}"], expected)
    torch.testing.assert_close(taps["C5"], raw.final(sums["stages.3"]))

    postact = onn.build(V2 + ",taps=postact", features_only=True).eval()
    postact.load_state_dict(raw.state_dict(), strict=False)
    randomise(postact.taps, seed=3)
    taps = postact.forward_taps(x)
    for stage in range(3):
        expected = postact.taps[f"C{stage + 2}"](sums[f"stages.{stage}"])
        torch.testing.assert_close(taps[f"C{stage + 2}"], expected)
    assert all(tap.min() >= 0 for name, tap in taps.items() if name != "C1")


def test_only_as_deep_as_asked():
    model = onn.build(V2).eval()
    ran: dict[str, torch.Tensor] = {}
    for path in ("stages.0", "stages.1", "stages.2.0.preact", "stages.2", "final"):
        watch(model, path, ran)
    x = image(model.spec)
    assert list(model.forward_taps(x, ["C3"])) == ["C3"]
    assert list(ran) == ["stages.0", "stages.1", "stages.2.0.preact"]
    ran.clear()
    assert list(model.forward_taps(x, {"C1"})) == ["C1"]
    assert not ran


@pytest.mark.parametrize("names", [[], ["C9"], ["C2", "stem"]])
def test_unknown_taps_are_refused(names):
    with pytest.raises(otoyol.SpecError, match="C1, C2, C3, C4, C5"):
        onn.build("resnet18").forward_taps(torch.zeros(1, 3, 32, 32), names)


def test_features_only_gives_lists_and_dicts():
    model = onn.build("resnet50@depths=1-1-1-1", features_only=True, out_indices=(1, -1)).eval()
    x = image(model.spec)
    y = model(x)
    assert [tuple(t.shape) for t in y] == [(2, 256, 9, 10), (2, 2048, 2, 2)]
    assert model.feature_info.channels() == [256, 2048]
    assert model.feature_info.reduction() == [4, 32]
    assert model.feature_info.module_name() == ["stages.0", "stages.3"]
    assert model.feature_info.channels(0) == 64
    assert [row["num_chs"] for row in model.feature_info.get_dicts()] == [256, 2048]
    assert model.feature_info.get_dicts(["reduction"], [2]) == [{"reduction": 8}]
    assert list(model.forward_taps(x)) == NAMES
    assert not any(name.startswith("head") for name in model.state_dict())


@pytest.mark.parametrize("text", [V2, V2 + ",taps=raw", "resnet18@widths=8-16-24-32,head=5", V2 + ",taps=postact"])
@pytest.mark.parametrize("last", [0, 1, 2, 4])
def test_cutting_keeps_the_taps_and_the_names(text, last):
    model = randomise(onn.build(text, features_only=True, out_indices=(last,))).eval()
    x = image(model.spec)
    (before,) = model(x)
    assert model.cut(model.out_indices) == [last]
    (after,) = model(x)
    assert torch.equal(after, before)
    assert len(model.stages) == max(1, last)
    assert model.state_dict().keys() == onn.build(model.spec, features_only=True).state_dict().keys()


def test_pruning_a_classifier_as_timm_does():
    model = randomise(onn.build(V2)).eval()
    x = image(model.spec)
    expected = model.forward_intermediates(x, [1, 2], intermediates_only=True)
    assert model.prune_intermediate_layers([1, 2]) == [1, 2]
    assert model(x).shape == (2, 16, 5, 5)
    got = model.forward_intermediates(x, [1, 2], intermediates_only=True)
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))
    kept = onn.build(V2)
    kept.prune_intermediate_layers([2], prune_head=False)
    assert kept(x).shape == (2, 5)
    assert kept.head.fc.in_features == kept.num_features == 16


def test_a_cut_through_two_kinds_of_preact_is_refused():
    model = onn.build("resnetv2_18@stage3.block=basic")
    with pytest.raises(otoyol.SpecError, match="norm act"):
        model.prune_intermediate_layers([2])


def test_seventeen_taps():
    text = "custom@depths=" + "-".join("1" * 16) + ",widths=" + "-".join(["4"] * 16) + ",strides=" + "-".join("1" * 16)
    model = onn.build(text + ",input=3x9x9,expansion=1")
    assert list(model.forward_taps(torch.randn(2, 3, 9, 9))) == [f"C{i}" for i in range(1, 18)]
    assert list(model.forward_taps(torch.randn(2, 3, 9, 9), ["C2", "C11"])) == ["C2", "C11"]


@pytest.mark.parametrize("early", [False, True])
def test_the_last_raw_map_goes_through_the_norm_where_it_is_asked_for(early):
    model = randomise(onn.build("resnetv2_18@taps=raw,input=3x32x32")).eval()
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    _, (last,) = model.forward_intermediates(x, 1, norm=True, stop_early=early)
    torch.testing.assert_close(last, model.forward_features(x))
