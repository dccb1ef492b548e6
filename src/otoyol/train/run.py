"""fit(config, folder): a training run from its configuration to weights, figures and pictures."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from otoyol.errors import OtoyolError, SpecError
from otoyol.spec.files import json_text, write_text
from otoyol.train.config import Config, without_free
from otoyol.train.engine import Trainer
from otoyol.train.folder import (
    CHECKPOINTS,
    RESULT,
    close_folder,
    design,
    open_folder,
    save_weights,
    versions,
    write_config,
    write_start,
)
from otoyol.train.freeze import frozen_params
from otoyol.train.log import read_log
from otoyol.train.machine import agreed, connect, everyone, settings
from otoyol.train.progress import Stopped, Told
from otoyol.train.seeds import own_chance
from otoyol.train.signals import Stop, watched
from otoyol.train.store import Store
from otoyol.train.task import Task


class Start(NamedTuple):
    """What a listener is told before the first step. ``frozen``: paths that do not learn; ``frozen_params`` of
    ``params`` parameters. ``step``: where a resumed run goes on; ``damaged``: checkpoints that were passed over.
    ``changed``: packages, threads or ranks that differ from the run so far, with which its bits may differ too."""

    params: int
    frozen: tuple[str, ...]
    frozen_params: int
    step: int
    steps: int
    samples: int
    validation: int
    world: int
    damaged: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


class Fitted(NamedTuple):
    """``result``: what result.json holds, None on other ranks than the first and after a signal. ``status``: 0, or
    the exit status that tells of the signal. ``saved``: the step of the last checkpoint. ``rank``: of this process."""

    result: dict[str, Any] | None
    status: int
    saved: int | None
    rank: int = 0


Listener = Callable[[Start | Told], None]


def fit(config: Config, folder: Path, *, resume: bool = False, tell: Listener = lambda _: None,
        task: Task | None = None) -> Fitted:  # fmt: skip
    """Train as ``config`` says, in ``folder``; with ``resume`` go on from its last checkpoint, from the start where
    there is none. On one machine with one number of workers and ranks a resumed run ends with the weights, bit for bit,
    of a run that was never interrupted.

    ``tell`` hears of the start, of every step and every evaluation, on the first rank. SIGTERM and Ctrl-C save first.
    ``task``: what to train, by default what the configuration opens. The folder then holds config.yaml, spec.yaml,
    versions.json, metrics.csv, curves, the task's pictures, last.safetensors, best.safetensors and result.json.

    Raises OtoyolError where the configuration, the data, the checkpoints or the disk do not allow it, TrainingError
    where the loss is not finite.
    """
    with settings(config.run), watched() as stop, own_chance(), _quiet():
        try:
            trainer, content = prepare(config, folder, stop, resume=resume, tell=tell, task=task)
            trainer.train(content)
            result = _finish(trainer)
        except Stopped as stopped:
            return Fitted(None, stop.status, stopped.saved, trainer.rank)
        finally:
            close_folder(folder)
        return Fitted(result, 0, trainer.saved, trainer.rank)


def prepare(
    config: Config, folder: Path, stop: Stop, *, resume: bool = False, tell: Listener = lambda _: None,
    task: Task | None = None,
) -> tuple[Trainer, dict[str, Any] | None]:  # fmt: skip
    """A run that is ready for its first step, or its next, and the checkpoint to go on from. Raises OtoyolError."""
    fabric = connect(config.run, config.recipe)
    opened = task or config.open()
    identity = _identity(config, opened)
    agreed(fabric, identity, "data")

    def save_best(tensors: dict[str, Any]) -> None:
        save_weights(folder / "best.safetensors", tensors, config, opened, design(trainer.model, config))

    known: dict[str, Any] = {**identity, "versions": versions()}
    trainer = Trainer(opened, config, folder, fabric, stop, known, tell, save_best)
    newest = everyone(fabric, trainer.store.newest())
    started = resume and min(newest) >= 0  # the file of its first weights may be gone by now
    model, frozen = trainer.build(not started)  # what cannot be built is refused before anything is written
    _share_one_folder(newest, folder)
    problem, found = None, None
    if fabric.global_rank == 0:
        try:
            open_folder(folder, resume)
            found = trainer.store.load() if resume else None
            if found is None:
                write_start(folder, config)
            else:
                _same(found.content["identity"], identity)
                write_config(folder, config)  # what may change stays changed when it is resumed once more
        except OtoyolError as error:
            problem = error
    told, content = fabric.broadcast((problem and str(problem), found and found.content))
    if problem is not None:
        raise problem
    if told is not None:
        raise OtoyolError(told)
    if fabric.global_rank == 0:
        tell(Start(
            sum(p.numel() for p in model.parameters()), frozen, frozen_params(model),
            content["progress"]["step"] if content else 0, trainer.steps, trainer.samples, len(opened.validation),
            fabric.world_size, found.damaged if found else (),
            _changes(content["identity"]["versions"], known["versions"]) if content else (),
        ))  # fmt: skip
    return trainer, content


def finished(config: Config, folder: Path) -> bool:
    """Whether the run of this configuration, on this data, is done in ``folder``, whose result.json is then its own.

    Raises OtoyolError where the folder holds another run, as :func:`fit` does with ``resume``.
    """
    if not (folder / RESULT).exists():
        return False
    found = Store(folder / CHECKPOINTS, config.run.checkpoints.keep).load()
    if found is None:
        raise OtoyolError(f"checkpoints: {folder} has none to tell what its {RESULT} is of; --out starts anew")
    _same(found.content["identity"], _identity(config, config.open()))
    return True


def _identity(config: Config, task: Task) -> dict[str, Any]:
    """Plain data on what a run is: all that decides its outcome."""
    return {
        "config": config.deciding(), "classes": list(task.classes), "train": task.train.fingerprint(),
        "validation": task.validation.fingerprint(),
    }  # fmt: skip


def _share_one_folder(newest: Sequence[int], folder: Path) -> None:
    """Raises OtoyolError where a rank sees a newer checkpoint than rank 0, the only one that reads: an elastic restart
    has put rank 0 on another machine, where the run would begin anew."""
    if (most := max(newest)) > newest[0]:
        seen = f"one of step {newest[0]}" if newest[0] >= 0 else "none"
        raise OtoyolError(
            f"checkpoints: rank {newest.index(most)} sees one of step {most} in {folder}, rank 0 {seen}; "
            "the machines of a run must share its folder"
        )


def _finish(trainer: Trainer) -> dict[str, Any] | None:
    """Weights, pictures, result.json. Made again by each resumption of a run that is done."""
    task, config, folder, state = trainer.task, trainer.config, trainer.folder, trainer.state
    metric = trainer.metric if trainer.evaluated else trainer.judged()
    weights = trainer.weights()
    with trainer.counting():
        if trainer.rank != 0 or metric is None:
            return None
        save_weights(folder / "last.safetensors", weights, config, task, design(trainer.model, config))
        trainer.model.eval()
        told = task.report(metric, trainer.model, folder)
    from otoyol.train.pictures import curves

    curves(read_log(folder / "metrics.csv"), task.metrics, folder)
    result = {
        "task": task.name, "spec": config.model_dump(mode="json")["spec"],
        "params": sum(p.numel() for p in trainer.model.parameters()), "frozen": list(trainer.frozen),
        "steps": state.step, "epochs": round(state.step * config.recipe.batch / trainer.samples, 4),
        "seconds": round(state.seconds, 1), "ranks": trainer.world, "samples": trainer.samples,
        "validation": len(task.validation), "metrics": _plain(state.metrics),
        "best": {**state.best, "metrics": _plain(state.best["metrics"])} if state.best else None,
        "averaged": trainer.average is not None, "left_out": state.left_out, "nan_steps": state.nan_steps, **told,
    }  # fmt: skip
    write_text(folder / RESULT, json_text(result))
    return result


def _plain(metrics: dict[str, float]) -> dict[str, float | None]:
    """JSON has no NaN."""
    return {name: None if value != value else value for name, value in metrics.items()}


def _same(known: dict[str, Any], here: dict[str, Any]) -> None:
    """Raises SpecError naming the first difference between the run of a checkpoint and this one."""
    here = json.loads(json.dumps(here))
    for part in ("config", "classes", "train", "validation"):
        before, now = json.loads(json.dumps(known[part])), here[part]
        if part == "config":
            before = without_free(before)  # of an earlier release, where other fields were free
            before["run"] = {"strategy": "ddp", **before["run"]}  # the only one, before it was a field
        if part == "config" and before != now:
            path, old, new = next(_differences(before, now, ""))
            raise SpecError(path, new, f"{old}, which the run began with; another folder (--out) starts anew")
        if before != now:
            said = ", ".join(f"{k} {before[k]} → {now[k]}" for k in now if before.get(k) != now[k]) \
                if isinstance(now, dict) else f"{before} → {now}"  # fmt: skip
            raise OtoyolError(f"data: the {part} data is not what the run began with ({said}); --out starts anew")


def _differences(before: Any, now: Any, path: str) -> Any:
    if isinstance(before, dict) and isinstance(now, dict):
        for name in {**before, **now}:
            if before.get(name) != now.get(name):
                yield from _differences(before.get(name), now.get(name), f"{path}.{name}" if path else name)
    else:
        yield path, before, now


def _changes(before: dict[str, Any], now: dict[str, Any]) -> tuple[str, ...]:
    before = {"ranks": now.get("ranks"), **before}  # an earlier release did not write them down
    return tuple(f"{k} {before.get(k)} → {now[k]}" for k in now if before.get(k) != now[k])


class _quiet:  # noqa: N801 (a context, used like a function)
    """Lightning's remarks about what is meant here stay out of the output."""

    def __enter__(self) -> None:
        self._caught = warnings.catch_warnings()
        self._caught.__enter__()
        warnings.filterwarnings("ignore", module="lightning_fabric")
        self._loggers = [
            logging.getLogger(name) for name in ("lightning_fabric", "lightning_fabric.utilities.rank_zero")
        ]
        self._levels = [logger.level for logger in self._loggers]
        for logger in self._loggers:
            logger.setLevel(logging.ERROR)

    def __exit__(self, *_: object) -> None:
        for logger, level in zip(self._loggers, self._levels, strict=True):
            logger.setLevel(level)
        self._caught.__exit__(None, None, None)
