"""What is done with a trained model: a split judged, images looked at."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from otoyol.data.images import unreadable_errors
from otoyol.data.source import SUFFIXES
from otoyol.errors import OtoyolError, SpecError
from otoyol.spec.files import json_text, write_bytes, write_text
from otoyol.train.config import Config, Recipe
from otoyol.train.folder import Trained
from otoyol.train.judge import judge
from otoyol.train.loader import Batches, Reader
from otoyol.train.machine import connect, find_device, settings
from otoyol.train.order import validation_keys
from otoyol.train.signals import Stop


def evaluate(trained: Trained, *, skip: bool = False, workers: int = 0, folder: Path | None = None) -> dict[str, Any]:
    """The metrics over the validation split of the task's data; with a ``folder`` the task's pictures too.

    ``skip``: leave out images that cannot be read, and name them; what was left out of the annotations when the run was
    loaded is named too. Started by torchrun, each rank judges its share: the first has the figures, the others an empty
    mapping. Raises OtoyolError.
    """
    if workers < 0:
        raise SpecError("workers", workers, "a whole number from 0")
    config, task = trained.config, trained.task
    with settings(config.run):
        fabric = connect(config.run, _recipe(config))
        world, rank = fabric.world_size, fabric.global_rank
        if folder is not None and rank == 0:
            _make(folder)
        model = fabric.to_device(fabric.strategy.precision.convert_module(trained.model))
        reader = Reader(task.validation, task.collate, config.run.seed, skip=skip, replace=False)
        size = config.run.evaluation_batch or max(1, config.recipe.batch // config.recipe.accumulate // world)
        batches = Batches(reader, validation_keys(len(task.validation), size, world, rank), workers=workers)
        left: list[str] = []
        try:
            metric = judge(task, model, batches, fabric, Stop(), left.extend, config.run.channels_last)
        finally:
            batches.close()
    if metric is None:
        return {}
    figures = metric.compute()
    found: dict[str, Any] = {
        "weights": str(trained.path), "samples": len(task.validation) - len(left),
        "metrics": {name: None if figures[name] != figures[name] else figures[name] for name in task.metrics},
        "left_out": left,
    }  # fmt: skip
    if annotations := list(getattr(task.validation, "left_out", ())):
        found["annotations_left_out"] = annotations
    if folder is not None:
        found |= task.report(metric, model, folder)
        write_text(folder / "evaluation.json", json_text(found))
    return found


def predict(
    trained: Trained, images: Sequence[Path], *, folder: Path | None = None, left_out: list[str] | None = None
) -> list[dict[str, Any]]:
    """Plain data on each image, in order, a folder standing for the images in it. With a ``folder`` also
    predictions.json and each picture with its prediction drawn on it.

    An image that cannot be read raises OtoyolError; with ``left_out`` its message is put there instead.
    """
    from PIL import Image

    if folder is not None:
        _make(folder)
    paths = [path for given in images for path in (_below(given) if given.is_dir() else [given])]
    found: list[dict[str, Any]] = []
    model = trained.model.to(find_device(trained.config.run.device))
    with torch.no_grad():
        for number, path in enumerate(paths):
            try:
                with Image.open(path) as picture:
                    picture.load()
            except unreadable_errors() as error:
                reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
                message = f"image: cannot read {path} ({reason})"
                if left_out is None:
                    raise OtoyolError(message) from None
                left_out.append(message)
                continue
            told = trained.task.predict(model, [picture])[0]
            found.append({"image": str(path), **told})
            if folder is not None:
                drawn = io.BytesIO()
                trained.task.picture(picture, told).save(drawn, format="PNG")
                write_bytes(folder / f"{number:04d}-{path.stem}.png", drawn.getvalue())
    if folder is not None:
        write_text(folder / "predictions.json", json_text(found))
    return found


def _recipe(config: Config) -> Recipe:
    """The run's, in a precision that the device has: 16 bits with a scaler, which judging needs not, are a GPU's."""
    if config.recipe.precision == "16-mixed" and find_device(config.run.device).type == "cpu":
        return config.recipe.model_copy(update={"precision": "32-true"})
    return config.recipe


def _below(folder: Path) -> list[Path]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise OtoyolError(f"predict: {folder} holds no image ({', '.join(sorted(SUFFIXES))})")
    return paths


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OtoyolError(f"cannot write {folder}: {error.strerror}") from None
