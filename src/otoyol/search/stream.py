"""Search: a stream of designs through budgets into a Pareto front, in bounded memory."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from otoyol.cost import count_batch
from otoyol.errors import SpecError
from otoyol.search.budget import QUANTITIES, Budget, check_budgets
from otoyol.search.linear import Linear, layers, receptive_field
from otoyol.search.pareto import Front
from otoyol.search.sample import Chunk, Ints, draw, enumerate_all, size
from otoyol.search.space import Refused, Space, Structure, structures
from otoyol.spec import Spec, edit, to_text
from otoyol.spec.files import write_text

Scorer = Callable[[Spec, Ints, Ints], NDArray[np.float64]]
"""(structure, depths (N, stages), widths (N, stages)) → one number a design, (N,)."""

SAVE_SECONDS = 5.0
_LINEAR: Mapping[str, Callable[[Spec], Linear]] = {"depth": layers, "receptive_field": receptive_field}


class Objective(NamedTuple):
    quantity: str
    maximize: bool


class Progress(NamedTuple):
    """``seen`` designs of ``total``, ``met`` within all budgets, ``kept`` on the front, ``seconds`` so far and left."""

    seen: int
    total: int
    met: int
    kept: int
    seconds: float
    seconds_left: float


class Design(NamedTuple):
    """A design on the front: its spec in text form and its quantities by name."""

    spec: str
    values: dict[str, float]


class Found(NamedTuple):
    """``designs`` is the front, sorted by the first objective. ``met`` counts designs within each budget alone, by its
    words, and ``"all"`` within all. ``thinned``: the front outgrew its capacity, see :class:`Front`.
    ``refused`` are combinations of choices that cannot be built."""

    designs: tuple[Design, ...]
    seen: int
    valid: int
    met: dict[str, int]
    thinned: bool
    finished: bool
    refused: tuple[Refused, ...]


def parse_objective(text: str, *, maximize: bool, scorers: Mapping[str, Scorer] | None = None) -> Objective:
    """An objective from its quantity's name. Raises SpecError."""
    known = (*QUANTITIES, *(scorers or ()))
    if text not in known:
        raise SpecError("objective", text, f"one of {', '.join(known)}")
    return Objective(text, maximize)


def search(
    space: Space, budgets: Sequence[Budget], objectives: Sequence[Objective], *,
    count: int | None = 1_000_000, seed: int = 0, scorers: Mapping[str, Scorer] | None = None,
    capacity: int = 1024, batch: int = 1, dtype: str = "float32",
    progress: Callable[[Progress], None] | None = None, state: str | os.PathLike[str] | None = None,
) -> Found:  # fmt: skip
    """The Pareto front over ``objectives`` of the designs of ``space`` that meet all ``budgets``.

    ``count`` designs are drawn by ``seed``, or with None all of a finite space are enumerated. ``scorers`` supply
    quantities that exact cost does not know. With ``state`` the search is saved there every few seconds and goes on
    from it; Ctrl-C ends it early with what was found. Raises SpecError where space, budgets or state contradict.
    """
    check_budgets(list(budgets))
    if not objectives:
        raise SpecError("objective", "nothing", "at least one quantity to maximize or minimize")
    built, refused = structures(space)
    total = count if count is not None else size(space)
    if total is None or total < 1:
        raise SpecError("count", count, "a positive number of designs; only a space of ranges can be enumerated")
    run = _Run(built, tuple(budgets), tuple(objectives), dict(scorers or {}), capacity, batch, dtype)
    identity = [space.model_dump(mode="json"), [b.text for b in budgets], [list(o) for o in objectives], count, seed]
    start = run.restore(Path(state), identity) if state and Path(state).exists() else 0
    began = saved = time.monotonic()
    first_seen, finished = run.seen, False
    try:
        for index, chunk in enumerate(_chunks(space, count, seed, start), start):
            run.take(chunk)
            now = time.monotonic()
            if progress:
                rate = max(run.seen - first_seen, 1) / max(now - began, 1e-9)
                met = run.met["all"]
                progress(Progress(run.seen, total, met, len(run.front), now - began, max(total - run.seen, 0) / rate))
            if state and now - saved > SAVE_SECONDS:
                run.save(Path(state), identity, index + 1)
                saved = now
        finished = True
    except KeyboardInterrupt:
        pass
    if state:
        run.save(Path(state), identity, run.chunks)
    return Found(run.designs(), run.seen, run.valid, run.met, run.front.thinned, finished, tuple(refused))


def _chunks(space: Space, count: int | None, seed: int, start: int) -> Iterator[Chunk]:
    return enumerate_all(space, start=start) if count is None else draw(space, count, seed, start=start)


