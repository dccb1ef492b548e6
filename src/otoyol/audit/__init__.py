"""The highway audit: what stands on the identity path, which norms fold, what to watch.

``highway(spec)`` is the way in. Everything is read from the operators' inputs; no block name is known here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from otoyol.audit.fold import Fold, folds
from otoyol.audit.highway import BlockAudit, Obstacle, Run, audit_blocks, longest_run
from otoyol.audit.warn import Finding, warnings
from otoyol.ops import lower
from otoyol.spec import Spec


@dataclass(frozen=True)
class StageCount:
    """Figures of one stage, or of what lies outside the stages (``stage`` -1: stem, final norm, tap norms)."""

    stage: int
    blocks: int
    pure: int
    norms: int
    foldable: int


@dataclass(frozen=True)
class Audit:
    """``open_throughout``: whether the path from stem to head is an untouched identity in every block."""

    blocks: tuple[BlockAudit, ...]
    run: Run
    folds: tuple[Fold, ...]
    stages: tuple[StageCount, ...]
    warnings: tuple[Finding, ...]

    @property
    def pure(self) -> int:
        return sum(block.pure for block in self.blocks)

    @property
    def open_throughout(self) -> bool:
        return self.pure == len(self.blocks)

    @property
    def foldable(self) -> int:
        return sum(fold.folds for fold in self.folds)

    def to_mapping(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "pure": self.pure,
            "depth": len(self.blocks),
            "open_throughout": self.open_throughout,
            "run": asdict(self.run),
            "norms": len(self.folds),
            "foldable": self.foldable,
            "stages": [asdict(stage) for stage in self.stages],
            "blocks": [asdict(block) | {"pure": block.pure} for block in self.blocks],
            "folds": [asdict(fold) for fold in self.folds],
            "warnings": [asdict(warning) for warning in self.warnings],
        }


@lru_cache(maxsize=32)
def highway(spec: Spec) -> Audit:
    """Audit a design. Pure: equal specs give equal audits."""
    network = lower(spec)
    blocks = audit_blocks(spec, network.ops)
    norms = folds(network)
    stages = tuple(_count(stage, blocks, norms) for stage in range(-1, len(spec.stages)))
    return Audit(blocks, longest_run(blocks), norms, stages, warnings(spec, network, blocks))


def _count(stage: int, blocks: tuple[BlockAudit, ...], norms: tuple[Fold, ...]) -> StageCount:
    here = [block for block in blocks if block.stage == stage]
    folded = [fold for fold in norms if fold.stage == stage]
    return StageCount(stage, len(here), sum(b.pure for b in here), len(folded), sum(f.folds for f in folded))


__all__ = ["Audit", "BlockAudit", "Finding", "Fold", "Obstacle", "Run", "StageCount", "highway"]
