"""Latency on this machine: a table of fused operators, and a predictor over it.

    engine = find_engine("ort", threads=2, batch=1)
    table = build_table(engine, random_designs(2000), path="ort.json", seconds=600)
    Predictor(table, engine.rules).predict(otoyol.parse("resnet50"))

Engines and the predictor load their libraries (onnxruntime, torch, scikit-learn) when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from otoyol.measure.build import Progress, build_table, pace_now
from otoyol.measure.designs import random_designs
from otoyol.measure.engine import ENGINES, RULES, Engine, Running, find_engine
from otoyol.measure.fingerprint import check_fingerprint, fingerprint, here_like
from otoyol.measure.fused import FusedOp, Group, Rules, fuse
from otoyol.measure.select import select, where_of
from otoyol.measure.table import Row, Table, Timing, load_table

if TYPE_CHECKING:
    from otoyol.measure.predict import Latency, Predictor
    from otoyol.measure.scorer import Scorer

_LATE = {
    "Latency": "otoyol.measure.predict", "Predictor": "otoyol.measure.predict", "Scorer": "otoyol.measure.scorer",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(importlib.import_module(_LATE[name]), name)
    raise AttributeError(f"module 'otoyol.measure' has no attribute {name!r}")


__all__ = [
    "ENGINES",
    "RULES",
    "Engine",
    "FusedOp",
    "Group",
    "Latency",
    "Predictor",
    "Progress",
    "Row",
    "Rules",
    "Running",
    "Scorer",
    "Table",
    "Timing",
    "build_table",
    "check_fingerprint",
    "find_engine",
    "fingerprint",
    "fuse",
    "here_like",
    "load_table",
    "pace_now",
    "random_designs",
    "select",
    "where_of",
]  # fmt: skip
