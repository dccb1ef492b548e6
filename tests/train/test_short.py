"""The short training against torch's own words: one step by hand, seeds, what stops it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from otoyol import nn as own
from otoyol.data import batches, load
from otoyol.errors import OtoyolError
from otoyol.spec import Input, parse
from otoyol.train import ShortTraining, Step, accuracy, constant, cosine, train_steps

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


def test_a_trial_judges_on_training_images_that_it_does_not_train_on() -> None:
    training = ShortTraining("digits", steps=4, judged=50, batch=8)
    train, judges = training._images(parse(TINY))
    assert len(train) == 1149 and len(judges) == 50  # 1,437 training digits: 288 held out, 50 of them asked
    everything = {f"digits[{index}]" for index in range(1437)}
    assert not set(train.names) & set(judges.names) and {*train.names, *judges.names} < everything
    assert set(judges.labels) == set(range(10))
    index = train.names.index("digits[6]")
    whole = load("digits", Input(channels=3, height=8, width=8), "train")
    assert torch.equal(train[index][0], whole[6][0]) and train[index][1] == whole[6][1]


def test_a_trial_s_identity_knows_the_images_and_not_their_folder(tmp_path: Path) -> None:
    def identity(folder: str, names: str) -> dict[str, object]:
        for kind in ("cat", "dog"):
            (tmp_path / folder / "pets" / kind).mkdir(parents=True)
            for name in names:
                Image.new("L", (4, 4)).save(tmp_path / folder / "pets" / kind / f"{name}.png")
        return ShortTraining(str(tmp_path / folder / "pets"), steps=1, batch=2).identity()

    here, moved, more = identity("here", "abcd"), identity("moved", "abcd"), identity("more", "abcde")
    assert here == moved and here["images"] == 6
    assert {key for key in here if here[key] != more[key]} == {"images", "images_sha256"}


def test_a_trial_in_bf16_computes_products_in_it_and_updates_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's own dtypes in the model while it trains: autocast casts products, and nothing else may change."""
    products: set[torch.dtype] = set()
    others: set[torch.dtype] = set()

    def watched(model: nn.Module, given: object, *, steps: int, **rest: object) -> Iterator[Step]:
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(lambda _, __, out: products.add(out.dtype))
        yield from train_steps(model, given, steps=steps, lr=0.1)  # type: ignore[arg-type]
        others.update(value.dtype for value in model.state_dict().values() if value.is_floating_point())
        others.add(model(torch.zeros(2, 3, 8, 8)).dtype)

    monkeypatch.setattr("otoyol.train.trial.train_steps", watched)
    ((step, reached),) = ShortTraining("digits", 4, reports=1, judged=50, precision="bf16-mixed")(TINY)
    assert step == 4 and 0 <= reached <= 1
    assert products == {torch.bfloat16} and others == {torch.float32}


def test_memory_that_does_not_suffice_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(error: str) -> None:
        def raises(*_: object, **__: object) -> None:
            raise RuntimeError(error)

        monkeypatch.setattr("otoyol.train.trial.train_steps", raises)

    training = ShortTraining("digits", steps=4)
    exhausted("[enforce fail at alloc_cpu.cpp:119] . DefaultCPUAllocator: can't allocate memory: you tried")
    with pytest.raises(OtoyolError, match="not enough memory for batches of 64"):
        list(training(TINY))
    exhausted("a bug")
    with pytest.raises(RuntimeError, match="a bug"):
        list(training(TINY))
