"""Memory modes change what is held, and no bit of what is computed."""

from __future__ import annotations

import copy
import pickle
import warnings
import weakref

import pytest
import torch
from _designs import SMALL, image, randomise
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import otoyol
from otoyol import nn as onn
from otoyol.nn import lean
from otoyol.ops.recompute import MODES

ON_CPU = [text for text in SMALL if "norm=sync" not in text]  # torch's sync batch norm trains on accelerators only
V1 = "resnet50@widths=8-16-24-32,depths=2-1-1-1,head=5"
V2 = "resnetv2_50@widths=8-16-24-32,depths=2-1-1-1,head=5"
SE = "seresnet18@widths=8-16-24-32,head=5,drop_path=0.2"
OTHERS = [mode for mode in MODES if mode != "standard"]


def pair(text, mode, **options):
    plain = randomise(onn.build(text, **options))
    other = copy.deepcopy(plain)
    onn.memory_mode(other, mode)
    return plain, other, image(plain.spec, size=(17, 22), dtype=options.get("dtype", torch.float32))


def trained(model, x, steps=3, accumulate=1):
    """Losses, gradients, parameters and buffers of some steps of SGD with momentum."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    found = []
    for number in range(steps):
        optimizer.zero_grad()
        for part in range(accumulate):
            torch.manual_seed(number * accumulate + part)  # stochastic depth and dropout
            loss = model(x).float().square().mean()
            loss.backward()
            found.append(loss.detach())
        optimizer.step()
    return [*found, *(p.grad for p in model.parameters()), *model.state_dict().values()]


def same(a, b):
    return len(a) == len(b) and all(p is q is None or torch.equal(p, q) for p, q in zip(a, b, strict=True))


@pytest.mark.parametrize("text", ON_CPU)
def test_ten_steps_of_lean_training_are_those_of_plain_training(text):
    plain, other, x = pair(text, "lean")
    assert same(trained(plain, x, 10), trained(other, x, 10))


@pytest.mark.parametrize("mode", [mode for mode in OTHERS if mode != "lean"])
@pytest.mark.parametrize("text", [V2, SE, ON_CPU[2]])
def test_other_modes_are_exact_too(text, mode):
    plain, other, x = pair(text, mode)
    assert same(trained(plain, x), trained(other, x))


@pytest.mark.parametrize("mode", ["lean"])
@pytest.mark.parametrize("act", ["silu", "gelu", "leaky_relu", "relu6", "hardswish"])
@pytest.mark.parametrize("base", [V1, V2])
def test_every_act(base, act, mode):
    plain, other, x = pair(f"{base},act={act}", mode)
    assert same(trained(plain, x, 1), trained(other, x, 1))


class Calls(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.append(function.overloadpacket.__name__)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("text", [V1, V2, SE])
def test_lean_training_runs_no_convolution_twice(text):
    plain, other, x = pair(text, "lean")
    counts = []
    for model in (plain, other):
        with Calls() as calls:
            model(x).sum().backward()
        counts.append({name: calls.names.count(name) for name in ("convolution", "convolution_backward", "addmm")})
    assert counts[0] == counts[1]
    assert counts[0]["convolution"] == sum(isinstance(module, nn.Conv2d) for module in plain.modules())


@pytest.mark.parametrize("mode", ["lean", "checkpoint", "lean+sqrt"])
@pytest.mark.parametrize("text", [V1, V2])
def test_gradient_accumulation_and_channels_last(text, mode):
    plain, other, x = pair(text, mode)
    assert same(trained(plain, x, 2, accumulate=2), trained(other, x, 2, accumulate=2))
    plain, other, x = pair(text, mode)
    x = x.to(memory_format=torch.channels_last)
    plain, other = (model.to(memory_format=torch.channels_last) for model in (plain, other))
    assert same(trained(plain, x, 2), trained(other, x, 2))


@pytest.mark.parametrize("mode", ["lean", "checkpoint", "lean+sqrt"])
@pytest.mark.parametrize("text", [V1, V2, V2 + ",norm=group,norm.groups=8"])
@pytest.mark.parametrize("inside", [False, True])
def test_autocast(text, mode, inside):
    plain, other, x = pair(text, mode)
    found = []
    for model in (plain, other):
        with torch.autocast("cpu", torch.bfloat16):
            y = model(x)
            if inside:
                y.float().square().mean().backward()
        assert y.dtype is torch.bfloat16
        if not inside:
            y.float().square().mean().backward()
        found.append([y.detach(), *(p.grad for p in model.parameters()), *model.buffers()])
    assert same(*found)


@pytest.mark.parametrize("mode", OTHERS)
def test_parts_that_do_not_train(mode):
    """A frozen stem, and norms that keep to their running statistics, as in fine-tuning."""
    plain, other, x = pair(V2, mode)
    for model in (plain, other):
        model.stem.requires_grad_(False)
        model.stages[0].requires_grad_(False)
        for module in model.stages[1].modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
    assert same(trained(plain, x, 2), trained(other, x, 2))


@pytest.mark.parametrize("mode", OTHERS)
@pytest.mark.parametrize("text", [V1, V2, SE])
@pytest.mark.parametrize("later", [True, False])
def test_a_change_of_training_mode_before_backward_changes_no_gradient(text, mode, later):
    """Plain autograd has its graph and asks no module again. One norm is frozen at first, so that flags differ."""
    plain, other, x = pair(text, mode)
    found = []
    for model in (plain, other):
        frozen = next(module for module in model.stages[1].modules() if isinstance(module, nn.BatchNorm2d))
        frozen.eval()
        torch.manual_seed(3)  # stochastic depth
        loss = model(x).square().mean()
        model.train(later)
        frozen.train()
        flags = [module.training for module in model.modules()]
        loss.backward()
        assert [module.training for module in model.modules()] == flags
        found.append([p.grad for p in model.parameters()] + list(model.buffers()))
    assert same(*found)


def test_a_graph_may_be_walked_twice_and_in_part():
    plain, other, x = pair(V2, "lean")
    found = []
    for model in (plain, other):
        loss = model(x).square().mean()
        last = list(model.stages[-1].parameters())
        part = torch.autograd.grad(loss, last, retain_graph=True)
        again = torch.autograd.grad(loss, last, retain_graph=True)
        assert same(part, again)
        found.append([*part, *torch.autograd.grad(loss, list(model.parameters()))])
    assert same(*found)


@pytest.mark.parametrize("text", [V1, V2])
def test_second_derivatives_of_lean_training(text):
    plain, other, x = pair(text, "lean", dtype=torch.float64)
    found = []
    for model in (plain, other):
        weights = list(model.parameters())
        first = torch.autograd.grad(model(x).square().mean(), weights, create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), weights, allow_unused=True)
        found.append([*(g.detach() for g in first), *second])
    for a, b in zip(*found, strict=True):
        assert a is b is None or torch.allclose(a, b, rtol=1e-9, atol=1e-12)


def test_second_derivatives_through_segments_are_refused():
    _, other, x = pair(V2, "checkpoint")
    with pytest.raises(otoyol.OtoyolError, match=r"second derivative.*memory_mode"):
        torch.autograd.grad(other(x).square().mean(), list(other.parameters()), create_graph=True)


@pytest.mark.parametrize("mode", OTHERS)
def test_taps_and_their_gradients(mode):
    plain = randomise(onn.build(V2, features_only=True))
    other, x = copy.deepcopy(plain), image(plain.spec)
    onn.memory_mode(other, mode)
    # A tap that a segment reads has three readers; which two of their gradients are added first is the segment's say.
    rounding = {"rtol": 0, "atol": 0} if mode == "lean" else {}
    found = []
    for model in (plain, other):
        taps = model(x)
        sum(tap.square().mean() for tap in taps).backward()
        found.append([*(tap.detach() for tap in taps), *(p.grad for p in model.parameters()), *model.buffers()])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, **rounding)


@pytest.mark.parametrize("mode", ["lean", "lean+checkpoint"])
def test_compiled_models_train_as_in_standard_mode(mode):
    """The compiler's partitioner decides itself what to hold: a tape would break its graph, so none is opened."""
    plain, other, x = pair("resnetv2_18@depths=1-1,widths=8-16,head=5", mode)
    compiled = torch.compile(other, backend="aot_eager", fullgraph=True)
    weights = list(plain.parameters())
    expected = torch.autograd.grad(plain(x).square().mean(), weights)
    got = torch.autograd.grad(compiled(x).square().mean(), list(other.parameters()))
    torch._dynamo.reset()
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mode", ["lean", "checkpoint", "lean+sqrt"])
def test_compiled_training_says_once_that_no_mode_saves(mode):
    model = onn.build("resnetv2_18@depths=1-1,widths=8-16,head=5")
    onn.memory_mode(model, mode)
    compiled, x = torch.compile(model, backend="aot_eager", fullgraph=True), image(model.spec)
    lean._warn_once.cache_clear()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with torch.no_grad():
            compiled(x)
        compiled.eval()(x)
        torch.export.export(model.train(), (x,))
        assert not said  # nothing is held for backward, or nobody trains
        for batch in (x, x[:1].repeat(3, 1, 1, 1)):  # another size is compiled again
            compiled.train()(batch).sum().backward()
    torch._dynamo.reset()
    (warning,) = said
    assert "torch.compile" in str(warning.message) and "activation_memory_budget" in str(warning.message)


