"""Scores against arithmetic by hand, against their definitions, and against gradients taken another way."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from otoyol.errors import SpecError
from otoyol.nn import build
from otoyol.nn.block import ResidualBlock
from otoyol.proxy import SCORES, batch_for, grad_norm, highway, naswot, score, synflow
from otoyol.spec import parse

TINY = "cifar_resnet20@depths=1-1-1,widths=16-16-16,input=3x16x16,head.classes=4"


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(3)
    return torch.randn(6, 3, 16, 16, generator=generator), torch.arange(6) % 4


def test_synflow_of_a_linear_chain_by_hand():
    """R = 1ᵀ|W2||W1|1. Σ|θ·∂R/∂θ| is R for each layer (Tanaka et al. 2020, its conservation law), so 2R in all.
    |W1| = [[1, 2], [3, 0]], |W2| = [[1, 4]]: W1·1 = (3, 3), W2·(3, 3) = 15, in all 30."""
    chain = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        chain[0].weight.copy_(torch.tensor([[1.0, -2.0], [-3.0, 0.0]]))
        chain[1].weight.copy_(torch.tensor([[-1.0, 4.0]]))
    assert synflow(chain, (torch.randn(5, 2), torch.zeros(5, dtype=torch.long))) == pytest.approx(
        math.log(30), abs=1e-12
    )


def test_synflow_of_a_residual_stage_by_path_counting():
    """One block y = x + W·x of one channel, |W| = w, behind and before nothing: R = 1 + w, of which θ·∂R/∂θ is w."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 1, bias=False)
            self.norm = nn.BatchNorm2d(1)

        def forward(self, x):
            return x + self.norm(self.conv(x))

    block = Block()
    nn.init.constant_(block.conv.weight, -0.25)
    nn.init.constant_(block.norm.weight, 0.0)  # a norm at gain 0 would hide the branch if it were not left out
    assert synflow(block, (torch.zeros(2, 1, 1, 1), torch.zeros(2))) == pytest.approx(math.log(0.25), abs=1e-12)


def test_naswot_by_hand():
    """Codes of three images over four activations: 1100, 1010, 0011. Pairs agree in 4 - Hamming distance:
    K = [[4, 2, 0], [2, 4, 2], [0, 2, 4]], det K = 4·(16 - 4) - 2·(8 - 0) = 32."""
    images = torch.tensor([[1.0, 1, -1, -1], [1, -1, 1, -1], [-1, -1, 1, 1]])
    net = nn.Sequential(nn.ReLU(inplace=True))
    assert naswot(net, (images.clone(), torch.zeros(3))) == pytest.approx(math.log(32), abs=1e-12)
    twins = images[[0, 0, 1]]
    assert naswot(net, (twins, torch.zeros(3))) == -math.inf


def test_grad_norm_of_a_linear_classifier_by_hand():
    """Cross-entropy of Wx + b at W = 0, b = 0 over two classes: ∂L/∂logits = (p - y) / N with p = 1/2. One image x =
    (3, 4), label 0: ∂L/∂W = (-1/2, 1/2)ᵀxᵀ of norm 5·√(1/2), ∂L/∂b of norm √(1/2): in all 6·√(1/2)."""
    net = nn.Linear(2, 2)
    nn.init.zeros_(net.weight)
    nn.init.zeros_(net.bias)
    found = grad_norm(net, (torch.tensor([[3.0, 4.0]]), torch.tensor([0])))
    assert found == pytest.approx(6 * math.sqrt(0.5), rel=1e-6)


@pytest.mark.parametrize("block", ["basic", "basic-v2"])
def test_highway_is_the_ratio_of_gradients_taken_by_finite_differences(batch, block):
    """The network is cut at a block's input; the directional derivative of the rest's loss along the gradient that was
    found is its norm."""
    torch.manual_seed(0)
    model = build(parse(f"{TINY},block={block},zero_init=false")).double()
    images, labels = batch[0].double(), batch[1]
    blocks = [m for m in model.modules() if isinstance(m, ResidualBlock)]
    norms = []
    for cut in (0, len(blocks) - 1):
        rest = copy.deepcopy(model).train()
        place = [m for m in rest.modules() if isinstance(m, ResidualBlock)][cut]
        shift = {"by": None}

        def enter(_module, inputs, shift=shift):
            shift["x"] = inputs[0]
            return None if shift["by"] is None else (inputs[0] + shift["by"],)

        handle = place.register_forward_pre_hook(enter)

        def loss(by, rest=rest, shift=shift):
            shift["by"] = by
            return F.cross_entropy(rest(images), labels)

        with torch.no_grad():
            loss(None)
        zero = torch.zeros_like(shift["x"]).requires_grad_()
        (gradient,) = torch.autograd.grad(loss(zero), zero)
        direction = gradient / gradient.norm()
        with torch.no_grad():
            step = 1e-6
            slope = (loss(step * direction) - loss(-step * direction)) / (2 * step)
        assert float(slope) == pytest.approx(float(gradient.norm()), rel=1e-3)
        norms.append(float(slope))
        handle.remove()
    assert highway(model, (images, labels)) == pytest.approx(norms[0] / norms[1], rel=1e-3)


@pytest.mark.parametrize("name", SCORES)
def test_the_model_stays_as_it_was(name, batch):
    torch.manual_seed(1)
    model = build(parse(f"{TINY},block=basic-v2")).eval()
    before = copy.deepcopy(model.state_dict())
    first, again = (SCORES[name](model, batch) for _ in range(2))
    assert first == again and math.isfinite(first)
    assert not model.training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_scores_follow_the_seed_alone_and_leave_the_generator():
    specs = [parse(TINY), parse(f"{TINY},block=basic-v2")]
    torch.manual_seed(9)
    first = score(specs, list(SCORES), source="random", images=4, seed=5)
    drawn = torch.rand(3)
    torch.manual_seed(9)
    assert torch.equal(drawn, torch.rand(3))
    assert score(specs, list(SCORES), source="random", images=4, seed=5) == first
    assert score(specs[1:], list(SCORES), source="random", images=4, seed=5) == first[1:]
    assert score(specs, ["grad_norm"], source="random", images=4, seed=6) != [
        {"grad_norm": r["grad_norm"]} for r in first
    ]


def test_time_ends_and_what_is_refused():
    specs = [parse(TINY)] * 3
    assert score(specs, ["synflow"], source="random", images=2, seconds=-1) == [{"synflow": None}] * 3
    with pytest.raises(SpecError, match="grad_norm"):
        score(specs, ["accuracy"])
    with pytest.raises(SpecError, match=r"head\.classes"):
        batch_for(parse("cifar_resnet20@head.classes=0"))


def test_digits_are_shown():
    images, labels = batch_for(parse("cifar_resnet20@input=3x16x16,head.classes=4"), images=8)
    assert images.shape == (8, 3, 16, 16)
    assert len({tuple(np.round(row, 4)) for row in images.flatten(1).tolist()}) == 8
    assert set(labels.tolist()) <= {0, 1, 2, 3}
