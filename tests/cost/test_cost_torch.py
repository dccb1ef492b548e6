"""Costs against torch: parameters, shapes and MACs of every module, over random specs and all families."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from strategies import specs
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, flop_registry

import otoyol
from otoyol.cost import OpCost, count, table
from otoyol.nn import build
from otoyol.spec import FAMILIES, Spec

COUNTED = nn.Conv2d | nn.Conv1d | nn.Linear


def image(spec: Spec, batch: int = 1) -> torch.Tensor:
    return torch.empty(batch, spec.input.channels, spec.input.height, spec.input.width, device="meta")


def torch_flops(module: Any, x: torch.Tensor, y: torch.Tensor) -> int:
    """The figure of FlopCounterMode's own table for a layer that was called with x and gave y."""
    if isinstance(module, nn.Linear):
        return flop_registry[torch.ops.aten.mm](x.shape, module.weight.shape[::-1], out_val=y)
    transposed = False
    return flop_registry[torch.ops.aten.convolution](
        x, module.weight, module.bias, module.stride, module.padding, module.dilation, transposed, out_val=y
    )


def by_module(rows: tuple[OpCost, ...], quantity: str) -> Counter[str]:
    total: Counter[str] = Counter()
    for row in rows:
        total[row.op.name] += getattr(row.cost, quantity)
    return +total


def numel(tensors: Any) -> Counter[str]:
    total: Counter[str] = Counter()
    for name, tensor in tensors:
        total[name.rpartition(".")[0]] += tensor.numel()
    return +total


def agree_with_torch(spec: Spec) -> None:
    model = build(spec, device="meta").eval()
    rows = table(spec)
    assert by_module(rows, "params") == numel(model.named_parameters())
    assert by_module(rows, "buffers") == numel(model.named_buffers())

    shapes: dict[str, list[tuple[int, ...]]] = defaultdict(list)
    flops: Counter[str] = Counter()

    def note(name: str, module: nn.Module, x: torch.Tensor, y: torch.Tensor) -> None:
        shapes[name].append(tuple(y.shape[1:]))
        if isinstance(module, COUNTED):
            flops[name] += torch_flops(module, x, y)

    for name, module in model.named_modules():
        if name.rpartition(".")[2].startswith(("norm", "act")):
            module.forward = torch.empty_like  # meta norms are slow, and cannot change a shape
        if not any(True for _ in module.children()):
            module.register_forward_hook(lambda m, inputs, y, name=name: note(name, m, inputs[0], y))
    with torch.no_grad():
        model(image(spec))

    assert {name: 2 * macs for name, macs in by_module(rows, "macs").items()} == flops
    ours: dict[str, list[tuple[int, ...]]] = defaultdict(list)
    for row in rows:
        ours[row.op.name].append((row.op.c_out, row.op.h_out, row.op.w_out))
    for name in shapes.keys() & ours.keys():
        for (c, h, w), real in zip(ours[name], shapes[name], strict=True):
            as_torch = {3: (c, h, w), 2: (1, c), 1: (c,)}[len(real)]  # ECA convolves over C; the head has vectors
            assert as_torch == real, name
    layers = {row.op.name for row in rows if row.op.kind in ("conv", "conv1d", "linear", "norm", "act")}
    assert layers - shapes.keys() <= {row.op.name for row in rows if row.op.slot in ("tap", "attention")}


def _shard(number: int) -> Callable[[], None]:
    """500 of the 2,000 random specs. Hypothesis draws by a test's name, so that the shards draw differently."""

    def test(spec: Spec) -> None:
        agree_with_torch(spec)

    test.__name__ = f"test_random_specs_have_torchs_parameters_shapes_and_macs_{number}"
    return settings(max_examples=500)(given(specs(max_size=24, max_depth=2))(test))


test_random_specs_1, test_random_specs_2, test_random_specs_3, test_random_specs_4 = map(_shard, range(1, 5))


@pytest.mark.parametrize("name", FAMILIES)
def test_families_have_torchs_parameters_shapes_and_macs(name: str) -> None:
    agree_with_torch(otoyol.family(name))


@settings(max_examples=60)
@given(specs(max_stages=2, max_size=16))
def test_random_specs_have_the_macs_that_flopcountermode_counts(spec: Spec) -> None:
    model = build(spec, device="meta").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(image(spec, batch=3))
    cost = count(spec, batch=3)
    assert 2 * cost.macs == counter.get_total_flops()
    assert cost.forward_flops.conv + cost.forward_flops.linear == counter.get_total_flops()


def backward_flops(spec: Spec) -> int:
    """What FlopCounterMode counts in backward alone, the image wanting no gradient."""
    model = build(spec, device="meta")
    y = model(image(spec, batch=2))
    with FlopCounterMode(display=False) as counter:
        y.sum().backward()
    return counter.get_total_flops()


@pytest.mark.parametrize("name", ["resnet18", "resnet50d", "resnetv2_50", "seresnet50", "cifar_resnet20", "wrn_28_10"])
def test_ungrouped_backward_is_what_flopcountermode_counts(name: str) -> None:
    spec = otoyol.parse(f"{name}@input=3x64x64")
    assert 2 * count(spec, batch=2).backward_macs == backward_flops(spec)


def test_grouped_backward_is_twice_the_forward_less_the_image_s_gradient() -> None:
    # Gradients of the weights and of the input each take one multiply-accumulate for every one of the forward pass,
    # whatever the groups; the 7×7 on the image is 64·112²·3·49 = 118,013,952 MACs and needs the first alone.
    cost = count(otoyol.family("resnext50_32x4d"))
    assert cost.backward_macs == 2 * cost.macs - 118_013_952
    # torch's counter forgets the groups in the weights' gradient: 1.86 times as much.
    with FlopCounterMode(display=False) as counter:
        build(otoyol.family("resnext50_32x4d"), device="meta")(image(otoyol.family("resnext50_32x4d"))).sum().backward()
    backward = counter.get_total_flops() - 2 * cost.macs
    assert backward / (2 * cost.backward_macs) == pytest.approx(1.86, abs=0.01)


def test_a_grouped_convolution_by_hand() -> None:
    # resnext's first 3×3: 128 channels in 32 groups of 4, at 56×56.
    row = next(row for row in table(otoyol.family("resnext50_32x4d")) if row.op.name == "stages.0.0.branch.conv2")
    assert row.cost.params == 3 * 3 * 4 * 128 == 4608
    assert row.cost.macs == 4608 * 56 * 56
    assert row.cost.backward_macs == 2 * 4608 * 56 * 56
    assert row.cost.backward_flops.conv == 4 * 4608 * 56 * 56
