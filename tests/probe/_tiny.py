"""Small networks and batches."""

from __future__ import annotations

import torch

import otoyol

STEM = "stem.kernels=3,stem.widths=4,stem.strides=1,stem.pool=none"
BASE = f"custom@depths=2-2,widths=4-8,strides=1-2,{STEM},input=1x8x8,head=10,zero_init=false"
V1 = f"{BASE},block=basic"
V2 = f"{BASE},block=basic-v2,stem.activated=false"
SCALED = f"{V2},shortcut.gate=scale,shortcut.scale=0.5"
GATED = f"{V1},shortcut.gate=exclusive,shortcut.gate_bias=-1"
ATTENTIVE = f"{BASE},block=bottleneck,attention=se,shortcut=D"
NORM_AFTER = f"{BASE},block=basic-bn-after"
DESIGNS = [
    V1,
    V2,
    SCALED,
    GATED,
    ATTENTIVE,
    NORM_AFTER,
    f"{V2},drop_path=0.4",
    V1.replace("zero_init=false", "zero_init=true"),
]


def network(design: str, seed: int = 0, dtype: torch.dtype = torch.float64):
    torch.manual_seed(seed)
    return otoyol.nn.build(design, dtype=dtype)


def batch(images: int = 6, seed: int = 1, dtype: torch.dtype = torch.float64):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(images, 1, 8, 8, generator=generator, dtype=dtype)
    return x, torch.randint(0, 10, (images,), generator=generator)


def blocks(model):
    return [(f"stages.{s}.{b}", block) for s, stage in enumerate(model.stages) for b, block in enumerate(stage)]
