"""Deployment: fold, export, race engines, quantise.

    made = export_onnx(otoyol.nn.build("resnet50"), "model.onnx")     # folded, checked, self-describing
    found = bench(Artifact("model.onnx"))                             # otoyol.deploy.bench
    quantise(Artifact("model.onnx"), "model.int8.onnx", train, test)  # otoyol.deploy.quantise

``fold`` is in :mod:`otoyol.deploy.fold`, ``run`` in :mod:`otoyol.deploy.predict`. Libraries are loaded when they are
first used: reading what an artifact says (:class:`Metadata`) needs none.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from otoyol.deploy.metadata import Metadata

if TYPE_CHECKING:
    from otoyol.deploy.artifact import Artifact
    from otoyol.deploy.best import Best, Choice, choose
    from otoyol.deploy.engines import ENGINES, load_engine
    from otoyol.deploy.export import Exported, export_onnx

_LATE = {
    "Artifact": "artifact", "Best": "best", "Choice": "best", "ENGINES": "engines", "Exported": "export",
    "choose": "best", "export_onnx": "export", "load_engine": "engines",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(importlib.import_module(f"otoyol.deploy.{_LATE[name]}"), name)
    raise AttributeError(f"module 'otoyol.deploy' has no attribute {name!r}")


__all__ = [
    "ENGINES",
    "Artifact",
    "Best",
    "Choice",
    "Exported",
    "Metadata",
    "choose",
    "export_onnx",
    "load_engine",
]
