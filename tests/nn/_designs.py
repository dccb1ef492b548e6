"""Small designs that together use every mechanism, and helpers for comparing modules."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SMALL = (
    "resnet18@widths=8-16-24-32,head=5",
    "resnetv1_50@widths=8-16-24-32,depths=1-1-1-1,head=5",
    "resnet50d@widths=8-16-24-32,depths=1-2-1-1,head=5",
    "resnet50@widths=8-16-24-32,depths=1-1-1-1,head=5,stem=tiered,norm=group,norm.groups=8",
    "resnext50_32x4d@widths=32-32-64-64,depths=1-1-1-1,head=5",
    "seresnet18@widths=8-16-24-32,head=5",
    "ecaresnet50t@widths=8-16-24-32,depths=1-1-1-1,head=5",
    "resnet18@widths=8-16-24-32,attention=cbam,attention.place=start,head=5",
    "resnetv2_18@widths=8-16-24-32,attention=se,attention.place=1,head=5",
    "resnetv2_50@widths=8-16-24-32,depths=1-2-1-1,head=5",
    "resnetv2_50d@widths=8-16-24-32,depths=1-2-1-1,attention=cbam,attention.place=spatial,head=5",
    "resnetv2_18@widths=8-16-24-32,shortcut.reads=raw,shortcut.norm=yes,head=5,act=leaky_relu",
    "resnet18@widths=8-16-24-32,norm=frozen,head=5,act=relu6",
    "resnet18@widths=8-16-24-32,norm=sync,head=5,act=silu",
    "cifar_resnet20@depths=1-2-1",
    "cifar_resnet20@depths=1-2-1,shortcut=C,act=gelu",
    "cifar_resnetv2_164@depths=1-2-1,drop_path=0.3",
    "cifar_resnet110_bn_after@depths=1-2-1",
    "cifar_resnet110_relu_before@depths=1-2-1",
    "cifar_resnet110_relu_preact@depths=1-2-1",
    "cifar_resnet110_scale_both@depths=1-2-1",
    "cifar_resnet110_exclusive@depths=1-2-1",
    "cifar_resnet110_shortcut_only@depths=1-2-1",
    "cifar_resnet110_dropout@depths=1-2-1",
    "wrn_28_10@widths=16-16-32,depths=1-1-1,head.dropout=0.3",
    "custom@block=inverted,widths=16-24-24,depths=1-2-2,strides=2-2-1,stem.widths=16,shortcut=none,head=5",
    "custom@block=act.norm/conv1.act.dw5.norm.conv3.act/norm.act,widths=16-24,depths=2-2,stem.widths=16,head=5",
    "resnet18@widths=8-16-24-32,strides=1-2-1-1,dilations=1-1-2-4,head=5",
    "resnet50d@widths=8-16-24-32,depths=1-1-2-1,strides=1-2-1-1,dilations=1-1-2-4,head=5",
    "custom@block=norm/act.conv3.norm/,widths=8-8,depths=2-1,stem.widths=8,stem.activated=false,head=5",
)


def image(spec, batch: int = 2, size: tuple[int, int] = (33, 38), dtype: torch.dtype = torch.float32) -> Tensor:
    """Random images with odd and even sides."""
    return torch.randn(batch, spec.input.channels, *size, dtype=dtype, generator=torch.Generator().manual_seed(1))


def randomise(model: nn.Module, seed: int = 0) -> nn.Module:
    """Random norms, so that nothing hides behind gains of 1, shifts of 0 and fresh statistics."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if not tensor.is_floating_point():
                continue
            if name.endswith("running_var") or (tensor.ndim == 1 and name.endswith("weight")):
                tensor.copy_(torch.rand(tensor.shape, generator=g) + 0.5)
            elif tensor.ndim == 1:
                tensor.copy_(torch.randn(tensor.shape, generator=g) * 0.1)
    return model
