"""Peers for the weights tests: torchvision's and timm's networks with random weights, quickly made."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import timm
import torch
import torchvision
from timm.models.resnet import BasicBlock, Bottleneck, ResNet
from timm.models.resnetv2 import ResNetV2
from torch import nn

from otoyol.spec import FAMILIES

torch.set_num_threads(1)


def known() -> Iterator[tuple[str, str]]:
    """(source, family) for every family that torchvision or timm has under that name."""
    ours = set(FAMILIES)
    for source, names in (("torchvision", torchvision.models.list_models(module=torchvision.models)),
                          ("timm", timm.list_models())):  # fmt: skip
        yield from ((source, name) for name in sorted(ours & set(names)))


def named(source: str, name: str, **options: object) -> nn.Module:
    if source == "torchvision":
        return torchvision.models.get_model(name, weights=None, **options)
    return timm.create_model(name, pretrained=False, **options)


def on_meta(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.device("meta"):
        return make()


SPARE = 1 << 20
POOL = torch.rand(2 * SPARE, generator=torch.Generator().manual_seed(0))


def filled(make: Callable[[], nn.Module]) -> nn.Module:
    """The module with random weights, norms and statistics, without running its initialisation on real memory.

    Values come from one pool, each tensor from another place in it: drawing 10⁸ numbers takes seconds.
    """
    module = on_meta(make).to_empty(device="cpu")
    for index, (name, tensor) in enumerate(module.state_dict().items()):
        if name.endswith("num_batches_tracked"):
            tensor.fill_(3)
            continue
        start, count = 7919 * index % SPARE, tensor.numel()
        values = POOL[start : start + count]
        if len(values) < count:
            values = values.repeat(-(-count // len(values)))[:count]
        values = values.view(tensor.shape)
        if tensor.dim() > 1:
            values = (values - 0.5) * (12.0 / tensor[0].numel()) ** 0.5  # unit gain
        elif name.endswith(("running_var", "weight")):
            values = values + 0.5
        else:
            values = values - 0.5
        tensor.copy_(values)
    return module


def relative(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    assert ours.shape == theirs.shape
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


__all__ = ["BasicBlock", "Bottleneck", "ResNet", "ResNetV2", "filled", "known", "named", "on_meta", "relative"]
