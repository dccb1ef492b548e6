"""Receptive fields are where the gradient of an output pixel reaches: measured on the built module."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from strategies import specs
from torch import Tensor, nn

import otoyol
from otoyol.ops import lower
from otoyol.spec import Spec

NORMS = ("BatchNorm2d", "GroupNorm", "SyncBatchNorm", "FrozenBatchNorm2d")


class Copy(nn.Module):
    """In a norm's place: a tensor of its own, which an activation may overwrite."""

    def forward(self, x: Tensor) -> Tensor:
        return x.clone()


def neutral(spec: Spec) -> nn.Module:
    """The module in float64 with positive weights, no norms and a mean in place of the maximum, so that nothing that
    is reached cancels or is passed over."""
    model = otoyol.nn.build(spec).double().eval()
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child).__name__ in NORMS:
                setattr(parent, name, Copy())
            elif isinstance(child, nn.MaxPool2d):
                setattr(parent, name, nn.AvgPool2d(child.kernel_size, child.stride, child.padding))
            elif isinstance(child, nn.Conv2d):
                weight = torch.rand(child.weight.shape, dtype=torch.float64) + 0.5
                child.weight = nn.Parameter(weight / weight[0].numel(), requires_grad=False)
    return model


def rows_reached(spec: Spec) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """For each tap, the first and last row of the image that the gradient of a pixel reaches, and as we tell it."""
    taps = lower(spec).taps
    pixels = [-(tap.offset // tap.stride) for tap in taps]  # the first one that does not look into the padding
    told = [
        (tap.offset + pixel * tap.stride, tap.offset + pixel * tap.stride + tap.receptive_field - 1)
        for tap, pixel in zip(taps, pixels, strict=True)
    ]
    height = max(last for _, last in told) + 2 * taps[-1].stride
    image = (torch.rand(1, spec.input.channels, height, 1, dtype=torch.float64) * 1e-3 + 1e-3).requires_grad_()
    maps = neutral(spec.model_copy(update={"input": f"{spec.input.channels}x{height}x1"})).forward_taps(image)
    measured = []
    for tap, pixel in zip(taps, pixels, strict=True):
        (gradient,) = torch.autograd.grad(maps[tap.name][0, :, pixel].sum(), image, retain_graph=True)
        rows = gradient.abs().sum(dim=(0, 1, 3)).nonzero()
        measured.append((int(rows.min()), int(rows.max())))
    return measured, told


FAMILIES = ("resnet18", "resnetv1_50@depths=1-1-1-1", "resnet50d@depths=1-2-1-1", "resnetv2_50@depths=1-2-1-1",
            "resnet18@strides=1-2-1-1,dilations=1-1-2-4", "cifar_resnet20")  # fmt: skip


@pytest.mark.parametrize("text", FAMILIES)
def test_families(text: str) -> None:
    measured, told = rows_reached(otoyol.parse(text))
    assert measured == told


@settings(max_examples=60)
@given(specs(max_width=8, max_depth=2))
def test_any_design(spec: Spec) -> None:
    stages = [s.model_copy(update={"attention": None, "shortcut": _ungated(s.shortcut)}) for s in spec.stages]
    plain = spec.model_copy(update={"attention": "none", "stages": stages, "shortcut": _ungated(spec.shortcut)})
    assume(lower(plain).taps[-1].receptive_field <= 600)
    measured, told = rows_reached(plain)
    assert measured == told


def _ungated(shortcut: object) -> object:
    return shortcut.model_copy(update={"gate": "none"}) if shortcut is not None else None
