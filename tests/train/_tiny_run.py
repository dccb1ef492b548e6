"""A training run small enough to be killed a thousand times: images, a network, a configuration, and the killing."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from otoyol.data import Images, load
from otoyol.spec import Input
from otoyol.train import loader, log, store
from otoyol.train import run as fitting
from otoyol.train.classification import Classification, ClassificationConfig
from otoyol.train.config import Recipe, Run
from otoyol.train.engine import Trainer
from otoyol.train.machine import connect
from otoyol.train.run import prepare
from otoyol.train.seeds import own_chance
from otoyol.train.signals import Stop

SPEC = "custom@input=1x8x8,stem=cifar,stem.widths=4,block=basic-v2,depths=1,widths=6,strides=2,head=10"
TIMES = ("seconds", "images_per_second")  # columns that no two runs share


def config(**changes: Any) -> ClassificationConfig:
    """Everything that has a state: momentum, average, running statistics, dropout, augmentation, schedule."""
    fields: dict[str, Any] = {
        "spec": SPEC + ",drop_path=0.3,head.dropout=0.2",
        "data": {"cache": True},
        "augment": {"crop": {"padding": 1}, "flip": 0.5},
        "mix": {"mixup": 0.3, "share": 0.5},
        "recipe": {"steps": 5, "batch": 8, "optimiser": {"lr": 0.05, "momentum": 0.9}, "ema": {"decay": 0.9}},
        "run": {"evaluate_every": 3, "log_every": 2, "tensorboard": False, "evaluation_batch": 5,
                "checkpoints": {"every_steps": 2}},
    }  # fmt: skip
    for path, value in changes.items():
        part, _, name = path.partition("__")
        if name:
            fields[part] = {**fields.get(part, {}), name: value}
        else:
            fields[part] = value
    return ClassificationConfig(**fields)


class Tiny(Classification):
    """Eighteen digits to learn from, so that an epoch ends amid a batch, and eight of them to judge by."""

    @cached_property
    def _images(self) -> tuple[Images, Images]:
        images = load("digits", Input(channels=1, height=8, width=8), "train")
        return images.take(range(18)), images.take(range(8))


class Outcome:
    """All that a run leaves behind, to the bit."""

    def __init__(self, trainer: Trainer) -> None:
        self.tensors = {f"model.{name}": value.clone() for name, value in trainer.model.state_dict().items()}
        if trainer.average is not None:
            self.tensors |= {f"average.{name}": value.clone() for name, value in trainer.average.values.items()}
        for number, state in trainer.optimiser.state_dict()["state"].items():
            self.tensors |= {f"{name}.{number}": v.clone() for name, v in state.items() if torch.is_tensor(v)}
        self.rows = rows(trainer.folder)
        state, best = trainer.state, trainer.folder / "best.safetensors"
        self.tensors |= {f"best.{name}": value for name, value in load_file(best).items()} if best.exists() else {}
        self.plain = (state.metrics, state.best, state.left_out, state.nan_steps, state.updates)

    def differences(self, other: Outcome) -> list[str]:
        if self.tensors.keys() != other.tensors.keys():
            return ["keys"]
        found = [name for name, value in self.tensors.items() if not torch.equal(value, other.tensors[name])]
        found += ["rows"] if self.rows != other.rows else []
        return found + (["figures"] if self.plain != other.plain else [])


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [{name: cell for name, cell in row.items() if name not in TIMES} for row in csv.DictReader(file)]


def train(config: ClassificationConfig, folder: Path, *, resume: bool = False, stop: Stop | None = None) -> Outcome:
    """fit() without its pictures, which take longer than everything else."""
    with own_chance():
        trainer, content = prepare(config, folder, stop or Stop(), resume=resume, task=opened(config))
        trainer.train(content)
    return Outcome(trainer)


@cache
def opened_as(text: str) -> Tiny:
    return Tiny(ClassificationConfig(**json.loads(text)))


def opened(config: ClassificationConfig) -> Tiny:
    """A task keeps nothing of a run, so runs share one."""
    return opened_as(json.dumps(config.model_dump(mode="json")))


@cache
def engine(run: str, recipe: str) -> Any:
    return connect(Run.model_validate_json(run), Recipe.model_validate_json(recipe))


def quickened(patch: Callable[[Any, str, Any], None]) -> None:
    """One engine for all runs of a configuration, versions asked for once, no YAML, no waiting for the disk."""
    known = fitting.versions()
    patch(fitting, "connect", lambda run, recipe: engine(run.model_dump_json(), recipe.model_dump_json()))
    patch(fitting, "versions", lambda: known)
    patch(fitting, "write_start", lambda folder, _: (folder / "config.yaml").touch())
    patch(fitting, "write_config", lambda folder, _: (folder / "config.yaml").touch())
    patch(store.os, "fsync", lambda _: None)


class Killed(BaseException):
    """What no code of ours may catch and go on from."""


class Killer:
    """Counts the moments at which a run can die, and dies at number ``at`` and at every later one: what would clean up
    after an exception is not there after a kill -9 either."""

    def __init__(self, at: int = 0) -> None:
        self.at, self.count = at, 0

    def moment(self) -> None:
        self.count += 1
        if self.at and self.count >= self.at:
            raise Killed


@contextmanager
def killing(killer: Killer, patch: Callable[[Any, str, Any], None]) -> Iterator[None]:
    """Moments before and after everything that changes the model or the disk; writes die in their middle too."""

    writes = [0]

    def around(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            killer.moment()
            found = real(*args, **kwargs)
            killer.moment()
            return found

        patch(owner, name, wrapped)

    def write(self: Any, data: Any) -> int:
        data = memoryview(data)
        self._file.write(data[: len(data) // 2])
        writes[0] += 1
        if writes[0] % 41 == 0:  # a checkpoint is hundreds of writes; other moments matter as much
            killer.moment()
        self._file.write(data[len(data) // 2 :])
        self.sha256.update(data)
        return len(data)

    def row(self: Any, cells: Any) -> None:
        text = ",".join(map(str, cells)) + "\n"
        self._file.write(text[: len(text) // 2].encode())
        self._file.flush()
        killer.moment()
        self._file.write(text[len(text) // 2 :].encode())
        self._file.flush()

    around(Trainer, "_step")
    around(Classification, "loss")
    around(torch.optim.SGD, "step")
    around(Trainer, "_settle")
    around(Trainer, "_save")
    around(loader.Reader, "__getitems__")
    around(store.Store, "_forget")
    around(store.os, "fsync")
    around(fitting, "save_weights")
    around(Path, "replace")
    around(Path, "unlink")
    patch(store._Digesting, "write", write)
    patch(log.Log, "_write", row)
    yield


def kill_points(total: int, count: int, seed: int) -> list[list[int]]:
    """``count`` lists of one to three moments: where the run dies, where its resumption dies, and so on."""
    chance = random.Random(seed)
    return [[chance.randint(1, total) for _ in range(chance.choice((1, 1, 2, 3)))] for _ in range(count)]
