"""The parts of a step against torch's own, arithmetic, and each other."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from _tiny_run import SPEC, config, opened, train
from PIL import Image
from sklearn.metrics import average_precision_score, confusion_matrix, top_k_accuracy_score
from torch import nn
from torch.optim import lr_scheduler as schedulers

from otoyol.errors import SpecError
from otoyol.nn import build
from otoyol.train.augment import Mix, make_mix
from otoyol.train.classification import Classification
from otoyol.train.config import Optimiser, Recipe, Schedule
from otoyol.train.confusion import Confusion
from otoyol.train.ema import Average
from otoyol.train.freeze import freeze, frozen_params, hold
from otoyol.train.optim import make_optimiser
from otoyol.train.pictures import sheet
from otoyol.train.schedule import factor, warm_steps

STEPS = 40


def torch_s(make: Any) -> list[float]:
    """The learning rates that a scheduler of torch gives over the steps, from a peak of 1."""
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimiser)
    found = []
    for _ in range(STEPS):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return found


def warmed(make: Any, warm: int) -> Any:
    def both(optimiser: Any) -> Any:
        rise = schedulers.LinearLR(optimiser, start_factor=1 / (warm + 1), total_iters=warm)
        return schedulers.SequentialLR(optimiser, [rise, make(optimiser)], milestones=[warm])

    return both


PEERS: dict[str, tuple[dict[str, Any], Any]] = {
    "constant": ({"name": "constant", "warmup": 0}, lambda o: schedulers.ConstantLR(o, 1.0)),
    "cosine": ({"warmup": 0}, lambda o: schedulers.CosineAnnealingLR(o, STEPS)),
    "cosine, warm, floor": (
        {"warmup": 0.1, "floor": 0.05}, warmed(lambda o: schedulers.CosineAnnealingLR(o, STEPS - 4, eta_min=0.05), 4),
    ),
    "poly": ({"name": "poly", "warmup": 0, "power": 2.0}, lambda o: schedulers.PolynomialLR(o, STEPS, power=2.0)),
    "poly, warm steps": ({"name": "poly", "warmup": 3}, warmed(lambda o: schedulers.PolynomialLR(o, STEPS - 3), 3)),
    "multistep": (
        {"name": "multistep", "warmup": 0, "milestones": [0.5, 0.75], "gamma": 0.2},
        lambda o: schedulers.MultiStepLR(o, [20, 30], gamma=0.2),
    ),
    "onecycle": (
        {"name": "onecycle", "rise": 0.25},
        lambda o: schedulers.OneCycleLR(o, 1.0, total_steps=STEPS + 1, pct_start=0.25, cycle_momentum=False),
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:The epoch parameter")
@pytest.mark.parametrize("name", PEERS)
def test_schedules_are_torch_s(name: str) -> None:
    fields, peer = PEERS[name]
    steps = STEPS + 1 if name == "onecycle" else STEPS  # torch's one step more than it is asked to take
    ours = [factor(Schedule(**fields), step, steps) for step in range(STEPS)]
    assert ours == pytest.approx(torch_s(peer), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(("given", "expected"), [(0.0, 0), (0.05, 2), (0.9999, 39), (7, 7), (100, 39)])
def test_a_warm_up_is_a_share_or_a_number_of_steps(given: float, expected: int) -> None:
    assert warm_steps(Schedule(warmup=given), STEPS) == expected


@pytest.mark.parametrize("warm", [False, True])
def test_the_average_is_the_formula(warm: bool) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).double()
    average = Average(model, 0.9, warm)
    expected = {name: value.clone() for name, value in model.state_dict().items()}
    for update in range(5):
        model(torch.randn(4, 3).double())
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        average.update(update)
        decay = min(0.9, (1 + update) / (10 + update)) if warm else 0.9
        for name, value in model.state_dict().items():
            old = expected[name]
            expected[name] = decay * old + (1 - decay) * value if value.is_floating_point() else value.clone()
    for name, value in average.values.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-12, atol=1e-12)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with average.swapped():
        assert all(torch.equal(value, average.values[name]) for name, value in model.state_dict().items())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_mixup_by_hand() -> None:
    torch.manual_seed(7)
    images, labels = torch.rand(4, 1, 5, 5, dtype=torch.float64), torch.tensor([2, 0, 1, 2])
    x, target = make_mix(Mix(mixup=0.4), 3)(images, labels)
    one_hot = nn.functional.one_hot(labels, 3).double()
    share = (x - images.roll(1, 0))[0, 0, 0, 0] / (images - images.roll(1, 0))[0, 0, 0, 0]
    assert 0 < share < 1
    torch.testing.assert_close(x, share * images + (1 - share) * images.roll(1, 0))
    torch.testing.assert_close(target, share * one_hot + (1 - share) * one_hot.roll(1, 0), rtol=1e-6, atol=1e-6)


def test_cutmix_by_hand() -> None:
    torch.manual_seed(3)
    images, labels = torch.rand(4, 1, 8, 8), torch.tensor([2, 0, 1, 2])
    x, target = make_mix(Mix(cutmix=1.0), 3)(images, labels)
    kept = (x == images).double().mean((1, 2, 3))
    assert torch.equal(torch.where(x == images, images, images.roll(1, 0)), x) and 0 < kept[0] < 1
    one_hot = nn.functional.one_hot(labels, 3).double()
    expected = kept[:, None] * one_hot + (1 - kept[:, None]) * one_hot.roll(1, 0)
    torch.testing.assert_close(target.double(), expected, rtol=1e-6, atol=1e-6)


def test_a_share_of_the_batches_is_mixed() -> None:
    mixed = make_mix(Mix(mixup=1.0, cutmix=1.0, share=0.5), 3)
    images, labels = torch.rand(4, 1, 8, 8), torch.tensor([2, 0, 1, 2])
    torch.manual_seed(0)
    changed = sum(not torch.equal(mixed(images, labels)[0], images) for _ in range(200))
    assert 70 < changed < 130
    assert make_mix(Mix(), 3)(images, labels) == (images, labels)


def test_label_smoothing_is_the_papers() -> None:
    """Szegedy et al. 2015, 1512.00567, section 7: (1 - ε) of the label, ε spread over all classes."""
    task = opened(config(label_smoothing=0.1, mix={}, data={"mean": [0.0], "std": [1.0]}))
    batch = (torch.randint(0, 256, (6, 1, 8, 8), dtype=torch.uint8), torch.tensor([1, 2, 3, 4, 5, 0]))
    model = build(task.config.spec, num_classes=10).eval()
    log = model(batch[0].float() / 255).log_softmax(1)
    target = 0.9 * nn.functional.one_hot(batch[1], 10) + 0.1 / 10
    torch.testing.assert_close(task.loss(model, batch).total, -(target * log).sum(1).mean())


def test_accumulation_is_the_whole_batch(tmp_path: Path) -> None:
    """In float64, without batch norm, augmentation and chance: the same steps to rounding."""
    given = {"spec": f"{SPEC},norm=group,norm.groups=2", "augment": {}, "mix": {}, "recipe__precision": "64-true"}
    whole = train(config(**given), tmp_path / "whole")
    for parts in (3, 5):
        split = train(config(**given, recipe__accumulate=parts), tmp_path / str(parts))
        for name, value in whole.tensors.items():
            torch.testing.assert_close(split.tensors[name], value, rtol=1e-9, atol=1e-12)


def test_one_step_is_plain_torch(tmp_path: Path) -> None:
    """The first two steps in float64 against a loop of plain torch: gradient, clipping, decay, schedule, momentum."""
    chosen = config(augment={}, mix={}, spec=SPEC, recipe__steps=2, recipe__precision="64-true", recipe__clip=0.3,
                    recipe__ema=None, recipe__optimiser={"lr": 0.1, "momentum": 0.9, "nesterov": True,
                                                         "weight_decay": 0.01})  # fmt: skip
    ours = train(chosen, tmp_path)
    task: Classification = opened(chosen)
    from otoyol.train.order import keys
    from otoyol.train.seeds import seed_of

    torch.manual_seed(seed_of("model", 0))
    model = task.build().model.double()
    decayed = [p for p in model.parameters() if p.ndim > 1]
    free = [p for p in model.parameters() if p.ndim <= 1]
    optimiser = torch.optim.SGD([{"params": decayed, "weight_decay": 0.01}, {"params": free, "weight_decay": 0.0}],
                                lr=0.1, momentum=0.9, nesterov=True)  # fmt: skip
    for step in range(2):
        for group in optimiser.param_groups:
            group["lr"] = 0.1 * (1.0 if step == 0 else 0.5)  # half a cosine over two steps, no warm-up in so few
        images, labels = task.collate(
            [task.train.sample(key.sample) for key in keys(range(8 * step, 8 * step + 8), 18, 0)]
        )
        loss = nn.functional.cross_entropy(model(task.inputs(images, model)), labels)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.3)
        optimiser.step()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(ours.tensors[f"model.{name}"], value, rtol=1e-9, atol=1e-12)


def test_norms_and_biases_are_not_pulled_at() -> None:
    model = build(SPEC)
    wanted = {id(p) for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear) for p in [m.weight]}
    pulled, free = make_optimiser(model, Optimiser(weight_decay=0.1)).param_groups
    assert {id(p) for p in pulled["params"]} == wanted and (pulled["weight_decay"], free["weight_decay"]) == (0.1, 0.0)
    assert len(pulled["params"]) + len(free["params"]) == len(list(model.parameters()))
    assert make_optimiser(model, Optimiser(weight_decay=0.1, decay_norms=True)).param_groups[1]["weight_decay"] == 0.1


@pytest.mark.parametrize("name", ["adam", "adamw", "nadam", "radam", "rmsprop", "adagrad", "adadelta", "adamax"])
def test_torch_s_optimisers_by_name(name: str) -> None:
    made = make_optimiser(nn.Linear(2, 2), Optimiser(name=name, lr=0.01))
    assert type(made).__name__.lower() == name and made.param_groups[0]["lr"] == 0.01


def test_values_that_torch_refuses() -> None:
    with pytest.raises(SpecError, match=r"recipe\.optimiser.*Nesterov"):
        make_optimiser(nn.Linear(2, 2), Optimiser(nesterov=True))


def test_freezing_by_name(tmp_path: Path) -> None:
    chosen = config(freeze=["stem", "stages.0"])
    torch.manual_seed(0)
    model = build(SPEC)
    assert freeze(model, ["stem", "stages.0"]) == ("stem", "stages.0")
    frozen = [p for name in ("stem", "stages.0") for p in model.get_submodule(name).parameters()]
    assert frozen_params(model) == sum(p.numel() for p in frozen) > 0
    hold(model, ("stages.0",))
    assert model.training and not any(m.training for m in model.stages[0].modules())
    for names, words in ((["layer9"], "paths of submodules, such as stem, stages"), ([""], "empty name")):
        with pytest.raises(SpecError, match=words):
            freeze(build(SPEC), names)
    with pytest.raises(SpecError, match="something to learn"):
        freeze(build(SPEC), [name for name, _ in model.named_children()])
    from otoyol.train.seeds import seed_of

    torch.manual_seed(seed_of("model", 0))
    fresh = copy.deepcopy(opened(chosen).build().model.state_dict())
    after = train(chosen, tmp_path).tensors
    for name, value in fresh.items():
        assert torch.equal(after[f"model.{name}"], value) == name.startswith(("stem", "stages.0")), name


def test_the_confusion_matrix_is_scikit_learn_s() -> None:
    torch.manual_seed(1)
    logits, labels = torch.randn(50, 7), torch.randint(0, 7, (50,))
    whole, parts = (Confusion([str(n) for n in range(7)], lambda x, _: x) for _ in range(2))
    whole.update(nn.Identity(), (logits, labels))
    others = []
    for cut in (slice(0, 3), slice(3, 30), slice(30, 50)):  # uneven batches on three ranks
        rank = Confusion(whole.classes, lambda x, _: x)
        rank.update(nn.Identity(), (logits[cut], labels[cut]))
        others.append(rank.state())
    parts.merge(others)
    assert torch.equal(whole.counts, parts.counts)
    assert whole.compute() == pytest.approx(parts.compute(), rel=1e-12)
    assert whole.counts.tolist() == confusion_matrix(labels, logits.argmax(1), labels=range(7)).tolist()
    scores = logits.softmax(1).numpy()
    found = whole.compute()
    assert found["top5"] == pytest.approx(top_k_accuracy_score(labels, scores, k=5, labels=range(7)))
    assert found["loss"] == pytest.approx(nn.functional.cross_entropy(logits.double(), labels).item(), rel=1e-12)
    assert found["accuracy"] == pytest.approx((logits.argmax(1) == labels).double().mean().item())
    empty = Confusion(["a", "b"], lambda x, _: x)
    assert empty.compute()["accuracy"] != empty.compute()["accuracy"]
    assert empty.by_class()[0]["recall"] is None


@pytest.mark.parametrize("ranks", [1, 3])
def test_precision_over_recall_is_scikit_learn_s(ranks: int) -> None:
    torch.manual_seed(2)
    labels = torch.randint(0, 4, (600,))
    logits = torch.randn(600, 4) + 2 * nn.functional.one_hot(labels, 4)
    whole = Confusion("abcd", lambda x, _: x)
    states = []
    for part in torch.arange(600).chunk(ranks):
        rank = Confusion("abcd", lambda x, _: x)
        rank.update(nn.Identity(), (logits[part], labels[part]))
        states.append(rank.state())
    whole.merge(states)
    own, scores = nn.functional.one_hot(labels, 4).numpy(), logits.double().softmax(1).numpy()
    expected = [average_precision_score(own[:, number], scores[:, number]) for number in range(4)]
    assert [whole.precision(number).ap for number in range(4)] == pytest.approx(expected, abs=4e-3)
    micro = whole.precision()
    assert micro.ap == pytest.approx(average_precision_score(own, scores, average="micro"), abs=4e-3)
    assert float(micro.recall[-1]) == 1 and float(micro.precision[-1]) == 0.25  # everything is taken for each class
    assert Confusion("abcd", lambda x, _: x).precision(0).ap != 0  # NaN


def test_the_sheet_shows_wrong_predictions_first(tmp_path: Path) -> None:
    labels = torch.arange(40) % 3
    taken = labels.clone()
    taken[[5, 17, 30]] = (labels[[5, 17, 30]] + 1) % 3
    images = torch.arange(40, dtype=torch.uint8)[:, None, None, None].expand(40, 1, 8, 8)
    logits = 4.0 * nn.functional.one_hot(taken, 3)

    class Sure(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return logits[x[:, 0, 0, 0].long()]

    ranks = [Confusion(("ab", "cd", "ef"), lambda x, _: x) for _ in range(2)]
    for rank, half in zip(ranks, (slice(0, 20), slice(20, 40)), strict=True):
        rank.update(Sure(), (images[half], labels[half]))
    ranks[0].merge([rank.state() for rank in ranks])
    seen = ranks[0].shown()
    assert [int(one.image[0, 0, 0]) for one in seen] == [5, 17, 30, 0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13]
    assert [(one.label, one.taken) for one in seen[:3]] == [(2, 0), (2, 0), (0, 1)]
    assert seen[0].score == pytest.approx(math.exp(4) / (math.exp(4) + 2))
    sheet(seen, ("ab", "cd", "ef"), tmp_path)
    with Image.open(tmp_path / "predictions.png") as page:
        assert page.width > 4 * 96 and page.height > 4 * 96  # four rows of four


def test_the_length_of_a_run() -> None:
    assert Recipe(epochs=2.5, batch=8).total_steps(18) == 6  # 45 samples
    assert Recipe(steps=3).total_steps(18) == 3
    assert Recipe(epochs=0.01, batch=8).total_steps(18) == 1
