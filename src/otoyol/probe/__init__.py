"""Probes: what gradients and signals do in a network, block by block, on real images.

``snapshot(model, images, labels)`` measures a network on a batch, ``stretches`` verifies the identities of He et al.
2016 on it, ``lesion_study`` removes its blocks one by one. All leave the model as it was. ``probe(spec, data)`` does
all of it before and after training.
"""

from __future__ import annotations

from otoyol.probe.identities import stretches
from otoyol.probe.jacobian import singular_values
from otoyol.probe.lesion import lesion_study
from otoyol.probe.result import (
    BlockFigures,
    DeadChannels,
    Lesion,
    LesionStudy,
    NormFigures,
    Problem,
    Run,
    Singular,
    Snapshot,
    Stretch,
)
from otoyol.probe.run import OnError, Source, open_source, probe
from otoyol.probe.snapshot import snapshot
from otoyol.probe.verdict import verdict

__all__ = [
    "BlockFigures", "DeadChannels", "Lesion", "LesionStudy", "NormFigures", "OnError", "Problem", "Run", "Singular",
    "Snapshot", "Source", "Stretch", "lesion_study", "open_source", "probe", "singular_values", "snapshot",
    "stretches", "verdict",
]  # fmt: skip
