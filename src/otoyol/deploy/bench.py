"""Engines in turns on one artifact: latency, throughput, memory, agreement.

Each engine runs a burst in each round, in a new order every time; the first run of a burst is not counted, for it finds
the caches full of others' weights and the others' threads still awake. So a slow minute of the machine is everybody's.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from otoyol.deploy.artifact import Artifact
from otoyol.deploy.engines import COMPILED, ENGINES, Session, load_engine, load_graph, obstacle, version
from otoyol.deploy.matched import matched_error, opened, reach
from otoyol.deploy.memory import grown_bytes
from otoyol.deploy.verify import difference, images
from otoyol.errors import OtoyolError, SpecError
from otoyol.measure.fingerprint import cores, processor
from otoyol.measure.table import Timing, timing

BURST = 3  # counted runs a turn
ROUNDS = 5  # at least
MAX_BATCH, MAX_THREADS = 1 << 10, 1 << 10
# Of the largest output, from float32 eager (in int8: from ONNX Runtime without optimisation, whose rounding may fall
# to the other side of a step).
TOLERANCE = {"fp32": 1e-4, "int8": 5e-2}

Array = np.ndarray[Any, Any]


class Row(NamedTuple):
    """One engine at one batch. ``error``: the largest difference from the reference over the largest output; of a
    detector, the largest of scores of boxes that match (:mod:`otoyol.deploy.matched`).
    ``grown_bytes``: how much a process of its own grows while the engine loads and runs once
    (:mod:`otoyol.deploy.memory`; None where the system does not tell). ``problem``: why there is nothing else."""

    engine: str
    batch: int
    timing: Timing | None = None
    error: float = 0.0
    grown_bytes: int | None = None
    load_seconds: float = 0.0
    problem: str = ""

    @property
    def latency_ms(self) -> float:
        return self.timing.seconds * 1e3 if self.timing else float("inf")

    @property
    def images_per_second(self) -> float:
        return self.batch / self.timing.seconds if self.timing else 0.0


class Bench(NamedTuple):
    """``rows``: every engine at every batch. ``reference``: what outputs were compared with."""

    artifact: Path
    digest: str
    threads: int
    processor: str
    cores: int
    reference: str
    rows: tuple[Row, ...]

    def best(self, batch: int, at_once: bool = False) -> Row | None:
        """The fastest engine at a batch whose outputs agree; ``at_once``: of those that start without compiling."""
        found = [row for row in self.rows if row.batch == batch and row.timing is not None and not row.problem]
        fit = [row for row in found if not (at_once and row.engine in COMPILED)]
        return min(fit, key=lambda row: row.latency_ms, default=None)

    @property
    def batches(self) -> tuple[int, ...]:
        """Those that were raced."""
        return tuple(dict.fromkeys(row.batch for row in self.rows))

    def to_mapping(self) -> dict[str, Any]:
        """Plain data for JSON."""
        rows = [
            {
                "engine": row.engine, "version": version(row.engine), "batch": row.batch,
                "problem": row.problem or None,
                "latency_ms": round(row.latency_ms, 4) if row.timing else None,
                "images_per_second": round(row.images_per_second, 2) if row.timing else None,
                "spread": round(row.timing.spread, 4) if row.timing else None,
                "rounds": row.timing.rounds if row.timing else 0,
                "error": row.error if math.isfinite(row.error) else None,
                "grown_bytes": row.grown_bytes, "load_seconds": round(row.load_seconds, 2),
            }
            for row in self.rows
        ]  # fmt: skip
        winners, at_once = (
            {str(batch): best.engine for batch in self.batches if (best := self.best(batch, quick))}
            for quick in (False, True)
        )
        return {
            "artifact": self.artifact.name, "sha256": self.digest, "threads": self.threads, "processor": self.processor,
            "cores": self.cores, "reference": self.reference, "best": winners, "best_at_once": at_once,
            "rows": rows,
        }  # fmt: skip


def bench(
    artifact: Artifact, engines: Sequence[str] = ENGINES, *, threads: int | None = None,
    batches: Sequence[int] = (1, 8), seconds: float = 10.0, seed: int = 0,
    progress: Callable[[str, int], None] | None = None,
) -> Bench:  # fmt: skip
    """Run ``artifact`` in every engine in turns, for ``seconds`` a batch but at least :data:`ROUNDS` rounds.

    ``threads``: by default all cores of this process. An engine that is not installed, or cannot run, has a row that
    says so. Raises SpecError for a name, a batch or threads that cannot be.
    """
    if unknown := [name for name in engines if name not in ENGINES]:
        raise SpecError("engines", unknown[0], ", ".join(ENGINES))
    threads = cores() if threads is None else threads
    checks = [("threads", threads, MAX_THREADS), *(("batch", batch, MAX_BATCH) for batch in batches)]
    for field, value, most in checks:
        if not 1 <= value <= most:
            raise SpecError(field, value, f"a whole number from 1 to {most}")
    if not 0 < seconds < float("inf"):
        raise SpecError("seconds", seconds, "a number above 0")
    rows: list[Row] = []
    wanted = (1,) if artifact.metadata.one_image else tuple(dict.fromkeys(batches))
    for batch in wanted:
        rows += _at(artifact, list(dict.fromkeys(engines)), batch, threads, seconds, seed, progress)
    return Bench(artifact.path, artifact.digest, threads, processor(), cores(), _reference(artifact), tuple(rows))


def _at(
    artifact: Artifact, engines: Sequence[str], batch: int, threads: int, seconds: float, seed: int,
    progress: Callable[[str, int], None] | None,
) -> list[Row]:  # fmt: skip
    image = images(artifact.metadata, artifact.shape(batch), seed)
    expected = expected_outputs(artifact, image, batch, threads)
    loaded: dict[str, Session] = {}
    rows: dict[str, Row] = {}
    for name in engines:
        if progress:
            progress(name, batch)
        row = Row(name, batch, problem=obstacle(name, artifact))
        if not row.problem:
            try:
                loaded[name], row = _load(name, artifact, image, expected, batch, threads)
            except OtoyolError as error:
                row = Row(name, batch, problem=str(error))
        rows[name] = row
    times = race({name: session.run for name, session in loaded.items()}, image, seconds, seed)
    # After the race, which other processes would disturb.
    return [
        rows[name]._replace(timing=times[name], grown_bytes=grown_bytes(artifact, name, batch, threads))
        if name in times
        else rows[name]
        for name in engines
    ]


def _load(
    name: str, artifact: Artifact, image: Array, expected: Sequence[Array], batch: int, threads: int
) -> tuple[Session, Row]:
    began = time.perf_counter()
    session = load_engine(name, artifact, batch, threads)
    took = time.perf_counter() - began
    error, problem = _difference(name, artifact, session, image, expected, threads)
    return session, Row(name, batch, None, error, None, took, problem)


def _difference(
    name: str, artifact: Artifact, session: Session, image: Array, expected: Sequence[Array], threads: int
) -> tuple[float, str]:
    """How far an engine is from the reference, and why that is too far."""
    most = TOLERANCE[artifact.metadata.precision]
    if artifact.metadata.task == "detection":  # in any order, and also what scores too little to be put out
        try:
            found = load_graph(name, opened(artifact.model), artifact.shape(1), threads).run(image)
            error = matched_error(expected, found, reach(artifact.metadata))
        except OtoyolError as missing:
            return math.inf, str(missing)
    else:
        outputs = [np.array(output) for output in session.run(image)]
        error = max(difference(ours, theirs) for ours, theirs in zip(outputs, expected, strict=True))
    return error, "" if error <= most else f"its outputs differ by {error:.1e}; at most {most:.0e}"


def _reference(artifact: Artifact) -> str:
    return "eager" if artifact.has_module else "ort without optimisation"


def expected_outputs(artifact: Artifact, image: Array, batch: int, threads: int) -> list[Array]:
    """What the artifact should put out: float32 eager, or ONNX Runtime node by node where torch has no module; of a
    detector, with its score threshold at 0."""
    if artifact.has_module:
        session: Session = load_engine("eager", artifact, batch, threads)
    else:
        from otoyol.deploy.ort import OrtSession

        detects = artifact.metadata.task == "detection"
        session = OrtSession(opened(artifact.model) if detects else artifact.path, threads, optimise=False)
    return [np.array(output) for output in session.run(image)]


def race(
    runs: Mapping[str, Callable[[Array], Any]], image: Array, seconds: float, seed: int = 0,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:  # fmt: skip
    """Every run in turns, in a new order each round; medians and spreads of the counted ones."""
    shuffle = random.Random(seed)  # noqa: S311 (no secrets)
    times: dict[str, list[float]] = {name: [] for name in runs}
    order, end, rounds = list(runs), clock() + seconds, 0
    while order and (rounds < ROUNDS or clock() < end):
        shuffle.shuffle(order)
        for name in order:
            runs[name](image)
            for _ in range(BURST):
                began = clock()
                runs[name](image)
                times[name].append(clock() - began)
        rounds += 1
    return {name: timing(samples) for name, samples in times.items()}
