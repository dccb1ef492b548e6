"""Folding, proved in float64: outputs equal the unfolded module's for every family and for random designs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from strategies import specs
from torch import nn

import otoyol
from otoyol.audit import highway
from otoyol.deploy.fold import fold, remaining
from otoyol.errors import SpecError
from otoyol.nn import FrozenBatchNorm2d, build

sys.path.insert(0, str(Path(__file__).parent.parent / "nn"))
from _designs import SMALL

# What SMALL does not have: norms ahead of their convolutions, in groups, two in a row.
AHEAD = (
    "cifar_resnet20@depths=1-2,widths=16-32,strides=1-2,block=norm/conv1/,head=5",
    "cifar_resnet20@depths=1-2,widths=16-32,strides=1-2,shortcut=D,block=norm.norm/conv1.norm.norm.act.conv1/,head=5",
    "cifar_resnet20@depths=1-2,widths=16-32,groups=4,block=/act.norm.conv1.norm/,head=5",
    "custom@stem.activated=false,depths=2,widths=16,block=norm/conv3/,head=5",
)
NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm, FrozenBatchNorm2d)


def scattered(model: nn.Module, seed: int = 0) -> nn.Module:
    """Norms whose every number is random: gains of both signs, shifts, means, variances."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, NORMS):
                for tensor, low, high in (
                    (module.weight, 0.5, 1.5), (module.bias, -1.0, 1.0),
                    (module.running_mean, -1.0, 1.0), (module.running_var, 0.5, 2.0),
                ):  # fmt: skip
                    tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)
                module.weight *= torch.where(torch.rand(module.weight.shape, generator=generator) < 0.3, -1, 1)
    return model.eval()


def small(text: str) -> otoyol.Spec:
    """One block a stage, a few channels, a small image: every mechanism of the family stays."""
    return otoyol.parse(f"{text}{',' if '@' in text else '@'}input=3x33x38")


def difference(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-12))


def family_designs() -> dict[str, otoyol.Spec]:
    """Every family with at most two blocks a stage and an eighth of its width, by the names of those that are then the
    same network (ResNet-101 and -152 differ from -50 in depth alone)."""
    names: dict[otoyol.Spec, list[str]] = {}
    for name in otoyol.spec.FAMILIES:
        spec = otoyol.family(name)
        whole = spec.groups or spec.group_width or spec.norm.kind == "group" or max(s.width for s in spec.stages) < 512
        stages = [
            stage.model_copy(
                update={"depth": 1 if whole else min(stage.depth, 2), "width": stage.width // (1 if whole else 8)}
            )
            for stage in spec.stages
        ]
        changes = {"family": "custom", "stages": stages, "head": 5, "input": "3x33x38"}
        names.setdefault(spec.model_copy(update=changes), []).append(name)
    return {" ".join(same): spec for spec, same in names.items()}


FAMILY_DESIGNS = family_designs()


@pytest.mark.parametrize("names", FAMILY_DESIGNS)
def test_every_family_folds_exactly(names: str) -> None:
    check(FAMILY_DESIGNS[names])


@pytest.mark.parametrize("text", [*SMALL, *AHEAD])
def test_every_mechanism_folds_exactly(text: str) -> None:
    check(small(text))


def check(spec: otoyol.Spec) -> None:
    torch.manual_seed(0)
    model = scattered(build(spec).double())
    x = torch.randn(2, spec.input.channels, spec.input.height, spec.input.width, dtype=torch.float64)
    with torch.no_grad():
        folded = fold(model)
        assert difference(folded(x), model(x)) < 1e-9
        assert difference(folded.float()(x.float()), model(x).float()) < 1e-4
    stays = {f.norm for f in highway(spec).folds if not f.folds}
    assert set(remaining(folded)) <= stays  # the audit's promise, kept; re-centring takes away more
    assert [n for n, _ in folded.named_modules()][:9] == [n for n, _ in model.named_modules()][:9]


@given(specs(max_width=16, max_depth=2, max_stages=2, max_size=12))
@settings(max_examples=25)
def test_random_designs_fold_exactly(spec: otoyol.Spec) -> None:
    if spec.head.pool == "none":
        spec = spec.model_copy(update={"head": 3})
    check(spec)


@pytest.mark.parametrize(
    "text",
    [
        "wrn_28_10@widths=32-32-32,depths=1-1-1,taps=raw",  # its first norm would go into C1's convolution
        "resnetv2_50@widths=8-16-24-32,depths=1-2-1-1,taps=postact",
        "resnetv2_18@widths=8-16-24-32,taps=preact",
        "resnet50d@widths=8-16-24-32,depths=1-1-1-1",
    ],
)
def test_taps_stay(text: str) -> None:
    spec = small(text)
    torch.manual_seed(0)
    model = scattered(build(spec, features_only=True).double())
    x = torch.randn(1, 3, 33, 38, dtype=torch.float64)
    with torch.no_grad():
        for ours, theirs in zip(fold(model)(x), model(x), strict=True):
            assert difference(ours, theirs) < 1e-9


def test_a_fold_that_would_change_a_tap_is_left_out_where_the_tap_is_wanted() -> None:
    spec = small("wrn_28_10@widths=32-32-32,depths=1-1-1,taps=raw,head=5")
    model = scattered(build(spec).double())
    x = torch.randn(1, 3, 33, 38, dtype=torch.float64)
    free, kept = fold(model), fold(model, taps=["C1"])
    assert len(remaining(kept)) == len(remaining(free)) + 1
    with torch.no_grad():
        assert difference(kept.forward_taps(x, ["C1"])["C1"], model.forward_taps(x, ["C1"])["C1"]) < 1e-12
        assert difference(free.forward_taps(x, ["C1"])["C1"], model.forward_taps(x, ["C1"])["C1"]) > 1e-3
        assert difference(free(x), model(x)) < 1e-9


def test_a_network_inside_another_module_keeps_its_taps() -> None:
    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = scattered(build(small("resnetv2_18@widths=8-8-8-8"), features_only=True))
            self.neck = nn.Conv2d(8, 4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.neck(self.body(x)[-1])

    model, x = Holder().double().eval(), torch.randn(1, 3, 33, 38, dtype=torch.float64)
    folded = fold(model)
    assert len(remaining(folded)) < len(remaining(model))
    with torch.no_grad():
        assert difference(folded(x), model(x)) < 1e-9


def test_what_is_left_is_scale_and_shift() -> None:
    folded = fold(scattered(build(small("resnetv2_50@widths=8-16-24-32,depths=1-1-1-1,head=5"))))
    norms = [m for m in folded.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms and all(m.eps == 0 and not m.running_mean.any() and (m.running_var == 1).all() for m in norms)
    assert not any(p.requires_grad for p in folded.parameters())


def test_the_model_itself_is_untouched() -> None:
    model = scattered(build(small("resnet18@widths=8-8-8-8,head=5"))).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    fold(model)
    assert model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_what_cannot_be_folded_is_refused() -> None:
    with pytest.raises(SpecError, match=r"otoyol\.nn\.build"):
        fold(nn.Linear(3, 3))
    model = build(small("resnet18@widths=8-8-8-8,head=5"))
    model.stem.norm1 = nn.BatchNorm2d(64, track_running_stats=False)
    with pytest.raises(SpecError, match="running statistics"):
        fold(model)
