"""Singular values against the whole Jacobian of autograd, decomposed."""

from __future__ import annotations

import pytest
import torch
from _tiny import GATED, V1, V2, batch, blocks, network

from otoyol.probe import jacobian as module
from otoyol.probe import singular_values, snapshot


def whole(block, x):
    """svd of dy/dx, row by row from torch; a value for each dimension of x."""
    found = torch.linalg.svdvals(torch.autograd.functional.jacobian(block, x).reshape(-1, x.numel()))
    return torch.cat([found, found.new_zeros(x.numel() - len(found))])


@pytest.mark.parametrize("design", [V1, V2, GATED])
@pytest.mark.parametrize("index", [1, 2])
def test_estimates_bound_the_true_values(design, index):
    _, block = blocks(network(design))[index]
    x = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    true = whole(block, x)
    rms = (true.square().sum() / x.numel()).sqrt().item()
    before = 0.0
    for steps in (1, 4, 16, 48):
        found = singular_values(block, x, steps)
        assert (found.method, found.steps) == ("golub-kahan", steps)
        assert before * (1 - 1e-9) <= found.largest <= true[0].item() * (1 + 1e-9)
        assert found.smallest >= true[-1].item() - 1e-9
        assert sum(found.weights) == pytest.approx(1)
        # the quadrature is exact for the mean square along the start
        assert sum(w * s * s for w, s in zip(found.weights, found.values, strict=True)) == pytest.approx(found.rms**2)
        before = found.largest
    assert found.largest == pytest.approx(true[0].item(), rel=1e-3)
    starts = [singular_values(block, x, 1, seed).rms ** 2 for seed in range(24)]
    error = (2 * true.pow(4).sum() / len(starts)).sqrt().item() / x.numel()  # of such a mean, for Gaussian starts
    assert sum(starts) / len(starts) == pytest.approx(rms**2, abs=4 * error)


@pytest.mark.parametrize("design", [V1, V2])
def test_small_blocks_are_decomposed_whole(design):
    _, block = blocks(network(design))[1]
    x = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    true = whole(block, x)
    found = singular_values(block, x)
    assert found.method == "svd"
    assert found.values == pytest.approx(true.tolist(), rel=1e-8, abs=1e-10)
    assert found.rms == pytest.approx((true.square().sum() / x.numel()).sqrt().item())


def test_all_steps_find_all_values(monkeypatch):
    monkeypatch.setattr(module, "EXACT", 0)
    _, block = blocks(network(V2))[1]
    x = torch.randn(1, 4, 3, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    found = singular_values(block, x, 36)
    true = whole(block, x)
    assert found.largest == pytest.approx(true[0].item(), rel=1e-6)
    assert found.smallest == pytest.approx(true[-1].item(), rel=1e-5, abs=1e-7)


def test_an_identity_has_nothing_but_ones():
    block = torch.nn.Identity()
    x = torch.randn(2, 4, 16, 16, dtype=torch.float64)
    block.forward = lambda x: x * 1.0
    found = singular_values(block, x, 8)
    assert (found.largest, found.smallest, found.steps) == (pytest.approx(1), pytest.approx(1), 1)


def test_a_snapshot_carries_them():
    figures = snapshot(network(V1), *batch(), jacobian_steps=3).blocks
    assert all(block.jacobian.steps == 3 and block.jacobian.largest > block.jacobian.rms for block in figures)
    assert snapshot(network(V1), *batch()).blocks[0].jacobian is None
