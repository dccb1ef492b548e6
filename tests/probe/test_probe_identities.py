"""Eqs. 4, 5 and 8 hold where they should, fail where they should, and stay away where there is no identity."""

from __future__ import annotations

import pytest
import torch
from _tiny import GATED, NORM_AFTER, SCALED, V1, V2, batch, blocks, network

from otoyol.probe import stretches

DEEP = V2.replace("depths=2-2", "depths=4-3")


def test_pure_stretches_obey_equations_4_and_5():
    found = stretches(network(DEEP, dtype=torch.float32), *batch(dtype=torch.float32))
    # stem of as many channels as the first stage: its four blocks are identities, then those behind the projection
    assert [(s.first, s.last, s.length, s.factor) for s in found] == [
        ("stages.0.0", "stages.0.3", 4, 1.0),
        ("stages.1.1", "stages.1.2", 2, 1.0),
    ]
    assert all(s.forward < 1e-14 and s.backward < 1e-13 for s in found)


def test_scaled_stretches_obey_equation_8():
    found = stretches(network(SCALED.replace("depths=2-2", "depths=4-3")), *batch())
    assert [s.factor for s in found] == [0.5**4, 0.5**2]
    assert all(s.forward < 1e-14 and s.backward < 1e-13 for s in found)


def test_the_direct_term_with_all_branches_silent_is_everything():
    """With F = 0 the gradient at any depth is the last one (Eq. 5)."""
    model = network(DEEP)
    for _, block in blocks(model):
        torch.nn.init.zeros_(list(block.branch)[-1].weight)
    for stretch in stretches(model, *batch()):
        assert stretch.direct_share == pytest.approx(1, abs=1e-12)


def test_something_on_the_path_shows():
    model = network(DEEP)
    model.stages[0][2].register_forward_hook(lambda module, x, y: y * 1.01)
    first, second = stretches(model, *batch())
    assert first.forward > 1e-4 and first.backward > 1e-4
    assert second.forward < 1e-14


@pytest.mark.parametrize("design", [V1, GATED, NORM_AFTER])
def test_no_identity_no_stretch(design):
    assert stretches(network(design), *batch()) == ()


def test_stochastic_depth_draws_the_same_twice():
    found = stretches(network(f"{DEEP},drop_path=0.5"), *batch())
    assert len(found) == 2 and all(s.forward < 1e-14 and s.backward < 1e-13 for s in found)
