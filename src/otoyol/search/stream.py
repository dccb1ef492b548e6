"""Search: a stream of designs through budgets into a Pareto front, in bounded memory."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from otoyol.cost import count_batch
from otoyol.errors import SpecError
from otoyol.search.budget import LATENCY, QUANTITIES, Budget, Objective, check_budgets
from otoyol.search.linear import Linear, layers, receptive_field
from otoyol.search.pareto import Front
from otoyol.search.sample import Chunk, Ints, draw, enumerate_all, size
from otoyol.search.space import Refused, Space, Structure, structures
from otoyol.spec import Spec, edit, to_text
from otoyol.spec.files import write_text

Scorer = Callable[[Spec, Ints, Ints], NDArray[np.float64]]
"""(structure, depths (N, stages), widths (N, stages)) → one number a design, (N,); NaN where there is none. Where it
has an ``identity``, a saved search goes on only with a scorer of the same."""

SAVE_SECONDS = 5.0
_LINEAR: Mapping[str, Callable[[Spec], Linear]] = {"depth": layers, "receptive_field": receptive_field}


class Progress(NamedTuple):
    """``seen`` designs of ``total``, ``met`` within all budgets, ``kept`` on the front, ``seconds`` so far and left."""

    seen: int
    total: int
    met: int
    kept: int
    seconds: float
    seconds_left: float


class Design(NamedTuple):
    """A design on the front: its spec in text form and its quantities by name, such as ``latency_ms@ort,b1``."""

    spec: str
    values: dict[str, float]


class Found(NamedTuple):
    """``designs`` is the front, sorted by the objectives in turn and then by text. ``met`` counts designs within each
    budget alone, by its words, and ``"all"`` within all. ``thinned``: the front outgrew its capacity, see
    :class:`otoyol.search.pareto.Front`.
    ``refused`` are combinations of choices that cannot be built."""

    designs: tuple[Design, ...]
    seen: int
    valid: int
    met: dict[str, int]
    thinned: bool
    finished: bool
    refused: tuple[Refused, ...]


def search(
    space: Space, budgets: Sequence[Budget], objectives: Sequence[Objective], *,
    count: int | None = 1_000_000, seed: int = 0, scorers: Mapping[str, Scorer] | None = None,
    capacity: int = 1024, batch: int = 1, dtype: str = "float32",
    progress: Callable[[Progress], None] | None = None, state: str | os.PathLike[str] | None = None,
    fresh: bool = False,
) -> Found:  # fmt: skip
    """The Pareto front over ``objectives`` of the designs of ``space`` that meet all ``budgets``.

    ``count`` designs are drawn by ``seed``, or with None all of a finite space are enumerated. ``scorers`` supply
    quantities that exact cost does not know, by quantity or, where they differ by what stands behind the @, by both:
    ``latency_ms@ort,b1``. Figures are for ``batch`` images in ``dtype``. Designs of equal figures are all kept, in
    whatever order they come, while at most ``capacity`` are on the front (see :class:`otoyol.search.pareto.Front`).
    With ``state`` the search is saved there every few seconds and goes on from it; Ctrl-C ends it early with what was
    found. With ``fresh`` it begins anew whatever is there, and saves no more once it has come to its end. Raises
    SpecError where space, budgets, seed or state contradict.
    """
    limits, wanted = tuple(dict.fromkeys(budgets)), tuple(dict.fromkeys(objectives))  # each counts once
    check_budgets(list(limits))
    if not wanted:
        raise SpecError("objective", "nothing", "at least one quantity to maximize or minimize")
    built, refused = structures(space)
    total = count if count is not None else size(space)
    if total is None or total < 1:
        raise SpecError("count", count, "a positive number of designs; only a space of ranges can be enumerated")
    run = _Run(built, limits, wanted, dict(scorers or {}), capacity, batch, dtype)
    identity = [
        space.model_dump(mode="json"), [b.text for b in limits], [list(o) for o in wanted], count, seed,
        batch, dtype, capacity, {name: str(getattr(scorer, "identity", "")) for name, scorer in run.scorers.items()},
    ]  # fmt: skip
    done = run.restore(Path(state), identity) if state and not fresh and Path(state).exists() else run.nothing
    began = saved = time.monotonic()
    first_seen, finished = done.seen, False
    try:
        for chunk in _chunks(space, count, seed, done.chunks):
            done = run.take(chunk, done)
            now = time.monotonic()
            if progress:
                rate = max(done.seen - first_seen, 1) / max(now - began, 1e-9)
                left = max(total - done.seen, 0) / rate
                progress(Progress(done.seen, total, done.met["all"], len(done.front), now - began, left))
            if state and now - saved > SAVE_SECONDS:
                run.save(Path(state), identity, done)
                saved = now
        finished = True
    except KeyboardInterrupt:  # ``done`` holds whole chunks
        pass
    if state and not (fresh and finished):
        run.save(Path(state), identity, done)
    designs = run.designs(done.front)
    return Found(designs, done.seen, done.valid, done.met, done.front.thinned, finished, tuple(refused))


def _chunks(space: Space, count: int | None, seed: int, start: int) -> Iterator[Chunk]:
    return enumerate_all(space, start=start) if count is None else draw(space, count, seed, start=start)


class _Done(NamedTuple):
    """What a search remembers of the chunks behind it; the front's payload is (structure, depths, widths)."""

    front: Front
    seen: int
    valid: int
    met: dict[str, int]
    chunks: int


