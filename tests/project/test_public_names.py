"""The public names, pinned. After a change that is meant: OTOYOL_WRITE_GOLDEN=1 python -m pytest on this file."""

from __future__ import annotations

import importlib
import inspect
import os
from pathlib import Path

import pytest

import otoyol

GOLDEN = Path(__file__).with_name("public_names.txt")
MODULES = (
    "otoyol", "otoyol.spec", "otoyol.ops", "otoyol.cost", "otoyol.cost.conventions", "otoyol.audit", "otoyol.explain",
    "otoyol.draw", "otoyol.report", "otoyol.search", "otoyol.measure", "otoyol.nn", "otoyol.weights", "otoyol.check",
    "otoyol.proxy", "otoyol.data", "otoyol.data.check", "otoyol.detect", "otoyol.train", "otoyol.trials",
    "otoyol.probe", "otoyol.deploy", "otoyol.design", "otoyol.share", "otoyol.serve", "otoyol.web",
)  # fmt: skip


def public_names() -> str:
    lines = []
    for name in MODULES:
        module = importlib.import_module(name)
        lines += [f"{name}.{public}" for public in sorted(module.__all__)]
    return "\n".join(lines) + "\n"


def test_the_public_names_are_those_on_record() -> None:
    if os.environ.get("OTOYOL_WRITE_GOLDEN"):
        GOLDEN.write_text(public_names())
    assert public_names() == GOLDEN.read_text()


@pytest.mark.parametrize("line", GOLDEN.read_text().split())
def test_every_public_name_is_there_and_told_of(line: str) -> None:
    module, _, name = line.rpartition(".")
    thing = getattr(importlib.import_module(module), name)
    if inspect.isclass(thing) or inspect.isfunction(thing):
        assert (thing.__doc__ or "").strip(), f"{line} has no docstring"


def test_names_that_the_package_does_not_have() -> None:
    with pytest.raises(AttributeError, match="no attribute 'flops'"):
        otoyol.flops  # noqa: B018
    assert set(dir(otoyol)) >= {*otoyol.__all__, "__version__"}


def test_what_the_documentation_calls() -> None:
    """The calls that the issue of this package's making asked for, by name."""
    spec = otoyol.parse("resnet18")
    assert otoyol.lower(spec).taps[-1].name == "C5"
    assert otoyol.cost.count(spec).params == 11_689_512  # torchvision's ResNet18_Weights.meta["num_params"]
    assert callable(otoyol.cost.count_batch)
    assert callable(otoyol.nn.build)
    assert callable(otoyol.weights.load)
