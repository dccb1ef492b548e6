"""Specs as files: YAML, TOML and JSON, by suffix."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from otoyol.errors import OtoyolError, SpecError
from otoyol.spec.model import Spec

MAX_BYTES = 1 << 20
MAX_NESTING = 16
SUFFIXES = (".yaml", ".yml", ".toml", ".json")


def load(path: str | os.PathLike[str]) -> Spec:
    """Read a spec file. Raises SpecError where the file, its syntax or its content is wrong."""
    return from_mapping(read_mapping(path))


def from_mapping(fields: Any) -> Spec:
    """A spec from plain data. Raises SpecError."""
    if not isinstance(fields, dict) or not all(isinstance(key, str) for key in fields):
        raise SpecError("spec", type(fields).__name__, "a mapping of field names to values")
    return Spec(**fields)


def to_mapping(spec: Spec) -> dict[str, Any]:
    """Plain data that :func:`from_mapping` reads back; fields that are not set are left out."""
    return spec.model_dump(mode="json", exclude_none=True)


def read_mapping(path: str | os.PathLike[str]) -> Any:
    """Plain data of a YAML, TOML or JSON file of at most 1 MiB."""
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise SpecError("file", path.name, f"a name that ends in {', '.join(SUFFIXES)}")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SpecError("file", str(path), f"a readable file ({error.strerror})") from None
    if len(data) > MAX_BYTES:
        raise SpecError("file", f"{path.name} of more than {MAX_BYTES} bytes", f"at most {MAX_BYTES} bytes")
    try:
        return loads(data.decode("utf-8-sig"), path.suffix)
    except UnicodeDecodeError as error:
        raise SpecError("file", path.name, f"UTF-8 text (byte {error.start} is not)") from None


def loads(text: str, suffix: str = ".yaml") -> Any:
    """Plain data from text in the format that ``suffix`` names. Raises SpecError."""
    try:
        if suffix == ".json":
            import json

            return json.loads(text)
        if suffix == ".toml":
            import tomllib

            return tomllib.loads(text)
        return _yaml(text)
    except OtoyolError:
        raise
    except RecursionError:
        raise SpecError("file", "data nested too deeply", f"at most {MAX_NESTING} levels") from None
    except ValueError as error:  # JSONDecodeError and TOMLDecodeError are ValueErrors
        raise SpecError("file", str(error).splitlines()[0], f"valid {suffix[1:].upper()}") from None


def _yaml(text: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """Safe, and without aliases: they are how a small file becomes a large one."""

        level = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise SpecError("file", f"the alias *{self.peek_event().anchor}", "YAML without aliases")
            self.level += 1
            if self.level > MAX_NESTING:
                raise SpecError("file", "data nested too deeply", f"at most {MAX_NESTING} levels")
            node = super().compose_node(parent, index)
            self.level -= 1
            return node

    try:
        return yaml.load(text, Loader)  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark else "the text"
        raise SpecError("file", where, f"valid YAML ({getattr(error, 'problem', None) or 'unreadable'})") from None


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


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file by way of a temporary name beside it."""
    write_bytes(path, text.encode())


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file by way of a temporary name beside it. Raises OtoyolError where that cannot be done."""
    import tempfile

    path = Path(path)
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise OtoyolError(f"cannot write {path}: {error.strerror}") from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OtoyolError(f"cannot write {path}: {error.strerror}") from None
        raise
