"""Otoyol: a workbench for residual backbones.

Describe a backbone once (:func:`parse`, :class:`Spec`); everything else interprets the description::

    spec = otoyol.parse("resnet50@block=bottleneck-v2,attention=se")
    otoyol.lower(spec)              # every operator, every tap
    otoyol.cost.count(spec)         # exact cost
    otoyol.nn.build(spec)           # the torch module

Importing this package imports nothing heavy: each name below is loaded when first used, torch only by ``nn`` and
what stands on it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "OtoyolError": "otoyol.errors",
    "Spec": "otoyol.spec",
    "SpecError": "otoyol.errors",
    "WeightsError": "otoyol.errors",
    "edit": "otoyol.spec",
    "family": "otoyol.spec",
    "load": "otoyol.share",
    "lower": "otoyol.ops",
    "parse": "otoyol.spec",
    "save": "otoyol.spec",
    "to_text": "otoyol.spec",
}

__all__ = [
    "OtoyolError",
    "Spec",
    "SpecError",
    "WeightsError",
    "audit",
    "cost",
    "data",
    "deploy",
    "design",
    "detect",
    "draw",
    "edit",
    "explain",
    "family",
    "load",
    "lower",
    "measure",
    "nn",
    "ops",
    "parse",
    "probe",
    "proxy",
    "report",
    "save",
    "search",
    "serve",
    "share",
    "spec",
    "to_text",
    "train",
    "trials",
    "weights",
]

if TYPE_CHECKING:
    from otoyol import (
        audit,
        cost,
        data,
        deploy,
        design,
        detect,
        draw,
        explain,
        measure,
        nn,
        ops,
        probe,
        proxy,
        report,
        search,
        serve,
        share,
        spec,
        train,
        trials,
        weights,
    )
    from otoyol.errors import OtoyolError, SpecError, WeightsError
    from otoyol.ops import lower
    from otoyol.share import load
    from otoyol.spec import Spec, edit, family, parse, save, to_text


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    if name in __all__:
        return importlib.import_module(f"otoyol.{name}")
    raise AttributeError(f"module 'otoyol' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
