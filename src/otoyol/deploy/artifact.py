"""An artifact at hand: its file, its graph, what it says of itself, and its torch module where it has one."""

from __future__ import annotations

import hashlib
import os
from functools import cached_property
from pathlib import Path

import onnx

from otoyol.deploy.metadata import Metadata
from otoyol.deploy.onnx_file import load_model
from otoyol.deploy.twin import has_twin, twin
from otoyol.deploy.wrap import Deployed


class Artifact:
    """An ONNX file that ``otoyol export`` or ``otoyol quantise`` has written. Raises SpecError where it is none."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.model: onnx.ModelProto
        self.model, self.metadata = load_model(path)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the file."""
        return digest_of(self.path)

    @property
    def has_module(self) -> bool:
        return has_twin(self.metadata)

    def module(self) -> Deployed:
        """A fresh torch module with the file's weights. Raises OtoyolError where there can be none."""
        return twin(self.model, self.metadata)

    def shape(self, batch: int) -> tuple[int, ...]:
        """Of ``image`` for so many images."""
        metadata: Metadata = self.metadata
        return metadata.image_shape(1 if metadata.one_image else batch)


def digest_of(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
