"""Specs as files: YAML, TOML and JSON, by suffix."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from otoyol.errors import OtoyolError, SpecError
from otoyol.spec.data import loads
from otoyol.spec.model import Spec

MAX_BYTES = 1 << 16
SUFFIXES = (".yaml", ".yml", ".toml", ".json")


def load(path: str | os.PathLike[str]) -> Spec:
    """Read a spec file. Raises SpecError where the file, its syntax or its content is wrong."""
    return from_mapping(read_mapping(path))


def from_mapping(fields: Any) -> Spec:
    """A spec from plain data. Raises SpecError."""
    if not isinstance(fields, dict):
        given = "nothing" if fields is None else fields
        raise SpecError("spec", given, "a mapping of field names to values")
    if wrong := [key for key in fields if not isinstance(key, str)]:
        raise SpecError("spec", f"the key {wrong[0]!r:.40}", "field names as keys")
    return Spec(**fields)


def to_mapping(spec: Spec) -> dict[str, Any]:
    """Plain data that :func:`from_mapping` reads back; fields that are not set are left out."""
    return spec.model_dump(mode="json", exclude_none=True)


def read_mapping(path: str | os.PathLike[str]) -> Any:
    """Plain data of a YAML, TOML or JSON file of at most :data:`MAX_BYTES` bytes."""
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise SpecError("file", path.name, f"a name that ends in {', '.join(SUFFIXES)}")
    data = read_bytes(path, "file", MAX_BYTES)
    try:
        return loads(data.decode("utf-8-sig"), path.suffix)
    except UnicodeDecodeError as error:
        raise SpecError("file", path.name, f"UTF-8 text (byte {error.start} is not)") from None


def read_bytes(path: str | os.PathLike[str], field: str, most: int) -> bytes:
    """What a file of at most ``most`` bytes holds. Raises SpecError about ``field``."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise SpecError(field, str(path), f"a readable file ({error.strerror})") from None
    if len(data) > most:
        raise SpecError(field, f"{path.name} of more than {most} bytes", f"at most {most} bytes")
    return data


def json_text(value: Any) -> str:
    """One JSON value as people and programs read it."""
    import json

    return json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def dumps(spec: Spec, suffix: str = ".yaml") -> str:
    """The spec as text in the format that ``suffix`` names."""
    fields = to_mapping(spec)
    if suffix == ".json":
        import json

        return json.dumps(fields, indent=2) + "\n"
    if suffix == ".toml":
        import tomli_w

        return tomli_w.dumps(fields)
    if suffix not in SUFFIXES:
        raise SpecError("file", suffix, f"a name that ends in {', '.join(SUFFIXES)}")
    import yaml

    return yaml.safe_dump(fields, sort_keys=False)


def save(spec: Spec, path: str | os.PathLike[str]) -> None:
    """Write a spec file; the file appears whole or not at all."""
    write_text(path, dumps(spec, Path(path).suffix))


def check_place(path: str | os.PathLike[str]) -> None:
    """Raises OtoyolError where no file can be written, so that it is told before work is done and not after."""
    folder = Path(path).parent
    if not folder.is_dir():
        raise OtoyolError(f"cannot write {path}: {folder} is no folder")
    if Path(path).is_dir() or not os.access(folder, os.W_OK):
        raise OtoyolError(f"cannot write {path}: {'it is a folder' if Path(path).is_dir() else 'permission denied'}")


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file by way of a temporary name beside it."""
    write_bytes(path, text.encode())


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file by way of a temporary name beside it, synced before it is renamed. Raises OtoyolError where that is
    not possible."""
    import tempfile

    path = Path(path)
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise OtoyolError(f"cannot write {path}: {error.strerror}") from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OtoyolError(f"cannot write {path}: {error.strerror}") from None
        raise
