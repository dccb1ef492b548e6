"""Norm kinds: frozen equals batch in eval mode, sync runs in one process, eps and momentum arrive."""

from __future__ import annotations

import pytest
import torch
from _designs import image, randomise
from torch import nn
from torchvision.ops import FrozenBatchNorm2d as TorchvisionFrozen

from otoyol import nn as onn

DESIGN = "resnet26d@widths=8-16-24-32,depths=1-1-1-1,attention=cbam,head=4"


@pytest.mark.parametrize("eps", ["0.00001", "0.01"])
def test_frozen_network_reads_a_batch_norm_checkpoint_and_equals_it(eps):
    batch = randomise(onn.build(f"{DESIGN},norm.eps={eps}", dtype=torch.float64)).eval()
    frozen = onn.build(f"{DESIGN},norm=frozen,norm.eps={eps}", dtype=torch.float64)
    frozen.load_state_dict(batch.state_dict(), strict=True)
    x = image(batch.spec, dtype=torch.float64)
    expected = batch(x)
    torch.testing.assert_close(frozen.train()(x), expected, rtol=1e-12, atol=1e-12)
    assert not any("norm" in name for name, _ in frozen.named_parameters())
    batch.load_state_dict(frozen.state_dict(), strict=False)  # and back, all but the counts


def test_frozen_layer_equals_torchvisions_and_its_own_formula():
    ours, theirs = randomise(onn.FrozenBatchNorm2d(6, eps=1e-2)), TorchvisionFrozen(6, eps=1e-2)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 6, 5, 4, requires_grad=True)
    y = ours(x)
    torch.testing.assert_close(y, theirs(x))
    (grad,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(grad[0, :, 0, 0], ours.weight / (ours.running_var + 1e-2).sqrt())


def test_frozen_holds_no_activation_for_backward():
    held = []
    x = torch.randn(2, 6, 5, 4, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: held.append(t.numel()) or t, lambda t: t):
        onn.FrozenBatchNorm2d(6)(x)
    assert max(held, default=0) <= 6


def test_frozen_keeps_low_precision():
    assert onn.FrozenBatchNorm2d(6)(torch.randn(1, 6, 3, 3, dtype=torch.bfloat16)).dtype is torch.bfloat16


def test_sync_equals_batch_in_one_process():
    batch, sync = onn.build(DESIGN), onn.build(DESIGN + ",norm=sync")
    sync.load_state_dict(randomise(batch).state_dict())
    x = image(batch.spec)
    for training in (True, False):
        torch.testing.assert_close(sync.train(training)(x), batch.train(training)(x))
    assert any(isinstance(module, nn.SyncBatchNorm) for module in sync.modules())


def test_torchs_converter_leaves_a_working_network():
    model = randomise(onn.build(DESIGN)).eval()
    x = image(model.spec)
    expected = model(x)
    torch.testing.assert_close(nn.SyncBatchNorm.convert_sync_batchnorm(model)(x), expected)


@pytest.mark.parametrize("kind", ["batch", "sync"])
def test_eps_and_momentum_arrive_everywhere(kind):
    model = onn.build(f"{DESIGN},norm={kind},norm.eps=0.003,norm.momentum=0.05")
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(0.003, 0.05)}
    assert "stages.0.0.attention.spatial.norm" in dict(model.named_modules())


def test_group_norm():
    model = onn.build("resnet50@depths=1-1-1-1,widths=16-32-32-32,norm=group,norm.groups=16,norm.eps=0.002")
    norms = [module for module in model.modules() if isinstance(module, nn.GroupNorm)]
    assert {(norm.num_groups, norm.eps) for norm in norms} == {(16, 0.002)}
    x = image(model.spec, 3)
    torch.testing.assert_close(model(x)[:1], model(x[:1]), rtol=1e-4, atol=1e-4)  # no image sees another