class _Run:
    """What a search remembers: counters and the front, whose payload is (structure, depths, widths)."""

    def __init__(
        self, built: list[Structure], budgets: tuple[Budget, ...], objectives: tuple[Objective, ...],
        scorers: dict[str, Scorer], capacity: int, batch: int, dtype: str,
    ) -> None:  # fmt: skip
        self.built, self.budgets, self.objectives, self.scorers = built, budgets, objectives, scorers
        self.batch, self.dtype = batch, dtype
        self.wanted = tuple(dict.fromkeys([b.quantity for b in budgets] + [o.quantity for o in objectives]))
        for name in self.wanted:
            if name not in scorers and (name not in QUANTITIES or name == "latency_ms"):
                raise SpecError("quantity", name, "a quantity of exact cost, or one that a scorer supplies")
        self.exact = tuple(q for q in self.wanted if q not in scorers and q not in _LINEAR)
        self.linear = {
            name: [_LINEAR[name](structure.spec) for structure in built] for name in self.wanted if name in _LINEAR
        }
        self.stages = max(len(structure.spec.stages) for structure in built)
        self.front = Front(len(objectives), 1 + 2 * self.stages, capacity)
        self.seen = self.valid = self.chunks = 0
        self.met = {budget.text: 0 for budget in budgets} | {"all": 0}

    def take(self, chunk: Chunk) -> None:
        """Cost one chunk, count what meets the budgets, offer it to the front."""
        spec = self.built[chunk.structure].spec
        values, good = self.quantities(spec, chunk)
        self.seen += len(chunk.depths)
        self.valid += int(good.sum())
        for budget in self.budgets:
            limit = float(budget.limit)
            meets = values[budget.quantity] >= limit if budget.at_least else values[budget.quantity] <= limit
            self.met[budget.text] += int((meets & (values["valid"] > 0)).sum())
            good &= meets
        self.met["all"] += int(good.sum())
        rows = np.flatnonzero(good)
        if len(rows):
            columns = [values[o.quantity][rows] * (-1.0 if o.maximize else 1.0) for o in self.objectives]
            depths, widths = (self._padded(a[rows]) for a in (chunk.depths, chunk.widths))
            structure = np.full((len(rows), 1), chunk.structure, dtype=np.int64)
            self.front.add(np.stack(columns, axis=1), np.concatenate([structure, depths, widths], axis=1))
        self.chunks += 1

    def _padded(self, rows: Ints) -> Ints:
        return np.pad(rows, ((0, 0), (0, self.stages - rows.shape[1])))

    def quantities(self, spec: Spec, chunk: Chunk) -> tuple[dict[str, Any], NDArray[np.bool_]]:
        """Every wanted quantity of the chunk's designs, and which designs can be built."""
        costs = count_batch(
            spec, depths=chunk.depths, widths=chunk.widths, batch=self.batch, dtype=self.dtype,
            only=self.exact or ("params",),
        )  # fmt: skip
        values: dict[str, Any] = {name: getattr(costs, name) for name in self.exact}
        for name, per_structure in self.linear.items():
            values[name] = per_structure[chunk.structure](chunk.depths)
        for name in self.wanted:
            if name in self.scorers:
                values[name] = self.scorers[name](spec, chunk.depths, chunk.widths)
        values["valid"] = costs.valid
        return values, costs.valid.copy()

    def designs(self) -> tuple[Design, ...]:
        """The front as specs, with every wanted quantity computed again for each."""
        found = []
        for row in self.front.payload[np.lexsort(self.front.values.T[::-1])]:
            structure = self.built[int(row[0])]
            stages = len(structure.spec.stages)
            depths, widths = row[1 : 1 + stages], row[1 + self.stages : 1 + self.stages + stages]
            spec = edit(structure.spec, {"depths": _dashed(depths), "widths": _dashed(widths)})
            values, _ = self.quantities(structure.spec, Chunk(int(row[0]), depths[None], widths[None]))
            found.append(Design(to_text(spec), {name: values[name][0].item() for name in self.wanted}))
        return tuple(found)

    def save(self, path: Path, identity: list[Any], chunks: int) -> None:
        fields = {
            "identity": identity, "chunks": chunks, "seen": self.seen, "valid": self.valid, "met": self.met,
            "thinned": self.front.thinned, "values": self.front.values.tolist(), "payload": self.front.payload.tolist(),
        }  # fmt: skip
        write_text(path, json.dumps(fields))

    def restore(self, path: Path, identity: list[Any]) -> int:
        """Take up a saved search; the number of chunks already done."""
        try:
            fields = json.loads(path.read_text())
            same = fields["identity"] == json.loads(json.dumps(identity))
        except (OSError, ValueError, KeyError, TypeError):
            raise SpecError(
                "state", str(path), "a state that `otoyol search` has written; this one is damaged"
            ) from None
        if not same:
            raise SpecError("state", str(path), "the state of this same space, budgets, objectives, count and seed")
        self.seen, self.valid, self.chunks = fields["seen"], fields["valid"], fields["chunks"]
        self.met, self.front.thinned = fields["met"], fields["thinned"]
        self.front.values = np.array(fields["values"], dtype=float).reshape(-1, len(self.objectives))
        self.front.payload = np.array(fields["payload"], dtype=np.int64).reshape(-1, 1 + 2 * self.stages)
        return int(self.chunks)


def _dashed(values: Ints) -> str:
    return "-".join(map(str, values.tolist()))
