"""The short training against torch's own words: one step by hand, seeds, what stops it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from otoyol import nn as own
from otoyol.data import batches, load
from otoyol.errors import OtoyolError
from otoyol.spec import Input, parse
from otoyol.train import Step, accuracy, constant, cosine, train_steps

TINY = "cifar_resnet20@widths=4-8-16,depths=1-1-1,input=3x8x8,stem.widths=4,head=10"


def linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False))


def ones() -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield torch.ones(1, 1, 1, 2), torch.tensor([0])


def test_two_steps_by_hand() -> None:
    """Logits 0: the loss is ln 2 and the weights' gradient is softmax − one-hot: ∓1/2. Momentum adds 0.9 of it."""
    model = linear()
    weight = model[1].weight
    nn.init.zeros_(weight)
    steps = train_steps(model, ones(), steps=2, lr=0.1, weight_decay=0.0)
    assert next(steps) == Step(1, pytest.approx(math.log(2)))
    torch.testing.assert_close(weight.data, torch.tensor([[0.05, 0.05], [-0.05, -0.05]]))
    second = next(steps)
    z = 0.2  # the difference of the logits, 2 × (0.05 + 0.05)
    assert second.loss == pytest.approx(math.log(1 + math.exp(-z)))
    push = 0.9 * 0.5 + 1 / (1 + math.exp(z))
    assert weight.data[0, 0].item() == pytest.approx(0.05 + 0.1 * push)
    assert list(steps) == []


def test_schedules() -> None:
    assert {constant(step, 100) for step in range(100)} == {1.0}
    values = [cosine(step, 100) for step in range(100)]
    assert values[:5] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6]) and values[5] == 1.0
    assert values[5:] == sorted(values[5:], reverse=True) and 0 < values[-1] < 0.001
    assert cosine(52, 99) == pytest.approx(0.5 * (1 + math.cos(math.pi * 48 / 95)))
    assert cosine(0, 1) == 1.0


def run(seed: int, disturb: bool = False) -> list[float]:
    torch.manual_seed(0)
    model = own.build(parse(TINY + ",drop_path=0.5"))
    images = load("digits", Input(channels=3, height=8, width=8), "train")
    losses = []
    for step in train_steps(model, batches(images, 16, seed=seed), steps=4, lr=0.05, seed=seed):
        losses.append(step.loss)
        if disturb:
            torch.rand(17)
    return losses


def test_a_seed_decides_the_run() -> None:
    assert run(1) == run(1, disturb=True)
    assert run(1) != run(2)


def test_a_loss_that_is_not_finite_stops_and_names_the_step() -> None:
    def broken() -> Iterator[tuple[Tensor, Tensor]]:
        good, label = next(ones())
        yield from [(good, label), (good, label), (good * float("nan"), label)]

    model = linear()
    with pytest.raises(OtoyolError, match="nan at step 3"):
        list(train_steps(model, broken(), steps=9, lr=0.1))
    assert torch.isfinite(model[1].weight).all()  # the step was not taken


def test_batches_that_end_too_early() -> None:
    with pytest.raises(OtoyolError, match="after step 2 of 3"):
        list(train_steps(linear(), itertools.islice(ones(), 2), steps=3, lr=0.1))


def test_digits_are_learnt_and_counted() -> None:
    torch.manual_seed(0)
    model = own.build(parse(TINY))
    size = Input(channels=3, height=8, width=8)
    images, tests = load("digits", size, "train"), load("digits", size, "test")
    before = accuracy(model, tests)
    for _ in train_steps(model, batches(images, 64), steps=45, lr=0.1, schedule=cosine):
        pass
    after = accuracy(model, tests)
    assert before < 0.3 and after > 0.7 and model.training
    with torch.inference_mode():
        x = torch.stack([x for x, _ in tests])
        right = (model.eval()(x).argmax(1) == torch.tensor(tests.labels)).sum().item()
    assert after == right / 360 and accuracy(model, tests, batch=7) == after and not model.training