class _Run:
    """What a search does with a chunk; the same all the way."""

    def __init__(
        self, built: list[Structure], budgets: tuple[Budget, ...], objectives: tuple[Objective, ...],
        scorers: dict[str, Scorer], capacity: int, batch: int, dtype: str,
    ) -> None:  # fmt: skip
        self.built, self.budgets, self.objectives = built, budgets, objectives
        self.batch, self.dtype = batch, dtype
        asked: list[Budget | Objective] = [*budgets, *objectives]
        self.wanted = {item.key: item.quantity for item in asked}
        self.scorers = {
            key: scorers[key if key in scorers else quantity]
            for key, quantity in self.wanted.items()
            if key in scorers or quantity in scorers
        }
        for name, quantity in self.wanted.items():
            if name not in self.scorers and (quantity not in QUANTITIES or quantity == LATENCY):
                raise SpecError("quantity", name, "a quantity of exact cost, or one that a scorer supplies")
        self.exact = tuple(q for q in self.wanted if q not in self.scorers and q not in _LINEAR)
        self.linear = {
            name: [_LINEAR[name](structure.spec) for structure in built]
            for name in self.wanted
            if name in _LINEAR and name not in self.scorers
        }
        self.stages = max(len(structure.spec.stages) for structure in built)
        front = Front(len(objectives), 1 + 2 * self.stages, capacity)
        self.nothing = _Done(front, 0, 0, {budget.text: 0 for budget in budgets} | {"all": 0}, 0)

    def take(self, chunk: Chunk, done: _Done) -> _Done:
        """Cost one chunk, count what meets the budgets, offer it to the front."""
        values, valid = self.quantities(self.built[chunk.structure].spec, chunk)
        good, met, front = valid, dict(done.met), copy(done.front)
        for budget in self.budgets:
            limit = float(budget.limit)
            meets = values[budget.key] >= limit if budget.at_least else values[budget.key] <= limit
            met[budget.text] += int((meets & valid).sum())
            good = good & meets
        met["all"] += int(good.sum())
        rows = np.flatnonzero(good)
        if len(rows):
            columns = [values[o.key][rows] * (-1.0 if o.maximize else 1.0) for o in self.objectives]
            depths, widths = (self._padded(a[rows]) for a in (chunk.depths, chunk.widths))
            structure = np.full((len(rows), 1), chunk.structure, dtype=np.int64)
            front.add(np.stack(columns, axis=1), np.concatenate([structure, depths, widths], axis=1))
        return _Done(front, done.seen + len(valid), done.valid + int(valid.sum()), met, done.chunks + 1)

    def _padded(self, rows: Ints) -> Ints:
        return np.pad(rows, ((0, 0), (0, self.stages - rows.shape[1])))

    def quantities(self, spec: Spec, chunk: Chunk) -> tuple[dict[str, Any], NDArray[np.bool_]]:
        """Every wanted quantity of the chunk's designs, and which designs can be built and scored."""
        costs = count_batch(
            spec, depths=chunk.depths, widths=chunk.widths, batch=self.batch, dtype=self.dtype,
            only=self.exact or ("params",),
        )  # fmt: skip
        values: dict[str, Any] = {name: getattr(costs, name) for name in self.exact}
        for name, per_structure in self.linear.items():
            values[name] = per_structure[chunk.structure](chunk.depths)
        valid = costs.valid
        for name, scorer in self.scorers.items():
            values[name] = scorer(spec, chunk.depths, chunk.widths)
            valid = valid & ~np.isnan(values[name])
        return values, valid

    def designs(self, front: Front) -> tuple[Design, ...]:
        """The front as specs, each once, with every wanted quantity computed again."""
        found: dict[str, tuple[list[float], Design]] = {}
        for index in np.unique(front.payload[:, 0]).tolist():
            rows = np.flatnonzero(front.payload[:, 0] == index)
            base = self.built[index].spec
            stages = len(base.stages)
            depths = front.payload[rows, 1 : 1 + stages]
            widths = front.payload[rows, 1 + self.stages : 1 + self.stages + stages]
            values, _ = self.quantities(base, Chunk(index, depths, widths))
            for i, row in enumerate(rows.tolist()):
                text = to_text(edit(base, {"depths": _dashed(depths[i]), "widths": _dashed(widths[i])}))
                design = Design(text, {name: values[name][i].item() for name in self.wanted})
                found[text] = front.values[row].tolist(), design
        return tuple(design for _, design in sorted(found.values(), key=lambda one: (one[0], one[1].spec)))

    def save(self, path: Path, identity: list[Any], done: _Done) -> None:
        fields = {
            "identity": identity, "chunks": done.chunks, "seen": done.seen, "valid": done.valid, "met": done.met,
            "thinned": done.front.thinned, "values": done.front.values.tolist(),
            "payload": done.front.payload.tolist(),
        }  # fmt: skip
        write_text(path, json.dumps(fields))

    def restore(self, path: Path, identity: list[Any]) -> _Done:
        """Take up a saved search."""
        try:
            fields = json.loads(path.read_text())
            if fields["identity"] == json.loads(json.dumps(identity)):
                front = copy(self.nothing.front)
                front.values = np.array(fields["values"], dtype=float).reshape(-1, len(self.objectives))
                front.payload = np.array(fields["payload"], dtype=np.int64).reshape(len(front.values), -1)
                front.thinned = bool(fields["thinned"])
                seen, valid, chunks = (int(fields[name]) for name in ("seen", "valid", "chunks"))
                return _Done(front, seen, valid, dict(fields["met"]), chunks)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            raise SpecError(
                "state", str(path), "a state that `otoyol search` has written; this one is damaged"
            ) from None
        same = "space, budgets, objectives, count, seed, batch, number type, capacity and latency tables"
        raise SpecError("state", str(path), f"the state of this same {same}")


def _dashed(values: Ints) -> str:
    return "-".join(map(str, values.tolist()))
