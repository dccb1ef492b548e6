"""A run's folder: what is in it, and a finished run read back."""

from __future__ import annotations

import errno
import json
import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import torch
from torch import Tensor, nn

from otoyol import __version__
from otoyol.errors import OtoyolError, SpecError, WeightsError
from otoyol.spec import Spec
from otoyol.spec.files import json_text, read_mapping, write_bytes, write_text
from otoyol.train.config import Config
from otoyol.train.files import changed, config_of, config_text
from otoyol.train.task import Task
from otoyol.weights.files import SPEC_KEY, text_of

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

CONFIG, RESULT, VERSIONS, CHECKPOINTS = "config.yaml", "result.json", "versions.json", "checkpoints"
LOCK = ".lock"  # holds the number of the process that trains
RUN_KEY = "otoyol.run"  # in the metadata of a run's safetensors: configuration and classes
PACKAGES = ("torch", "torchvision", "pytorch-lightning", "numpy", "pillow")


_held: dict[Path, TextIO] = {}  # folders that this process trains in, by their open lock files


def open_folder(folder: Path, resume: bool) -> None:
    """Make the folder, or find it as a run has left it, and keep other processes out until :func:`close_folder`.
    Raises OtoyolError where it holds a run that is not to be resumed or that another process trains, or cannot be
    written."""
    if (folder / CONFIG).exists() and not resume:
        raise SpecError("out", str(folder), "a folder without a run; --resume goes on with this one")
    try:
        (folder / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
        _lock(folder)
    except OSError as error:
        raise OtoyolError(f"cannot write {folder}: {error.strerror}") from None


def close_folder(folder: Path) -> None:
    """Let other processes train here; nothing happens where this one did not."""
    if (file := _held.pop(folder.resolve(), None)) is not None:
        file.close()


def _lock(folder: Path) -> None:
    """A record lock, which the system gives up with the process, however that ends. Processes that read images do not
    inherit it, unlike flock's: they outlive a killed trainer for a moment, when its restart wants the folder."""
    if fcntl is None:
        return
    close_folder(folder)  # another run of this process, which is over
    file = (folder / LOCK).open("a+", encoding="utf-8")
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        holder = file.read(20).strip() or "of unknown number"
        file.close()
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            return  # a file system without locks, where only care helps
        raise OtoyolError(
            f"out: another process ({holder}) trains here, in {folder}; wait for its end, or choose another --out"
        ) from None
    _held[folder.resolve()] = file
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()


def write_start(folder: Path, config: Config) -> None:
    """What is known before the first step; config.yaml last, since it says that here is a run."""
    from otoyol.spec import save

    save(config.spec, folder / "spec.yaml")
    write_text(folder / VERSIONS, json_text(versions()))
    write_config(folder, config)


def write_config(folder: Path, config: Config) -> None:
    """config.yaml, complete. Raises OtoyolError."""
    write_text(folder / CONFIG, config_text(config))


def versions() -> dict[str, Any]:
    """What runs here, once its ranks have met: bit-equal resumption holds where all of it is the same."""
    joined = torch.distributed.is_available() and torch.distributed.is_initialized()
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "otoyol": __version__, "python": platform.python_version(), **found, "torch": str(torch.__version__),
        "threads": torch.get_num_threads(), "ranks": torch.distributed.get_world_size() if joined else 1,
        "machine": platform.machine(),
    }  # fmt: skip


def design(model: nn.Module, config: Config) -> Spec:
    """The spec of what was built: the model's own, whose head may have other classes than the configuration's."""
    spec: Spec = getattr(model, "spec", config.spec)
    return spec


def save_weights(path: Path, tensors: dict[str, Tensor], config: Config, task: Task, spec: Spec) -> None:
    """Weights as safetensors, with design, configuration and classes in the metadata, so that the file is enough."""
    from safetensors.torch import save

    run = {"config": config.model_dump(mode="json"), "classes": list(task.classes)}
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_bytes(path, save(plain, {SPEC_KEY: text_of(spec), RUN_KEY: json.dumps(run), "format": "pt"}))


class Trained(NamedTuple):
    """A task with a model that holds trained weights, in evaluation mode."""

    config: Config
    task: Task
    model: nn.Module
    path: Path


def load_run(
    place: Path, which: str = "last", data: str | None = None, *, device: str | None = None, split: str | None = None,
    skip: bool = False,
) -> Trained:  # fmt: skip
    """A run's folder, or one of its weight files, as task and model. ``which``: ``last`` or ``best`` of a folder.
    ``data``: another source than the run's, ``split``: another split to judge by (``data.judge``). ``device``: where to
    judge, which another machine may not have as the run had it. ``skip``: leave out what cannot be read of the data,
    annotations too, whatever the run did. Raises OtoyolError."""
    path = place / f"{which}.safetensors" if place.is_dir() else place
    tensors, run = _read(path)
    fields = dict(run["config"])
    if data is not None:
        own = {key: value for key, value in fields.get("data", {}).items() if key != "images"}  # the run's own folder
        fields["data"] = {**own, "source": data}
    if split is not None:
        if str(fields["data"].get("source", "")).endswith(".json"):
            raise SpecError("split", split, "nothing: the source is one COCO file, which has no splits")
        fields["data"] = {**fields["data"], "judge": split}
    if device is not None:
        fields["run"] = {**fields.get("run", {}), "device": device}
    if skip:
        fields["run"] = {**fields.get("run", {}), "unreadable": "skip"}
    config = config_of({**fields, "weights": None, "freeze": []})
    task = config.open(classes=tuple(run["classes"]))
    model = task.build().model
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise WeightsError(f"{path.name} does not fit its own design: {str(error).splitlines()[-1].strip()}") from None
    return Trained(config, task, model.eval(), path)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            run = json.loads((file.metadata() or {}).get(RUN_KEY, "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except FileNotFoundError:
        raise OtoyolError(f"cannot read {path}: there is no such file; a run writes it when it is done") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path.name} is no sound safetensors file ({str(error).splitlines()[0][:120]})") from None
    if not isinstance(run, dict) or not isinstance(run.get("config"), dict) or not isinstance(run.get("classes"), list):
        raise WeightsError(f"{path.name} was not written by `otoyol train`: it names no configuration and classes")
    return tensors, run


def read_run_config(folder: Path, changes: Sequence[str] = ()) -> Config:
    """The configuration that a run was last started with, and ``changes`` such as ``run.on_nan=skip``. Raises
    OtoyolError where the folder holds no run."""
    if not (folder / CONFIG).is_file():
        raise SpecError("out", str(folder), f"a run's folder, with {CONFIG} in it")
    return config_of(changed(read_mapping(folder / CONFIG), changes))
