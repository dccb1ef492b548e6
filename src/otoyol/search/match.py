"""Equal budget: rescale a changed design until it costs what the baseline costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from math import lcm
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from otoyol.cost import count_batch
from otoyol.errors import SpecError
from otoyol.search.stream import Scorer
from otoyol.spec import Spec, edit

Ints = NDArray[np.int64]
Quantity = Literal["macs", "params", "activations", "train_bytes", "train_bytes_lean", "peak_inference_bytes"]
EQUAL: tuple[Quantity, ...] = (
    "macs", "params", "activations", "train_bytes", "train_bytes_lean", "peak_inference_bytes",
)  # fmt: skip
Figures = NDArray[Any]
Cost = Callable[[Spec, Ints, Ints], Figures]
FACTORS = np.geomspace(1 / 16, 16, 4001)
NEAREST = 24  # uniform rescalings whose neighbours are tried
NEIGHBOURS = 1024


class Match(NamedTuple):
    """``spec`` is the changed design rescaled; ``reached`` is its cost, ``wanted`` the baseline's: whole numbers where
    exact cost knows the quantity.

    ``within`` says whether they agree within the tolerance; where they do not, ``reason`` says why and how near
    the nearest design comes.
    """

    spec: Spec
    quantity: str
    wanted: float
    reached: float
    within: bool
    reason: str

    @property
    def difference(self) -> float:
        """Relative to the baseline: 0.01 is 1% more."""
        return self.reached / self.wanted - 1


def match(
    baseline: Spec,
    changed: Spec | Mapping[str, str],
    *,
    equal: str = "macs",
    vary: Literal["widths", "depths", "both"] = "widths",
    multiple: int = 8,
    tolerance: float = 0.01,
    batch: int = 1,
    scorer: Scorer | None = None,
) -> Match:
    """The changed design whose ``widths`` (or ``depths``, or both) are rescaled to the baseline's budget.

    ``changed`` is a spec or edits of the baseline in the text form's words. Widths stay multiples of ``multiple``
    and of what groups and group norm ask; of the designs within ``tolerance`` the one nearest to a uniform
    rescaling is taken. ``equal`` is one of :data:`EQUAL`, or with a ``scorer``, which supplies it, what the scorer's
    figure is to be called. Raises SpecError where the change cannot be built or the quantity is not known.
    """
    if equal not in EQUAL and scorer is None:
        raise SpecError("equal", equal, f"one of {', '.join(EQUAL)}")
    cost: Cost = partial(_scored, scorer) if scorer else partial(_counted, equal, batch)
    if not 1 <= multiple <= 1024:
        raise SpecError("multiple", multiple, "1 to 1024")
    changed = changed if isinstance(changed, Spec) else edit(baseline, changed)
    wanted = cost(baseline, np.array([_own(baseline, "depth")]), np.array([_own(baseline, "width")]))[0]
    if not wanted > 0:
        raise SpecError("equal", equal, "a quantity that the baseline has any of")
    depths, widths, strain = _candidates(changed, vary, multiple, wanted, cost)
    reached = cost(changed, depths, widths)
    off = np.abs(reached / wanted - 1)
    off[reached == 0] = np.inf
    if not np.isfinite(off).any():
        raise SpecError("equal", equal, f"a change that some {vary} can build in multiples of {multiple}")
    within = off <= tolerance
    best = int(np.flatnonzero(within)[np.argmin(strain[within])]) if within.any() else int(np.argmin(off))
    spec = edit(changed, {"depths": _text(depths[best]), "widths": _text(widths[best])})
    reason = "" if within.any() else _reason(reached, wanted, equal, vary, multiple)
    return Match(spec, equal, wanted.item(), reached[best].item(), bool(within.any()), reason)


def _own(spec: Spec, field: str) -> list[int]:
    return [getattr(stage, field) for stage in spec.stages]


def _text(values: Ints) -> str:
    return "-".join(map(str, values.tolist()))


def _counted(quantity: str, batch: int, spec: Spec, depths: Ints, widths: Ints) -> Figures:
    """The quantity for every row; 0 where a row cannot be built."""
    costs = count_batch(spec, depths=depths, widths=widths, batch=batch, only=(quantity,))
    return np.where(costs.valid, getattr(costs, quantity), 0)


def _scored(scorer: Scorer, spec: Spec, depths: Ints, widths: Ints) -> Figures:
    return np.nan_to_num(scorer(spec, depths, widths), nan=0.0)


def _candidates(
    spec: Spec, vary: str, multiple: int, wanted: float, cost: Cost
) -> tuple[Ints, Ints, NDArray[np.float64]]:
    """(depths, widths, strain): uniform rescalings, then the neighbours of those nearest to the budget.

    The strain of a design is how far its stages are from a uniform rescaling: the spread of log(new / old).
    """
    old_depths, old_widths = np.array(_own(spec, "depth")), np.array(_own(spec, "width"))
    steps = _steps(spec, multiple)
    factors = FACTORS[:, None]
    depths = (
        np.maximum(1, np.rint(old_depths * factors)) if vary != "widths" else np.tile(old_depths, (len(factors), 1))
    )
    if vary == "depths":
        widths = np.tile(old_widths, (len(factors), 1))
    elif vary == "widths":
        widths = np.maximum(steps, np.rint(old_widths * factors / steps) * steps)
    else:  # both: depth and width grow alike in cost, so each takes the square root of the factor's share
        depths = np.maximum(1, np.rint(old_depths * np.cbrt(factors)))
        widths = np.maximum(steps, np.rint(old_widths * np.cbrt(factors) / steps) * steps)
    rows = np.unique(np.concatenate([depths, widths], axis=1).astype(np.int64), axis=0)
    stages = len(old_depths)
    reached = cost(spec, rows[:, :stages], rows[:, stages:])
    far = np.full(len(rows), np.inf)
    far[reached > 0] = np.abs(np.log(reached[reached > 0] / wanted))
    near = rows[np.argsort(far, kind="stable")[:NEAREST]]
    moves = _moves(stages)
    still = np.zeros_like(moves)
    move_depths = moves if vary == "depths" else still
    move_widths = still if vary == "depths" else moves * steps
    around = (near[:, None, :] + np.concatenate([move_depths, move_widths], axis=1)[None]).reshape(-1, 2 * stages)
    around = around[(around[:, :stages] >= 1).all(axis=1) & (around[:, stages:] >= 1).all(axis=1)]
    rows = np.unique(np.concatenate([rows, around]), axis=0)
    logs = np.log(rows / np.concatenate([old_depths, old_widths]))
    strain = np.ptp(logs[:, :stages], axis=1) + np.ptp(logs[:, stages:], axis=1)
    return rows[:, :stages], rows[:, stages:], strain


def _moves(stages: int) -> Ints:
    """Steps up and down of every stage; of at most six at once, the last, which carry most of the cost."""
    free = min(stages, 6)
    reach = max(1, int((NEIGHBOURS ** (1 / free) - 1) / 2))
    moves = np.array(list(product(range(-reach, reach + 1), repeat=free)), dtype=np.int64)
    return np.concatenate([np.zeros((len(moves), stages - free), dtype=np.int64), moves], axis=1)


def _steps(spec: Spec, multiple: int) -> Ints:
    """What each stage's width must be a multiple of."""
    steps = []
    for stage in spec.stages:
        groups = stage.groups or stage.group_width or spec.groups or spec.group_width or 1
        steps.append(lcm(multiple, groups, spec.norm.groups if spec.norm.kind == "group" else 1))
    return np.array(steps, dtype=np.int64)


def _reason(reached: Figures, wanted: float, quantity: str, vary: str, multiple: int) -> str:
    possible = reached[reached > 0]
    nearest = possible[np.argmin(np.abs(possible / wanted - 1))]
    off = f"{(nearest / wanted - 1) * 100:+.2f}%"
    if possible.min() > wanted:
        return (
            f"even the smallest {vary} cost {_told(possible.min())} {quantity}, {off} of the budget of {_told(wanted)}"
        )
    if possible.max() < wanted:
        most = _told(possible.max())
        return f"even the largest {vary} tried cost {most} {quantity}, {off} of the budget of {_told(wanted)}"
    grain = f" in multiples of {multiple}" if vary != "depths" else ""
    return f"{vary}{grain} are too coarse a step: the nearest design costs {_told(nearest)} {quantity}, {off}"


def _told(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, np.floating) else str(value)
