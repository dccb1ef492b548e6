"""Bytes against torch: what autograd saves, by hooks on saved tensors; what is alive, by following every storage."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from strategies import specs
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

import otoyol
from otoyol.cost import count, table
from otoyol.nn import build, memory_mode
from otoyol.ops import INPUT
from otoyol.ops.recompute import recomputed
from otoyol.spec import FAMILIES, Spec

BATCH = 2
ON_CPU = ("batch", "group", "frozen")  # torch's sync batch norm trains on accelerators only


def image(spec: Spec, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(BATCH, spec.input.channels, spec.input.height, spec.input.width, dtype=dtype)


def owned(model: nn.Module) -> set[int]:
    return {tensor.untyped_storage()._cdata for tensor in [*model.parameters(), *model.buffers()]}


def saved_bytes(model: nn.Module, x: torch.Tensor) -> int:
    """Bytes of distinct storages that autograd saves in one training forward, parameters and buffers aside."""
    ours, found, alive = owned(model), {}, []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in ours:
            found[storage._cdata] = storage.nbytes()
            alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model.train()(x)
    return sum(found.values())


class Alive(TorchDispatchMode):
    """Bytes of the storages that operators have made and nobody has dropped; ``peak`` is their largest sum."""

    def __init__(self, x: torch.Tensor, ignored: set[int]) -> None:
        super().__init__()
        self.ignored, self.bytes, self.now, self.peak = ignored, {}, 0, 0
        self.products: list[int] = []  # bytes alive while each product runs
        self.note(x)

    def note(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self.bytes and key not in self.ignored:
            self.bytes[key] = storage.nbytes()
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self.drop, key)

    def drop(self, key: int) -> None:
        self.now -= self.bytes.pop(key)

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        for tensor in tree_iter(out):
            if isinstance(tensor, torch.Tensor):
                self.note(tensor)
        if function is torch.ops.aten.mul.Tensor:
            self.products.append(self.now)
        return out


def followed(model: nn.Module, x: torch.Tensor) -> Alive:
    with torch.no_grad(), Alive(x, owned(model)) as alive:
        model.eval()(x)
    return alive


def peak_bytes(model: nn.Module, x: torch.Tensor) -> int:
    return followed(model, x).peak


def held_bytes(model: nn.Module, x: torch.Tensor) -> int:
    """Bytes that the graph of one training forward keeps alive, whatever it holds them in: parameters and buffers
    aside."""
    with Alive(x, owned(model)) as alive:
        node = model.train()(x).grad_fn
    assert node is not None
    return alive.now


def agree_with_torch(spec: Spec) -> None:
    model, x, cost = build(spec), image(spec), count(spec, batch=BATCH)
    assert cost.train_bytes == saved_bytes(model, x)
    memory_mode(model, "lean")
    assert cost.train_bytes_lean == held_bytes(model, x)
    memory_mode(model, "standard")
    assert cost.weight_bytes == sum(p.numel() * p.element_size() for p in model.parameters())
    # A frozen norm folds its four vectors into two while it runs: the one thing that the peak leaves out.
    folded = 2 * 4 * max((op.c_out for op in otoyol.lower(spec).ops if op.detail == "frozen"), default=0)
    assert cost.peak_inference_bytes <= peak_bytes(model, x) <= cost.peak_inference_bytes + folded


@settings(max_examples=120)
@given(specs(norms=ON_CPU, max_size=24, max_width=16))
def test_random_specs_hold_torchs_bytes(spec: Spec) -> None:
    agree_with_torch(spec)


SMALL = {"cifar": "depths=2-3-2,input=3x9x12", "wrn": "depths=1-2-1,widths=16-32-64,input=3x9x12"}


@pytest.mark.parametrize("name", FAMILIES)
def test_families_hold_torchs_bytes(name: str) -> None:
    """Every family, its images small and its stages shortened to one, two, two and one blocks."""
    small = SMALL.get(name.partition("_")[0], "input=3x33x47" if name == "custom" else "depths=1-2-2-1,input=3x33x47")
    agree_with_torch(otoyol.parse(f"{name}@{small}"))


@pytest.mark.parametrize("name", ["resnet50", "resnetv2_50", "seresnet50"])
def test_whole_families_hold_torchs_bytes(name: str) -> None:
    agree_with_torch(otoyol.parse(f"{name}@input=3x64x64"))


@pytest.mark.parametrize(
    "choices",
    [
        "block=/conv1/norm.act,depths=1",  # the peak stands behind the addition: x, shortcut, sum and its norm
        "block=/conv1/norm.act,depths=1,act=silu",
        "block=/conv1/,shortcut=C,shortcut.gate=exclusive",  # both products, both gates, both paths
        "block=/conv1/,shortcut=C,shortcut.gate=shortcut-only",
        "block=norm.act/conv1/,shortcut.reads=preact",
        "block=/conv1/,attention=se,attention.reduction=1,input=3x1x1",  # vectors as large as maps
        "block=/conv1/,attention=cbam",
        "block=/conv3/,shortcut=D,dilations=2,dilation_first=same,widths=8,stem.widths=64",  # a padded copy
        "head=1000,input=3x1x1",  # the logits are the largest tensor
        "block=norm.act/conv1/,head=1000,input=3x1x1",
    ],
)
def test_blocks_whose_peak_stands_elsewhere(choices: str) -> None:
    base = "custom@widths=24,depths=2,strides=1,stem.kernels=1,stem.widths=16,stem.strides=1,stem.pool=none,expansion=1"
    fields = dict(pair.split("=", 1) for pair in choices.split(","))
    spec = otoyol.edit(otoyol.parse(base), {"input": "3x9x7", "head": "5", **fields})
    agree_with_torch(spec)


@pytest.mark.parametrize("choices", ["shortcut.gate=exclusive", "shortcut.gate=shortcut-only", "attention=se"])
def test_what_is_alive_at_every_product(choices: str) -> None:
    spec = otoyol.parse(f"cifar_resnet110b@depths=2-1-1,input=3x9x12,{choices}")
    products = [row.cost.peak_inference_bytes for row in table(spec, batch=BATCH) if row.op.kind == "mul"]
    assert followed(build(spec), image(spec)).products == products


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
@pytest.mark.parametrize("name", ["resnet18", "resnet50_gn", "resnetv2_50d"])
def test_other_dtypes_hold_torchs_bytes(name: str, dtype: str) -> None:
    spec = otoyol.parse(f"{name}@depths=1-2-1-1,input=3x32x48")
    model = build(spec).to(getattr(torch, dtype))
    cost = count(spec, batch=BATCH, dtype=dtype)
    assert cost.train_bytes == saved_bytes(model, image(spec, getattr(torch, dtype)))
    assert cost.train_bytes == held_bytes(model, image(spec, getattr(torch, dtype)))
    memory_mode(model, "lean")
    assert cost.train_bytes_lean == held_bytes(model, image(spec, getattr(torch, dtype)))
    assert cost.peak_inference_bytes == peak_bytes(model, image(spec, getattr(torch, dtype)))


def test_lean_training_of_a_bottleneck_by_hand() -> None:
    # One pre-activation bottleneck 16 → 4 → 4 → 16 behind a bare 3×3 stem, 8×8 pixels, one image, no head.
    spec = otoyol.parse(
        "cifar_resnetv2_164@depths=1,widths=4,stem.widths=16,stem.activated=false,input=3x8x8,head.classes=0,head.pool=none"
    )
    pixels = 8 * 8
    cost = count(spec)
    image_, x, inner, y = 3 * pixels, 16 * pixels, 4 * pixels, 16 * pixels
    statistics = 2 * (16 + 4 + 4 + 16)  # norm1 on x, norm1 and norm2 inside, the final norm on y
    # Plain: the image; x; the activations before each convolution; the inputs of the two inner norms; y; the last act.
    assert cost.train_bytes == 4 * (image_ + x + (16 + 4 + 4) * pixels + 2 * inner + y + y + statistics)
    # Lean: each norm → act holds the norm's input alone; the network's output is its caller's anyway.
    assert cost.train_bytes_lean == 4 * (image_ + x + 2 * inner + y + y + statistics)


V2 = {"preact.norm1", "preact.act1", "branch.norm1", "branch.act1", "branch.norm2", "branch.act2"}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        # The addition overwrites the last norm, the post act the sum; nothing reads the shortcut's norm in backward.
        ("resnet50", {"branch.norm1", "branch.act1", "branch.norm2", "branch.act2", "shortcut.norm"}),
        # A gate multiplies the last norm's output, which its norm can make again.
        (
            "seresnet50",
            {"branch.norm1", "branch.act1", "branch.norm2", "branch.act2", "branch.norm3", "shortcut.norm"},
        ),
        ("resnetv2_50", V2),
        ("resnetv2_50@shortcut=D", V2),  # a pool reads the preact slot besides
        ("resnetv2_50@norm=group", V2),
        ("resnet50@norm=frozen", set()),
        ("resnet50@norm=frozen,act=silu", {"branch.act1", "branch.act2"}),  # each holds its input
        ("resnet50@norm=sync", set()),
        ("resnet50@block=norm/conv3.act.conv3/norm.act,expansion=1", {"preact.norm1"}),
    ],
)
def test_what_lean_training_computes_again(text: str, names: set[str]) -> None:
    ops = [op for op in otoyol.lower(otoyol.parse(text)).ops if (op.stage, op.block) == (1, 0)]
    start = otoyol.lower(otoyol.parse(text)).ops.index(ops[0])
    block = [op._replace(inputs=tuple(i - start if i >= start else INPUT for i in op.inputs)) for op in ops]
    again = {op.name.removeprefix("stages.1.0.") for op, flag in zip(block, recomputed(block), strict=True) if flag}
    assert again == names


def test_what_was_computed_again_is_let_go_though_the_graph_is_kept() -> None:
    spec = otoyol.parse("resnetv2_50@depths=1-1-1-1,input=3x64x64")
    model, x, weights = build(spec, lean=True), image(spec), []
    with Alive(x, owned(model)) as alive:
        loss = model.train()(x).sum()
        held_before = alive.now
        weights += torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)
        weights.clear()
        assert alive.now == held_before


def test_lean_is_about_half_of_a_preactivation_net_and_less_of_v1() -> None:
    # A v2 block of bottleneck widths (4w, w, w): plain holds 4w + w + w twice over, lean once: a half; v1 keeps its
    # block outputs (4w) and last norm inputs (4w): (4 + 4 + 1 + 1) of (4 + 4 + 2 + 2).
    v2, v1 = count(otoyol.family("cifar_resnetv2_1001")), count(otoyol.family("cifar_resnet1001b"))
    assert v2.train_bytes_lean / v2.train_bytes == pytest.approx(1 / 2, abs=0.02)
    assert v1.train_bytes_lean / v1.train_bytes == pytest.approx(10 / 12, abs=0.01)


def test_peak_of_a_plain_block_by_hand() -> None:
    # ResNet-50 at 224: the stem's 64·112·112 conv output, the pool's 64·56·56 output and its int64 indices, the image.
    stem = 4 * (3 * 224 * 224 + 64 * 112 * 112 + 64 * 56 * 56) + 8 * 64 * 56 * 56
    rows = {row.op.name: row.cost for row in table(otoyol.family("resnet50"))}
    assert rows["stem.pool"].peak_inference_bytes == stem
    # Stage 1, block 1, third convolution: the image, the stage's input (64), x (256), 64 in, 256 out, at 56².
    later = 4 * (3 * 224 * 224 + (64 + 256 + 64 + 256) * 56 * 56)
    assert rows["stages.0.1.branch.conv3"].peak_inference_bytes == later
    assert count(otoyol.family("resnet50")).peak_inference_bytes == max(
        cost.peak_inference_bytes for cost in rows.values()
    )
