"""What a check found."""

from __future__ import annotations

import math
from typing import Any, NamedTuple


class Figure(NamedTuple):
    """One comparison; tensors stand here by their largest magnitude.

    ``error`` is ``max |ours - theirs| / max |theirs|``, and ``bound`` what is allowed (0 for counts).
    """

    name: str
    ours: float
    theirs: float
    error: float
    bound: float

    @property
    def ok(self) -> bool:
        return self.error <= self.bound  # nan is not


class Result(NamedTuple):
    """``figures``: parameters, MACs, outputs, taps and running statistics. ``problem``: why
    the peer's weights do not fit the design, empty where they do. ``image``: what the networks saw."""

    design: str
    peer: str
    dtype: str
    image: str
    figures: tuple[Figure, ...]
    problem: str = ""
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.problem and bool(self.figures) and all(figure.ok for figure in self.figures)

    @property
    def verdict(self) -> str:
        """One sentence (several lines where weights do not fit)."""
        if self.problem:
            return f"{self.design} is not {self.peer}: {self.problem}"
        worst = max(self.figures, key=lambda figure: figure.error / figure.bound if figure.bound else figure.error)
        if self.ok:
            return f"{self.design} equals {self.peer}: largest relative error {worst.error:.1e} ({worst.name})"
        bad = ", ".join(figure.name for figure in self.figures if not figure.ok)
        return f"{self.design} differs from {self.peer} in {bad}"

    def to_mapping(self) -> dict[str, Any]:
        """Plain data for JSON; figures that are not finite are None."""
        return {
            "design": self.design,
            "peer": self.peer,
            "ok": self.ok,
            "verdict": self.verdict,
            "dtype": self.dtype,
            "image": self.image,
            "figures": [
                {**{key: _finite(value) for key, value in figure._asdict().items()}, "ok": figure.ok}
                for figure in self.figures
            ],
            "problem": self.problem,
            "notes": list(self.notes),
        }


def _finite(value: Any) -> Any:
    """JSON has no nan and no infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