def test_nothing_changes_outside_training(monkeypatch):
    plain, other, x = pair(V2, "lean+checkpoint")
    plain.eval(), other.eval()
    monkeypatch.setattr(lean.Tape, "__enter__", lambda self: pytest.fail("a tape was opened"))
    with torch.no_grad():
        assert torch.equal(plain(x), other(x))
    assert same(
        torch.autograd.grad(plain(x).sum(), list(plain.parameters())),
        torch.autograd.grad(other(x).sum(), list(other.parameters())),
    )
    with torch.no_grad():
        other.train()(x)


def test_modes_leave_names_and_hooks_as_they_were():
    model = onn.build(V2, lean=True)
    names = list(model.state_dict())
    assert names == list(onn.build(V2).state_dict())
    assert model.memory == "lean"
    again = pickle.loads(pickle.dumps(copy.deepcopy(model)))
    assert any(module._forward_hooks for module in again.modules())
    for mode in MODES:
        onn.memory_mode(again, mode)
        assert list(again.state_dict()) == names
    onn.memory_mode(again, "standard")
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in again.modules())
    with pytest.raises(otoyol.SpecError, match="memory"):
        onn.memory_mode(model, "leaner")


def test_hooks_of_others_see_what_they_saw():
    plain, other, x = pair(V2, "lean")
    found = []
    for model in (plain, other):
        seen = []
        for name in ("stages.0.1.preact", "stages.1.0.branch.norm2", "stages.2.0"):
            module = model.get_submodule(name)
            module.register_forward_hook(lambda module, args, y, seen=seen: seen.append(y.detach().clone()))
            module.register_full_backward_hook(lambda module, got, given, seen=seen: seen.append(given[0].clone()))
        try:
            model(x).sum().backward()
        except RuntimeError as error:  # torch forbids full backward hooks before in-place work
            seen.append(torch.tensor(len(str(error)) > 0))
        found.append(seen)
    assert same(*found)


