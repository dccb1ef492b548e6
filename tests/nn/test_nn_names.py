"""Module paths and shapes are the operators' names and shapes."""

from __future__ import annotations

import pytest
import torch
from _designs import SMALL, image
from hypothesis import given, settings
from strategies import specs

import otoyol
from otoyol import nn as onn
from otoyol.ops import Op
from otoyol.spec import FAMILIES, Spec

ORDER = ("stem", "preact", "branch", "attention", "shortcut", "post", "final", "tap", "head")


def tensors_of(op: Op) -> dict[str, tuple[int, ...]]:
    """What torch's documentation says each layer holds."""
    if op.kind in ("conv", "linear"):
        weight = (op.c_out, op.c_in // op.groups, op.kernel, op.kernel) if op.kind == "conv" else (op.c_out, op.c_in)
        return {"weight": weight} | ({"bias": (op.c_out,)} if op.bias else {})
    if op.kind == "conv1d":
        return {"weight": (1, 1, op.kernel)}
    if op.kind == "norm":
        names = {"group": 2, "frozen": 4, "batch": 5, "sync": 5}[op.detail]
        kinds = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")[:names]
        return {kind: () if kind == "num_batches_tracked" else (op.c_in,) for kind in kinds}
    return {}


def expected(spec: Spec) -> dict[str, tuple[int, ...]]:
    """In the order of the network, inside a block by slot (attention counts as one)."""
    ops = otoyol.lower(spec).ops

    def place(op: Op) -> tuple[int, int, int]:
        inside = op.stage if op.stage >= 0 else (-1 if op.slot == "stem" else 99)
        return inside, op.block, ORDER.index(op.slot)

    found = {}
    for op in sorted((op for op in ops if tensors_of(op)), key=place):
        for leaf, shape in tensors_of(op).items():
            found.setdefault(f"{op.name}.{leaf}", shape)
    return found


def actual(model: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_the_names_shapes_and_order_of_its_operators(family):
    spec = otoyol.family(family)
    with torch.device("meta"):
        model = onn.build(spec)
    assert list(actual(model).items()) == list(expected(spec).items())


@settings(max_examples=40)
@given(specs(max_width=16, max_depth=2))
def test_random_specs_have_the_names_shapes_and_order_of_their_operators(spec):
    model = onn.build(spec, device="meta")
    assert list(actual(model).items()) == list(expected(spec).items())
    assert model.spec == spec


@settings(max_examples=40)
@given(specs(max_width=16, max_depth=2, max_size=24))
def test_random_specs_run_forward_and_backward_with_the_operators_shapes(spec):
    model = onn.build(spec)
    x = torch.randn(2, spec.input.channels, spec.input.height + 8, spec.input.width + 8)
    spec = spec.model_copy(update={"input": f"{spec.input.channels}x{x.shape[2]}x{x.shape[3]}"})
    ops, taps = otoyol.lower(spec)
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name):
        def hook(module, args, y):
            shapes[name] = tuple(y.shape)

        return hook

    for name, module in model.named_modules():
        module.register_forward_hook(note(name))
    y = model(x)
    for op in ops:
        if op.name in shapes and op.kind in ("conv", "norm", "act", "maxpool", "avgpool", "subsample", "pad"):
            assert shapes[op.name] == (2, op.c_out, op.h_out, op.w_out), op.name
    loss = y.square().sum()
    if loss.requires_grad:
        loss.backward()
    found = model.eval().forward_taps(x)
    assert {name: tuple(t.shape[1:]) for name, t in found.items()} == {
        tap.name: (tap.channels, tap.height, tap.width) for tap in taps
    }


@pytest.mark.parametrize("text", SMALL)
def test_layers_do_what_the_operators_say(text):
    model = onn.build(text)
    for op in otoyol.lower(model.spec).ops:
        if op.kind == "conv":
            conv = model.get_submodule(op.name)
            facts = (conv.kernel_size, conv.stride, conv.dilation, conv.groups, conv.bias is not None)
            assert facts == ((op.kernel,) * 2, (op.stride,) * 2, (op.dilation,) * 2, op.groups, op.bias), op.name
    assert torch.isfinite(model(image(model.spec))).all()
