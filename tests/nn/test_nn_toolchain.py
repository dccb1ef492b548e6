"""Torch's tools over the modules: FX, export, compile, memory formats, dtypes, copies, checkpoints."""

from __future__ import annotations

import copy
import io
import pickle
import shutil

import pytest
import torch
from _designs import SMALL, image, randomise
from torch import fx, nn

import otoyol
from otoyol import nn as onn

FEW = (
    "resnet18@depths=1-1,widths=8-16,head=5",
    "resnetv2_50d@depths=1-1,widths=8-16,attention=cbam,attention.place=spatial,head=5",
    "cifar_resnet110_exclusive@depths=1-1,widths=16-32,drop_path=0.2",
    "resnet18@depths=1-1,widths=8-16,norm=frozen,act=silu,head=5",
)


def built(text, **options):
    model = randomise(onn.build(text, **options)).eval()
    return model, image(model.spec, dtype=next(model.parameters()).dtype)


@pytest.mark.parametrize("text", SMALL)
def test_fx_traces_to_the_same_numbers_and_parameters(text):
    model, x = built(text)
    traced = fx.symbolic_trace(model)
    assert torch.equal(traced(x), model(x))
    assert traced.state_dict().keys() == model.state_dict().keys()
    features = onn.build(model.spec.model_copy(update={"head": {"classes": 0, "pool": "none"}}), features_only=True)
    assert len(fx.symbolic_trace(features.eval())(x)) == len(features.tap_channels)


@pytest.mark.parametrize(("text", "strict"), [*((text, False) for text in FEW), (FEW[0], True)])
def test_export_with_any_batch_height_and_width(text, strict):
    model, x = built(text)
    free = torch.export.Dim.DYNAMIC  # raises where a size would be fixed
    program = torch.export.export(model, (x,), dynamic_shapes=({0: free, 2: free, 3: free},), strict=strict)
    for size in ((3, 47, 64), (5, 64, 33)):
        y = torch.randn(size[0], x.shape[1], *size[1:])
        torch.testing.assert_close(program.module()(y), model(y))


@pytest.mark.parametrize("text", FEW[1:3])
def test_compile_forward_and_backward(text):
    model, x = built(text.replace(",drop_path=0.2", ""))
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    expected = torch.autograd.grad(model(x).square().sum(), [p for p in model.parameters() if p.requires_grad])
    y = compiled(x)
    torch.testing.assert_close(y, model(x))
    got = torch.autograd.grad(y.square().sum(), [p for p in model.parameters() if p.requires_grad])
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    torch._dynamo.reset()


def test_compiled_taps():
    model, x = built("resnetv2_18@depths=1-1,widths=8-16", features_only=True)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    for a, b in zip(compiled(x), model(x), strict=True):
        torch.testing.assert_close(a, b)
    torch._dynamo.reset()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None and shutil.which("clang++") is None, reason="inductor needs a compiler")
def test_compile_with_inductor():
    block = randomise(onn.block("bottleneck-v2", c_in=8, width=4, stride=2)).eval()
    x = torch.randn(2, 8, 9, 9)
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(block, fullgraph=True)(x), block(x), rtol=1e-4, atol=1e-4)
    torch._dynamo.reset()


@pytest.mark.parametrize("text", SMALL)
def test_channels_last_gives_the_same_numbers(text):
    model, x = built(text, dtype=torch.float64)
    expected = model(x)
    model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    torch.testing.assert_close(model(x), expected)
    if model.spec.shortcut.kind != "A":  # appended channels decide their own format
        assert model.forward_features(x).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (31, 32), (33, 65), (2, 129)])
@pytest.mark.parametrize("text", [SMALL[2], SMALL[8], "cifar_resnet20@depths=1-1-1", SMALL[28]])
def test_odd_sizes_halve_upwards(text, size):
    model, _ = built(text)
    x = image(model.spec, 1, size)
    for name, tap in model.forward_taps(x).items():
        stride = model.tap_strides[name]
        assert tap.shape[2:] == (-(-size[0] // stride), -(-size[1] // stride)), name
    assert torch.isfinite(model(x)).all()


@pytest.mark.parametrize("text", SMALL)
def test_copies_pickles_and_state_dicts(text):
    model, x = built(text)
    expected = model(x)
    assert torch.equal(copy.deepcopy(model)(x), expected)
    again = pickle.loads(pickle.dumps(model))
    assert torch.equal(again(x), expected)
    assert again.spec == model.spec
    fresh = onn.build(model.spec).eval()
    fresh.load_state_dict(model.state_dict(), strict=True)
    assert torch.equal(fresh(x), expected)


def test_weights_only_files_suffice():
    model, x = built("resnetv2_18@head=5")
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    fresh = onn.build(model.spec).eval()
    fresh.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(fresh(x), model(x))


@pytest.mark.parametrize("text", SMALL)
def test_meta_then_filled_in(text):
    model, x = built(text)
    meta = onn.build(text, device="meta")
    assert all(tensor.is_meta for tensor in meta.state_dict().values())
    meta.load_state_dict(model.state_dict(), assign=True)
    assert torch.equal(meta.eval()(x), model(x))


def test_autocast():
    model, x = built("resnet18@norm=frozen,head=5")
    with torch.autocast("cpu", torch.bfloat16):
        y = model(x)
    assert y.dtype is torch.bfloat16
    torch.testing.assert_close(y.float(), model(x), rtol=0.1, atol=0.2)


@pytest.mark.parametrize("text", [SMALL[0], SMALL[7], SMALL[8]])
def test_checkpointing_keeps_gradients_and_moves_statistics_once(text):
    model, x = built(text, dtype=torch.float64)
    other = copy.deepcopy(model).train()
    model.train().set_grad_checkpointing()
    for step in range(2):
        torch.manual_seed(step)
        model(x).square().sum().backward()
        torch.manual_seed(step)
        other(x).square().sum().backward()
    for (name, a), b in zip(model.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    for (name, a), b in zip(model.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-9, atol=1e-9, msg=name)
    model.set_grad_checkpointing(False)
    assert not any(stage.checkpointing for stage in model.stages)


def test_checkpointing_holds_less():
    def held(model):
        sizes, weights = {}, {p.data_ptr() for p in model.parameters()}
        pack = lambda t: (t.data_ptr() in weights or sizes.setdefault(t.data_ptr(), t.numel())) and t  # noqa: E731
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            model(x)
        return sum(sizes.values())

    model, x = built("resnet50@depths=1-2-2-1,widths=8-16-24-32,stem.widths=8,head=5")
    plain = held(model.train())
    model.set_grad_checkpointing()
    assert held(model) < 0.6 * plain


def test_modules_are_plain():
    model, _ = built("resnet50@depths=1-1-1-1")
    kinds = {type(module) for module in model.modules()}
    assert nn.Conv2d in kinds and nn.BatchNorm2d in kinds
    assert isinstance(model.spec, otoyol.Spec)
