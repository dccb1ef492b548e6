"""Checkpoint files: safetensors, and torch files through torch's restricted unpickler."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from otoyol.errors import SpecError, WeightsError
from otoyol.spec import Spec, dumps, from_mapping, parse
from otoyol.spec.files import loads, write_bytes
from otoyol.spec.text import MAX_TEXT, any_text

WRAPPERS = ("state_dict", "model", "model_state_dict", "model_ema", "state_dict_ema")
SPEC_KEY = "otoyol.spec"  # in the metadata of our safetensors files
# What DistributedDataParallel and torch.compile put before every key.
PARALLEL = ("module.", "_orig_mod.")


class Checkpoint(NamedTuple):
    """Tensors by key, the design they were saved from where the file says so, and what was unwrapped on the way."""

    tensors: dict[str, torch.Tensor]
    spec: Spec | None = None
    unwrapped: tuple[str, ...] = ()


def read(source: Mapping[str, Any] | str | os.PathLike[str], wrapper: str | None = None) -> Checkpoint:
    """A state dict, or a file of one, as plain tensors.

    Accepts ``{"state_dict": …}``, ``{"model": …}`` and the other wrappers that training scripts write (``wrapper`` says
    which where a file has several), and keys that all begin with ``module.`` or ``_orig_mod.``. Raises WeightsError.
    """
    spec = None
    if isinstance(source, Mapping):
        content: Any = source
    else:
        content, spec = read_file(source)
    tensors, unwrapped = _unwrap(content, wrapper)
    for prefix in PARALLEL:
        if tensors and all(key.startswith(prefix) for key in tensors):
            tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
            unwrapped += (prefix,)
    return Checkpoint(tensors, spec, unwrapped)


def _unwrap(content: Any, wrapper: str | None) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
    if not isinstance(content, Mapping):
        raise WeightsError(f"a checkpoint is a mapping of keys to tensors, not a {type(content).__name__}")
    unwrapped: tuple[str, ...] = ()
    found = [key for key in WRAPPERS if isinstance(content.get(key), Mapping)]
    if wrapper is not None:
        if not isinstance(content.get(wrapper), Mapping):
            raise WeightsError(f"wrapper: got {wrapper!r}; allowed: {', '.join(found) or 'none, there is no wrapper'}")
        found = [wrapper]
    if len(found) > 1:
        raise WeightsError(f"the checkpoint holds several networks: {', '.join(found)}; say which by wrapper=…")
    if found:
        content, unwrapped = content[found[0]], (found[0],)
    odd = [str(key) for key, value in content.items() if not isinstance(value, torch.Tensor)]
    if odd or not all(isinstance(key, str) for key in content):
        names = ", ".join(odd[:5]) or "keys that are not text"
        raise WeightsError(f"a checkpoint maps keys to tensors; these are none: {names[:200]}")
    if not content:
        raise WeightsError("the checkpoint is empty")
    return dict(content), unwrapped


def read_file(path: str | os.PathLike[str]) -> tuple[Any, Spec | None]:
    """The content of a safetensors or torch file, told apart by its first bytes, and the design in its metadata."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror}") from None
    if head[8:9] == b"{":  # first, because the length before it can have any bytes
        return _read_safetensors(path)
    if head[:4] == b"PK\x03\x04" or head[:1] == b"\x80":
        return _read_torch(path), None
    raise WeightsError(f"{path.name} is neither a safetensors nor a torch file")


def _read_safetensors(path: Path) -> tuple[dict[str, torch.Tensor], Spec | None]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{path.name} is a damaged safetensors file: {_line(error)}") from None
    if SPEC_KEY not in metadata:
        return tensors, None
    try:
        return tensors, spec_of(metadata[SPEC_KEY])
    except SpecError as error:
        raise WeightsError(f"{path.name} names a design that cannot be read: {error}") from None


def _read_torch(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a hostile file can make the restricted unpickler raise anything
        if "weights_only" in str(error) or "Unsupported" in str(error):
            reason = f"holds more than tensors, and is not unpickled ({_line(error)})"
            raise WeightsError(f"{path.name} {reason}; save a plain state dict or safetensors instead") from None
        whole = zipfile.is_zipfile(path)
        damage = _line(error) if whole else "its end is missing or it is no torch file"
        raise WeightsError(f"{path.name} is a damaged torch file: {damage}") from None


def _line(error: BaseException) -> str:
    """The informative line of a library's message, shortened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = next((line for line in lines if "GLOBAL" in line or "Unsupported" in line), lines[0] if lines else "")
    return (told or type(error).__name__)[:200]


def save_safetensors(model: Any, path: str | os.PathLike[str]) -> None:
    """Write a model's state dict as safetensors, with its design's text form in the metadata; whole or not at all.

    ``model`` is an :func:`otoyol.nn.build` network. Our own keys are written; :func:`otoyol.weights.export` gives
    others'. Raises WeightsError, and OtoyolError where the file cannot be written.
    """
    from safetensors.torch import save

    tensors = {key: value.detach().contiguous() for key, value in model.state_dict().items()}
    if any(value.is_meta for value in tensors.values()):
        raise WeightsError("the model is on the meta device and has no values to save")
    write_bytes(path, save(tensors, {SPEC_KEY: text_of(model.spec), "format": "pt"}))


def text_of(spec: Spec) -> str:
    """The spec's text form, from ``custom`` where its family has no name of its own; JSON where it is too long."""
    text = any_text(spec)
    return text if len(text) <= MAX_TEXT else dumps(spec, ".json")


def spec_of(text: str) -> Spec:
    """The inverse of :func:`text_of`. Raises SpecError."""
    return from_mapping(loads(text, ".json")) if text.startswith("{") else parse(text)
