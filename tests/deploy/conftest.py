"""Exports are slow: each kind of artifact is made once for all tests of a session."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

import otoyol
from otoyol.deploy.export import Exported, export_onnx

V1 = "resnet18@widths=8-8-16-16,head=10,input=1x32x32"
V2 = "resnetv2_50d@widths=8-8-8-8,depths=1-1-1-2,attention=se,head=5,input=3x48x40"
TAPPED = "resnet50d@widths=8-8-8-8,depths=1-1-1-1,input=3x48x48"
DIGITS = tuple(f"digit {i}" for i in range(10))


class Made(NamedTuple):
    model: torch.nn.Module
    exported: Exported


def made(folder: Path, text: str, **choices: Any) -> Made:
    """A network with norms of every sort of number, exported."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = otoyol.nn.build(text).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                for tensor, low in ((module.weight, 0.5), (module.running_var, 0.5), (module.bias, -0.5)):
                    tensor.copy_(torch.rand(tensor.shape, generator=generator) + low)
    return Made(model, export_onnx(model, folder / "model.onnx", **choices))


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return made(tmp_path_factory.mktemp("v1"), V1, classes=DIGITS)


@pytest.fixture(scope="session")
def unnamed(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return made(tmp_path_factory.mktemp("unnamed"), V1)


@pytest.fixture(scope="session")
def uint8(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return made(tmp_path_factory.mktemp("v2"), V2, layout="nhwc", dynamic_size=True)


@pytest.fixture(scope="session")
def taps(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return made(tmp_path_factory.mktemp("taps"), TAPPED, taps=("C2", "C4"), dynamic_size=True)
