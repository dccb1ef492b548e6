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
from otoyol.search.budget import ALSO
from otoyol.search.stream import Scorer
from otoyol.spec import Spec, edit

Ints = NDArray[np.int64]
Quantity = Literal["macs", "params", "activations", "train_bytes", "train_bytes_lean", "peak_inference_bytes"]
EQUAL: tuple[Quantity, ...] = (
    "macs", "params", "activations", "train_bytes", "train_bytes_lean", "peak_inference_bytes",
)  # fmt: skip
Figures = NDArray[Any]
Cost = Callable[[Spec, Ints, Ints], Figures]
Vary = Literal["widths", "depths", "both"]
NAMED: dict[Vary, str] = {"widths": "widths", "depths": "depths", "both": "depths and widths"}
FINE = 500  # factors an octave, of depths or of widths
BOTH = 8, 128  # of depths and of widths where each of the ones meets each of the others
MOST, LEAST = 16.0, 1 / 16  # times as much; less where the smallest design is smaller still
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
    vary: Vary = "widths",
    multiple: int = 8,
    tolerance: float = 0.01,
    batch: int = 1,
    dtype: str = "float32",
    scorer: Scorer | None = None,
) -> Match:
    """The changed design whose ``widths`` (or ``depths``, or both) are rescaled to the baseline's budget.

    ``changed`` is a spec or edits of the baseline in the text form's words. Widths stay multiples of ``multiple``
    and of what groups and group norm ask; of the designs within ``tolerance`` the one nearest to a uniform
    rescaling is taken: one factor for the depths, one for the widths, where both vary the two as near to each other
    as can be. ``equal`` is one of :data:`EQUAL` (``training_bytes`` is another word for ``train_bytes``), or with a
    ``scorer``, which supplies it, what the scorer's figure is to be called. ``batch`` and ``dtype`` are what is counted
    for. Raises SpecError where the change cannot be built or the quantity is not known.
    """
    equal = ALSO.get(equal, equal)
    if equal not in EQUAL and scorer is None:
        raise SpecError("equal", equal, f"one of {', '.join(EQUAL)}")
    cost: Cost = partial(_scored, scorer) if scorer else partial(_counted, equal, batch, dtype)
    if not 1 <= multiple <= 1024:
        raise SpecError("multiple", multiple, "1 to 1024")
    changed = changed if isinstance(changed, Spec) else edit(baseline, changed)
    wanted = cost(baseline, np.array([_own(baseline, "depth")]), np.array([_own(baseline, "width")]))[0]
    if not wanted > 0:
        raise SpecError("equal", equal, "a quantity that the baseline has any of")
    rows, reached = _candidates(changed, vary, multiple, wanted, cost)
    off = np.abs(reached / wanted - 1)
    off[reached == 0] = np.inf
    if not np.isfinite(off).any():
        raise SpecError("equal", equal, f"a change that some {NAMED[vary]} can build in multiples of {multiple}")
    within = off <= tolerance
    rank = np.where(within, _strain(rows, changed, vary), np.inf) if within.any() else off
    best = int(np.lexsort((*rows.T[::-1], rank))[0])
    depths, widths = _split(rows)
    spec = edit(changed, {"depths": _text(depths[best]), "widths": _text(widths[best])})
    reason = "" if within.any() else _reason(reached, wanted, equal, vary, multiple)
    return Match(spec, equal, wanted.item(), reached[best].item(), bool(within.any()), reason)


def _own(spec: Spec, field: str) -> list[int]:
    return [getattr(stage, field) for stage in spec.stages]


def _text(values: Ints) -> str:
    return "-".join(map(str, values.tolist()))


def _counted(quantity: str, batch: int, dtype: str, spec: Spec, depths: Ints, widths: Ints) -> Figures:
    """The quantity for every row; 0 where a row cannot be built."""
    costs = count_batch(spec, depths=depths, widths=widths, batch=batch, dtype=dtype, only=(quantity,))
    return np.where(costs.valid, getattr(costs, quantity), 0)


def _scored(scorer: Scorer, spec: Spec, depths: Ints, widths: Ints) -> Figures:
    return np.nan_to_num(scorer(spec, depths, widths), nan=0.0)