def test_a_change_in_place_before_backward_is_noticed():
    _, other, x = pair(V2, "lean")
    loss = other(x).sum()
    with torch.no_grad():
        other.stages[0][0].branch.conv1.weight.add_(1)
    with pytest.raises(otoyol.OtoyolError, match="changed in place"):
        loss.backward()


def test_nothing_is_left_behind():
    _, other, x = pair(V2, "lean")
    seen = []
    other.stages[0][1].branch.conv1.register_forward_hook(
        lambda module, args, y: seen.append(weakref.ref(y.untyped_storage()))
    )
    loss = other(x).sum()
    assert seen[0]() is not None  # the norm behind it holds it
    loss.backward()
    assert seen[0]() is None


@pytest.mark.parametrize("mode", OTHERS)
def test_norms_that_were_converted_to_synchronised_ones(mode):
    """As training converts them, where the spec knows of batch norm; in one process they run on the CPU."""
    plain, _, x = pair(V2, "standard")
    plain = nn.SyncBatchNorm.convert_sync_batchnorm(plain)
    other = copy.deepcopy(plain)
    onn.memory_mode(other, mode)
    assert any(isinstance(module, nn.SyncBatchNorm) for module in other.modules())
    assert same(trained(plain, x), trained(other, x))


@pytest.mark.parametrize("mode", OTHERS)
def test_weights_that_blocks_share(mode):
    """One gate for all blocks of a width, as in DIANet."""

    class Gate(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(channels, 1, 1))

        def forward(self, x):
            return x * self.weight.sigmoid()

    made = {}
    text = "resnet18@widths=8-16-24-32,depths=3-1-1-1,head=5,attention=external"
    plain, other, x = pair(text, mode, attention=lambda channels: made.setdefault(channels, Gate(channels)))
    assert len(made) == 4
    # Sums over a segment's blocks come first in the gradient of what they share, which rounds otherwise.
    torch.testing.assert_close(trained(plain, x, steps=1), trained(other, x, steps=1), rtol=1e-4, atol=1e-6)
