"""Foldable norms: counted by hand, and folded for real in float64."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from strategies import specs
from torch import nn

import otoyol
from otoyol.audit import Fold, highway
from otoyol.nn import build
from otoyol.nn.norms import FrozenBatchNorm2d


@pytest.mark.parametrize(
    ("spec", "norms", "foldable"),
    [
        # 1 in the stem, 3 · 16 in the branches, 4 behind projections, each right behind a convolution.
        ("resnet50", 53, 53),
        # The deep stem has 3.
        ("resnet50d", 55, 55),
        # 16 · (1 preact + 2 in F) + the final one; the 2 in F follow convolutions: 32 fold. The preact norms read
        # 15 sums and the max pool, the final one a sum.
        ("resnetv2_50", 49, 32),
        # 54 blocks of 2 in F, 53 preacts (none behind the activated stem), stem, final. Stem and F fold.
        ("cifar_resnetv2_164", 163, 109),
        # 12 · 2 + final; F's 12 fold, and the first preact norm is the only reader of the bare stem convolution.
        ("wrn_28_10", 25, 13),
        ("resnet50_gn", 53, 0),
        # CBAM's spatial gate has a batch norm of its own behind a convolution, one a block.
        ("resnet50@attention=cbam", 69, 69),
        # SE at the start of F in v2: nothing changes for norms.
        ("resnetv2_50@attention=se", 49, 32),
        ("resnet50@norm=frozen", 53, 53),
    ],
)
def test_counts(spec: str, norms: int, foldable: int) -> None:
    audit = highway(otoyol.parse(spec))
    assert (len(audit.folds), audit.foldable) == (norms, foldable)


def test_resnetv2_50_says_which_and_why() -> None:
    audit = highway(otoyol.parse("resnetv2_50"))
    reasons = Counter((fold.slot, fold.verdict, fold.behind, fold.ahead) for fold in audit.folds)
    assert reasons == {
        ("branch", "preceding", "", ""): 32,
        ("preact", "none", "add", "act"): 15,
        ("preact", "none", "maxpool", "act"): 1,
        ("final", "none", "add", "act"): 1,
    }
    assert [(s.norms, s.foldable) for s in audit.stages] == [(1, 0), (9, 6), (12, 8), (18, 12), (9, 6)]
    into = {fold.norm: fold.into for fold in audit.folds}
    assert into["stages.0.0.branch.norm1"] == ("stages.0.0.branch.conv1",)


def test_a_fold_that_changes_a_tap_says_so() -> None:
    folds = {fold.norm: fold for fold in highway(otoyol.parse("wrn_28_10")).folds}
    assert folds["stages.0.0.preact.norm1"].into == ("stem.conv1",)
    assert folds["stages.0.0.preact.norm1"].alters_taps == ("C1",)
    assert folds["stages.0.0.branch.norm1"].alters_taps == ()


def only(spec: str, norm: str) -> Fold:
    return next(fold for fold in highway(otoyol.parse(spec)).folds if fold.norm == norm)


def test_forward_folds_and_their_limits() -> None:
    bare = "custom@stem.activated=false,depths=2,widths=64,block="
    # A norm alone before a 1×1 goes into it; before a 3×3 zero padding is in the way; an act is in the way always.
    second = "stages.0.1.preact.norm1"
    assert only(bare + "norm/conv1/", second).verdict == "following"
    assert only(bare + "norm/conv1/", second).into == ("stages.0.1.branch.conv1",)
    assert (only(bare + "norm/conv3/", second).verdict, only(bare + "norm/conv3/", second).ahead) == ("none", "padding")
    assert only(bare + "norm.act/conv1/", second).ahead == "act"
    # The final norm without an act goes through the mean into the classifier.
    assert only(bare + "norm/conv1/", "final.norm1").into == ("head.fc",)
    assert only(bare + "norm/conv1/,head=0", "final.norm1").ahead == "output"
    # Behind an activation inside F, before a 3×3.
    assert only(bare + "/conv3.act.norm.conv3/", "stages.0.0.branch.norm1").behind == "act"


def test_a_norm_shared_by_branch_and_projection_goes_into_both() -> None:
    fold = only("custom@depths=1-1,widths=64-64,strides=1-2,block=norm/conv1/", "stages.1.0.preact.norm1")
    assert fold.into == ("stages.1.0.shortcut.conv", "stages.1.0.branch.conv1")
    # ResNet-D pools first; the mean of a scaled and shifted map is the mean scaled and shifted.
    pooled = "custom@depths=1-1,widths=64-64,strides=1-2,shortcut=D,block=norm/conv1/"
    assert only(pooled, "stages.1.0.preact.norm1").verdict == "following"
    # In a dilated stage that pool keeps the size by padding with zeros, which no shift reaches.
    padded = "custom@depths=1-1,widths=64-128,strides=1-1,dilations=1-2,shortcut=D,block=norm/conv1/"
    assert only(padded, "stages.1.0.preact.norm1").ahead == "padding"


# ---- folding for real ------------------------------------------------------------------------------------------------


def affine(norm: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return scale.detach(), (norm.bias - norm.running_mean * scale).detach()


def fold_in(model: nn.Module, fold: Fold) -> None:
    scale, shift = affine(model.get_submodule(fold.norm))
    for name in fold.into:
        layer = model.get_submodule(name)
        weight = layer.weight.detach()
        bias = torch.zeros(len(weight), dtype=weight.dtype) if layer.bias is None else layer.bias.detach()
        if fold.verdict == "preceding":
            weight, bias = weight * scale.view(-1, *[1] * (weight.dim() - 1)), bias * scale + shift
        else:  # weight is (out, in / groups, …): channel i of group g is input g · (in / groups) + i
            per_group = weight.shape[1]
            groups = len(scale) // per_group
            rows = torch.arange(len(weight)) // (len(weight) // groups)
            columns = rows[:, None] * per_group + torch.arange(per_group)
            shape = (*columns.shape, *[1] * (weight.dim() - 2))
            bias = bias + (weight.reshape(*weight.shape[:2], -1).sum(2) * shift[columns]).sum(1)
            weight = weight * scale[columns].view(shape)
        layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
    parent, _, leaf = fold.norm.rpartition(".")
    setattr(model.get_submodule(parent), leaf, nn.Identity())


def folded_error(spec: otoyol.Spec, folds: list[Fold]) -> float:
    """Largest difference of the outputs before and after folding, relative to the largest output."""
    torch.manual_seed(0)
    model = build(spec).double().eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm | FrozenBatchNorm2d):
                module.weight.uniform_(0.5, 1.5).mul_(torch.where(torch.rand_like(module.weight) < 0.3, -1, 1))
                module.bias.normal_()
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
        x = torch.randn(2, spec.input.channels, spec.input.height, spec.input.width, dtype=torch.float64)
        before = model(x)
        # Backwards, so that of two norms before one convolution the nearer goes in first.
        for fold in [f for f in folds if f.verdict == "preceding"] + [
            f for f in folds[::-1] if f.verdict == "following"
        ]:
            fold_in(model, fold)
        after = model(x)
    return float((before - after).abs().max() / before.abs().max().clamp(min=1e-9))


SMALL = "input=3x19x23,head=5"


@pytest.mark.parametrize(
    "spec",
    [
        f"resnet50@depths=1-1-2-1,widths=8-8-16-16,{SMALL}",
        f"resnet50d@depths=1-1-2-1,widths=8-8-16-16,{SMALL}",
        f"resnetv2_50@depths=1-1-2-1,widths=8-8-16-16,attention=cbam,{SMALL}",
        f"wrn_28_10@depths=1-1-2,widths=16-32-32,{SMALL}",
        f"cifar_resnet20@depths=1-2,widths=16-32,strides=1-2,block=norm/conv1/,{SMALL}",
        f"cifar_resnet20@depths=1-2,widths=16-32,strides=1-2,shortcut=D,block=norm.norm/conv1.norm.norm.act.conv1/,{SMALL}",
        f"cifar_resnet20@depths=1-2,widths=16-32,groups=4,block=/act.norm.conv1.norm/,{SMALL}",
        f"cifar_resnetv2_20@depths=2-2-1,norm=frozen,shortcut.gate=exclusive,{SMALL}",
    ],
)
def test_what_the_audit_folds_folds_exactly(spec: str) -> None:
    parsed = otoyol.parse(spec)
    folds = [fold for fold in highway(parsed).folds if fold.folds]
    assert folds
    assert folded_error(parsed, folds) < 1e-12


@given(specs(max_width=16, max_depth=2, max_stages=2, max_size=12, norms=("batch", "frozen", "sync")))
@settings(max_examples=40)
def test_what_the_audit_folds_folds_exactly_in_random_designs(spec: otoyol.Spec) -> None:
    if spec.head.pool == "none":
        spec = spec.model_copy(update={"head": 3})
    assert folded_error(spec, [fold for fold in highway(spec).folds if fold.folds]) < 1e-9


def test_padding_is_a_true_obstacle() -> None:
    """Folding a norm forward into a padded 3×3 all the same changes the output, though not in its middle."""
    spec = otoyol.parse(f"cifar_resnet20@depths=1,widths=16,strides=1,stem.activated=false,block=norm/conv3/,{SMALL}")
    refused = next(f for f in highway(spec).folds if f.ahead == "padding" or f.norm == "stages.0.0.preact.norm1")
    forced = Fold(refused.norm, 0, 0, "preact", "following", ("stages.0.0.branch.conv1",), "", "", ())
    assert refused.ahead == "padding"
    assert folded_error(spec, [forced]) > 1e-6
