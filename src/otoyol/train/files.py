"""Configurations as files: read, overridden, written out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from otoyol.errors import SpecError
from otoyol.spec.data import loads
from otoyol.spec.files import read_mapping
from otoyol.train.config import Config

TASKS = ("classification", "detection")


def read_config(path: str | os.PathLike[str], changes: Sequence[str] = ()) -> Config:
    """A configuration file with ``changes`` such as ``recipe.optimiser.lr=0.05``. Raises SpecError."""
    fields = read_mapping(path)
    if not isinstance(fields, dict):
        raise SpecError("config", "nothing" if fields is None else fields, "a mapping of field names to values")
    return config_of(changed(fields, changes))


def config_of(fields: Mapping[str, Any]) -> Config:
    """A task's configuration from plain data; ``task`` says which, classification by default. Raises SpecError."""
    if wrong := [key for key in fields if not isinstance(key, str)]:
        raise SpecError("config", f"the key {wrong[0]!r:.40}", "field names as keys")
    task = fields.get("task", TASKS[0])
    if task == "classification":
        from otoyol.train.classification import ClassificationConfig

        return ClassificationConfig(**fields)
    if task == "detection":
        from otoyol.train.detection import DetectionConfig

        return DetectionConfig(**fields)
    raise SpecError("task", task, " or ".join(TASKS))


def changed(fields: Mapping[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """Plain data with ``path=value`` applied in order; a value is read as YAML. Raises SpecError."""
    found = dict(fields)
    for change in changes:
        path, equals, text = change.partition("=")
        names = path.strip().split(".")
        if not equals or not all(names):
            raise SpecError("set", change, "PATH=VALUE, such as recipe.optimiser.lr=0.05")
        _put(found, names, loads(text, ".yaml"), path)
    return found


def _put(fields: dict[str, Any], names: list[str], value: Any, path: str) -> None:
    *outer, last = names
    for name in outer:
        inner = fields.get(name)
        if inner is not None and not isinstance(inner, Mapping):
            raise SpecError("set", path, f"a path of fields; {name} is {inner!r:.40} here")
        fields[name] = dict(inner or {})
        fields = fields[name]
    fields[last] = value


def config_text(config: Config) -> str:
    """The whole configuration, defaults included, as YAML that :func:`read_config` reads back."""
    import yaml

    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
