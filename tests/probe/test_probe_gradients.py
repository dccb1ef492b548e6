"""Gradients against plain hooks, finite differences and hand arithmetic; the model as it was."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from _tiny import BASE, DESIGNS, V1, V2, batch, blocks, network

from otoyol.nn import memory_mode
from otoyol.probe import snapshot, stretches
from otoyol.probe.gradient import run_pass
from otoyol.probe.place import copied


def hooked(model, images, labels):
    """(x, dE/dx, y, dE/dy) of every block by tensors' own hooks, on a deep copy."""
    twin = copy.deepcopy(model)
    kept = {}

    def watch(name):
        def hook(module, arguments, y):
            kept[name] = [arguments[0].detach().clone(), None, y.detach().clone(), None]
            arguments[0].register_hook(lambda grad: kept[name].__setitem__(1, grad.clone()))
            y.register_hook(lambda grad: kept[name].__setitem__(3, grad.clone()))

        return hook

    for name, block in blocks(twin):
        block.register_forward_hook(watch(name))
    with torch.random.fork_rng():
        F.cross_entropy(twin(images), labels).backward()
    return twin, kept


@pytest.mark.parametrize("design", DESIGNS)
def test_norms_and_signals_are_those_of_plain_hooks(design):
    model, (images, labels) = network(design), batch()
    found = snapshot(model, images, labels)
    twin, kept = hooked(model, images, labels)
    parts = dict(blocks(twin))
    assert found.problem is None and len(found.blocks) == 4
    for block in found.blocks:
        x, grad_x, y, grad_y = kept[block.name]
        assert block.grad_in == pytest.approx(grad_x.norm().item(), rel=1e-9)
        assert block.grad_out == pytest.approx(grad_y.norm().item(), rel=1e-9)
        assert block.mean_in == pytest.approx(x.mean().item(), abs=1e-12)
        assert block.var_in == pytest.approx(x.numpy().var(), rel=1e-9)
        assert block.var_out == pytest.approx(y.numpy().var(), rel=1e-9)
        weights = [p for p in parts[block.name].parameters() if p.dim() > 1]
        assert block.weight_grad == pytest.approx(sum(p.grad.square().sum().item() for p in weights) ** 0.5, rel=1e-9)
        assert block.weight_norm == pytest.approx(sum(p.square().sum().item() for p in weights) ** 0.5, rel=1e-9)
        if x.shape == y.shape:
            assert block.cosine == pytest.approx(F.cosine_similarity(x.flatten(), y.flatten(), dim=0).item(), rel=1e-9)
        else:
            assert block.cosine is None


@pytest.mark.parametrize("design", DESIGNS)
def test_the_two_parts_make_up_the_gradient(design):
    """‖s + f‖² = ‖s‖² + ‖f‖² + 2 cos ‖s‖‖f‖ is dE/dx of the whole network, to rounding."""
    for block in snapshot(network(design), *batch()).blocks:
        cross = 2 * (block.grad_cosine or 0.0) * block.skip_grad * block.branch_grad
        assert block.skip_grad**2 + block.branch_grad**2 + cross == pytest.approx(block.grad_in**2, rel=1e-9)
        along = (block.skip_grad**2 + cross / 2) / block.grad_in**2
        assert block.skip_share == pytest.approx(along, rel=1e-8)


def test_what_the_skip_carries_by_hand():
    """v2: dE/dx through an identity is dE/dy itself. v1: what the last ReLU lets through of it."""
    images, labels = batch()
    for design, mask in ((V2, lambda y: torch.ones_like(y)), (V1, lambda y: (y > 0).double())):
        model = network(design)
        _, kept = hooked(model, images, labels)
        for block in snapshot(model, images, labels).blocks:
            if block.block:  # the later blocks of a stage have identity shortcuts
                _, _, y, grad_y = kept[block.name]
                assert block.skip_grad == pytest.approx((grad_y * mask(y)).norm().item(), rel=1e-12)


@pytest.mark.parametrize("design", [V1, V2, f"{BASE},block=bottleneck,attention=se"])
def test_gradients_are_finite_differences(design):
    """(E(x + hd) - E(x - hd)) / 2h along random directions d, at every block's input."""
    model, (images, labels) = network(f"{design},act=silu"), batch()
    passages = run_pass(copied(model), images, labels).passages
    generator = torch.Generator().manual_seed(5)
    step = 1e-5
    for (_, block), passage in zip(blocks(model), passages, strict=True):
        direction = torch.randn(passage.x.shape, generator=generator, dtype=torch.float64)
        losses = []
        for sign in (1, -1):
            handle = block.register_forward_pre_hook(lambda _, x, s=sign, d=direction: (x[0] + s * step * d, *x[1:]))
            losses.append(F.cross_entropy(model(images), labels).item())
            handle.remove()
        slope = (losses[0] - losses[1]) / (2 * step)
        assert slope == pytest.approx((passage.grad_x * direction).sum().item(), rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_as_before(training):
    model, (images, labels) = network(f"{V2},drop_path=0.4").train(training), batch()
    F.cross_entropy(model(images), labels).backward()
    before = copy.deepcopy(model.state_dict())
    grads = {name: (p.grad, p.grad.clone()) for name, p in model.named_parameters()}
    state = torch.get_rng_state()
    with torch.no_grad():
        first = snapshot(model, images, labels, jacobian_steps=2)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    for name, p in model.named_parameters():
        assert p.grad is grads[name][0] and torch.equal(p.grad, grads[name][1])
    assert model.training is training and all(m.training is training for m in model.modules())
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in model.modules())
    assert snapshot(model, images, labels, jacobian_steps=2) == first
    assert first.mode == ("train" if training else "eval")


@pytest.mark.parametrize("mode", ["lean", "checkpoint", "sqrt", "lean+checkpoint", "lean+sqrt"])
def test_saving_memory_changes_nothing(mode):
    """Whatever is computed again in backward, every figure is the same, bit for bit."""
    images, labels = batch(dtype=torch.float32)
    for design in DESIGNS if mode == "lean" else (V1, f"{V2},drop_path=0.4"):
        found = []
        for chosen in ("standard", mode):
            model = network(design, dtype=torch.float32)
            memory_mode(model, chosen)
            found.append((snapshot(model, images, labels, jacobian_steps=2), stretches(model, images, labels)))
            assert model.memory == chosen
        assert found[0] == found[1]
        assert found[0][0].blocks[0].grad_in > 0