def _candidates(spec: Spec, vary: Vary, multiple: int, wanted: float, cost: Cost) -> tuple[Ints, Figures]:
    """Depths and widths, a design a row, and what each costs: uniform rescalings, then the neighbours of those nearest
    to the budget. Where both vary, every depth factor meets every width factor."""
    old_depths, old_widths = np.array(_own(spec, "depth")), np.array(_own(spec, "width"))
    steps, ones = _steps(spec, multiple), np.ones_like(old_depths)
    of_depths, of_widths = BOTH if vary == "both" else (FINE, FINE)
    depths = old_depths[None] if vary == "widths" else _rescaled(old_depths, ones, of_depths)
    widths = old_widths[None] if vary == "depths" else _rescaled(old_widths, steps, of_widths)
    rows = np.concatenate([np.repeat(depths, len(widths), axis=0), np.tile(widths, (len(depths), 1))], axis=1)
    reached = cost(spec, *_split(rows))
    far = np.full(len(rows), np.inf)
    far[reached > 0] = np.abs(np.log(reached[reached > 0] / wanted))
    near = rows[np.argsort(far, kind="stable")[:NEAREST]]
    moves = _moves(len(steps))
    still = np.zeros_like(moves)
    move = [moves, still] if vary == "depths" else [still, moves * steps]
    around = (near[:, None, :] + np.concatenate(move, axis=1)[None]).reshape(-1, rows.shape[1])
    around = _distinct(around[(around >= 1).all(axis=1)])
    return np.concatenate([rows, around]), np.concatenate([reached, cost(spec, *_split(around))])


def _rescaled(old: Ints, steps: Ints, octave: int) -> Ints:
    """Uniform rescalings, each once, down to where every stage is one step: ``octave`` factors to twice as much."""
    least = min(LEAST, (steps / old).min())
    factors = 2.0 ** (np.arange(-int(np.ceil(-np.log2(least) * octave)), int(np.log2(MOST) * octave) + 1) / octave)
    return _distinct(np.maximum(steps, np.rint(old * factors[:, None] / steps) * steps).astype(np.int64))


def _distinct(rows: Ints) -> Ints:
    """Each row once, in order, as ``np.unique(rows, axis=0)`` in a tenth of its time (it compares whole rows)."""
    key, span = np.zeros(len(rows), dtype=np.int64), 1
    for column in rows.T:
        low = column.min()
        width = int(column.max() - low) + 1
        if span * width > 2**62:  # begin anew with as few numbers as there are rows so far
            key, span = np.unique(key, return_inverse=True)[1], len(rows)
        key, span = key * width + (column - low), span * width
    return rows[np.unique(key, return_index=True)[1]]


def _split(rows: Ints) -> tuple[Ints, Ints]:
    """(depths, widths) of rows that hold both."""
    return rows[:, : rows.shape[1] // 2], rows[:, rows.shape[1] // 2 :]


def _strain(rows: Ints, spec: Spec, vary: Vary) -> NDArray[np.float64]:
    """How far designs are from a uniform rescaling: the spread of log(new / old) over the depths and over the widths,
    and, where both vary, how far the two factors are apart."""
    logs = np.log(rows / np.array([*_own(spec, "depth"), *_own(spec, "width")]))
    depths, widths = np.split(logs, 2, axis=1)
    apart = np.abs(depths.mean(axis=1) - widths.mean(axis=1)) if vary == "both" else 0.0
    return np.ptp(depths, axis=1) + np.ptp(widths, axis=1) + apart


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


def _reason(reached: Figures, wanted: float, quantity: str, vary: Vary, multiple: int) -> str:
    named = NAMED[vary]
    possible = reached[reached > 0]
    nearest = possible[np.argmin(np.abs(possible / wanted - 1))]
    off = f"{(nearest / wanted - 1) * 100:+.2f}%"
    if possible.min() > wanted:
        return (
            f"even the smallest {named} cost {_told(possible.min())} {quantity}, {off} of the budget of {_told(wanted)}"
        )
    if possible.max() < wanted:
        most = _told(possible.max())
        return f"even the largest {named} tried cost {most} {quantity}, {off} of the budget of {_told(wanted)}"
    grain = f" in multiples of {multiple}" if vary != "depths" else ""
    return f"{named}{grain} are too coarse a step: the nearest design costs {_told(nearest)} {quantity}, {off}"


def _told(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, np.floating) else str(value)
