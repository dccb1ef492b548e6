"""What a shared folder holds, and the checks before anything in it is believed.

``model.safetensors`` weights, with the design's text form in the metadata · ``spec.json`` the design ·
``config.json`` what timm and the Hugging Face hub read, and under ``otoyol`` what we read (:class:`About`) ·
``model.onnx`` the same network exported, where it was · ``README.md`` the model card, for people ·
``SHA256SUMS`` of all but the card, as ``sha256sum --check`` reads it.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from otoyol.errors import SpecError, WeightsError
from otoyol.spec import Spec
from otoyol.spec import load as load_spec
from otoyol.spec.data import loads
from otoyol.spec.files import read_bytes
from otoyol.spec.refusal import spec_error

WEIGHTS, SPEC, CONFIG, ARTIFACT = "model.safetensors", "spec.json", "config.json", "model.onnx"
CARD, SUMS = "README.md", "SHA256SUMS"
NEEDED = (WEIGHTS, SPEC, CONFIG)
SUMMED = (*NEEDED, ARTIFACT)
FILES = (*SUMMED, CARD, SUMS)
SECTION = "otoyol"  # in config.json
MAX_CONFIG_BYTES = 1 << 24  # a hundred thousand class names fit
# Formats that can run code when they are read: pickles by their usual names, archives and libraries that hold some.
CODE = frozenset((
    ".bin", ".ckpt", ".dill", ".dll", ".dylib", ".h5", ".joblib", ".keras", ".mar", ".npy", ".npz", ".p", ".pickle",
    ".pkl", ".pt", ".pt2", ".pth", ".py", ".pyc", ".so", ".tar", ".tgz", ".torch", ".zip",
))  # fmt: skip

Task = Literal["classification", "features", "detection"]
Name = Annotated[str, Field(max_length=200)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class About(BaseModel):
    """What the folder's network is for, as it stands in ``config.json``. Frozen.

    ``classes``: names, in the order of the logits or of a detector's labels. ``detector``: the fields of
    :class:`otoyol.detect.Detector` that stand on the backbone. ``mean``, ``std``: of the images it was trained on,
    channel by channel, values from 0 to 1. ``crop_share``: the part of an image's shorter side that it was judged on.
    ``source``: where the weights come from, empty for weights as initialised. ``metrics``: what its training measured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    task: Task
    classes: Annotated[tuple[Name, ...], Field(max_length=1_000_000)] = ()
    detector: dict[str, Any] | None = None
    mean: tuple[Finite, ...]
    std: tuple[Annotated[float, Field(gt=0.0, allow_inf_nan=False)], ...]
    crop_share: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    source: Annotated[str, Field(max_length=4096)] = ""
    metrics: dict[Name, Finite] = {}

    def __init__(self, /, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise spec_error(error, type(self), f"{CONFIG}.{SECTION}") from None


class Folder(NamedTuple):
    """A folder that has passed every check."""

    path: Path
    spec: Spec
    about: About

    @property
    def weights(self) -> Path:
        return self.path / WEIGHTS

    @property
    def artifact(self) -> Path | None:
        """The exported network, where the folder has one."""
        return found if (found := self.path / ARTIFACT).is_file() else None


def read_folder(path: str | os.PathLike[str]) -> Folder:
    """Check a shared folder and read what it says of itself; no weights are read but for their checksum.

    Raises SpecError where it is none or says what cannot be, WeightsError where it holds a file that could run code, a
    file is not what its checksum says, or the weights are no safetensors.
    """
    folder = Path(path)
    if not folder.is_dir() or (missing := [name for name in (*NEEDED, SUMS) if not (folder / name).is_file()]):
        given = f"{folder.name}, which has no {missing[0]}" if folder.is_dir() else str(folder)
        raise SpecError("folder", given, "a folder that `otoyol share` has written")
    refuse_code(folder)
    check_sums(folder)
    with (folder / WEIGHTS).open("rb") as file:
        if file.read(9)[8:9] != b"{":
            raise WeightsError(f"{WEIGHTS} is no safetensors file; nothing else is read from a shared folder")
    config = loads(read_bytes(folder / CONFIG, "config", MAX_CONFIG_BYTES).decode("utf-8", "replace"), ".json")
    if not isinstance(config, dict) or not isinstance(config.get(SECTION), dict):
        raise SpecError(CONFIG, "nothing of ours", f"a JSON object with the field {SECTION}")
    return Folder(folder, load_spec(folder / SPEC), About(**config[SECTION]))


def refuse_code(folder: Path) -> None:
    """Raises WeightsError naming the first file that could run code when something reads it."""
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.suffix.lower() in CODE)
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise WeightsError(
            f"{folder} holds {found[0]}{more}, which can run code when it is read. A shared folder holds safetensors, "
            "JSON, ONNX and text; nothing of this one is read"
        )


def check_sums(folder: Path) -> None:
    """Hold every file to SHA256SUMS. Raises WeightsError naming the first that differs."""
    text = read_bytes(folder / SUMS, "checksums", 1 << 16).decode("utf-8", "replace")
    told: dict[str, str] = {}
    for line in text.splitlines():
        match = re.fullmatch(r"([0-9a-f]{64}) [ *](\S+)", line)
        if match is None or match[2] not in SUMMED:
            raise WeightsError(f"{SUMS} says {line[:90]!r}; allowed: a SHA-256 sum and one of {', '.join(SUMMED)}")
        told[match[2]] = match[1]
    for name in SUMMED:
        if not (folder / name).is_file() and name not in told:
            continue
        if name not in told:
            raise WeightsError(f"{SUMS} has no line for {name}")
        if not (folder / name).is_file() or sha256(folder / name) != told[name]:
            raise WeightsError(f"{name} is not what {SUMS} says: it was changed or is damaged")


def sums_text(folder: Path) -> str:
    """The checksums of what stands in the folder."""
    return "".join(f"{sha256(folder / name)}  {name}\n" for name in SUMMED if (folder / name).is_file())


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
