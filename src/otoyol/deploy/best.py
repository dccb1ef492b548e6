"""The winner of a bench, or of a quantisation, beside its artifact, for the machine that it was found on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from otoyol.deploy.artifact import Artifact, digest_of
from otoyol.deploy.bench import Bench
from otoyol.deploy.engines import COMPILED, HUGE_PAGES, EngineName, obstacle, version
from otoyol.errors import OtoyolError, SpecError
from otoyol.measure.fingerprint import cores, processor
from otoyol.spec.files import json_text, read_bytes, write_text
from otoyol.spec.refusal import spec_error

FORMAT = 1
MAX_BYTES = 1 << 16
FALLBACK: EngineName = "ort"
Word = Annotated[str, Field(max_length=200)]


class Winner(BaseModel):
    """The fastest engine at one batch, and what its timing depends on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch: Annotated[int, Field(ge=1, le=1 << 20)]
    engine: EngineName
    version: Word
    latency_ms: Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
    spread: Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class Best(BaseModel):
    """``sha256``: the artifact's. ``threads``: 0 is the engine's own choice. ``winners``: one for each batch that was
    raced, of the engines that start at once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Annotated[int, Field(ge=FORMAT, le=FORMAT)] = FORMAT
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    processor: Word
    cores: Annotated[int, Field(ge=1)]
    threads: Annotated[int, Field(ge=0)]
    winners: Annotated[tuple[Winner, ...], Field(min_length=1, max_length=64)]

    @classmethod
    def of(cls, bench: Bench) -> Self:
        """Raises OtoyolError where no engine ran that starts at once: those that compile would do so at every start."""
        rows = [best for batch in bench.batches if (best := bench.best(batch, at_once=True))]
        if not rows:
            raise OtoyolError("best: no engine that starts at once ran this artifact with the right outputs")
        winners = [
            {"batch": row.batch, "engine": row.engine, "version": version(row.engine), "latency_ms": row.latency_ms,
             "spread": row.timing.spread if row.timing else 0.0} for row in rows
        ]  # fmt: skip
        return cls.model_validate(
            {"sha256": bench.digest, "processor": bench.processor, "cores": bench.cores, "threads": bench.threads,
             "winners": winners}
        )  # fmt: skip


class Choice(NamedTuple):
    """The engine to run with; ``why`` it is not a winner that was measured here (empty where it is). ``threads`` 0 is
    the engine's own choice."""

    engine: EngineName
    threads: int
    why: str = ""


def place_of(artifact: Path) -> Path:
    """``model.onnx`` → ``model.best.json``."""
    return artifact.with_suffix(".best.json")


def save(best: Best, artifact: Path) -> Path:
    """Write the winners beside the artifact. Raises OtoyolError."""
    place = place_of(artifact)
    write_text(place, json_text(best.model_dump(mode="json")))
    return place


def load(artifact: Path) -> Best | None:
    """The winners beside an artifact; None where nobody has raced. Raises SpecError for a damaged file."""
    place = place_of(artifact)
    if not place.exists():
        return None
    data = read_bytes(place, "best", MAX_BYTES)
    try:
        fields: Any = json.loads(data)
    except (ValueError, RecursionError):
        raise SpecError("best", place.name, "a file that `otoyol bench --best` has written") from None
    try:
        return Best.model_validate(fields)
    except ValidationError as error:
        raise spec_error(error, Best, "best") from None


def choose(artifact: Path | Artifact, batch: int = 1) -> Choice:
    """The engine for batches of ``batch``: the winner of the nearest batch that was raced on this machine with this
    file, or ONNX Runtime, and why. Raises SpecError for a damaged record, or a file that is no artifact."""
    path = artifact.path if isinstance(artifact, Artifact) else artifact
    best = load(path)
    if best is None:
        return Choice(FALLBACK, 0, "nobody has raced the engines on this file")
    winner = min(best.winners, key=lambda w: abs(w.batch - batch))
    differs = [
        ("the file", best.sha256[:12], digest_of(path)[:12]),
        ("the processor", best.processor, processor()),
        ("the number of cores", best.cores, cores()),
        (f"the version of {winner.engine}", winner.version, version(winner.engine)),
    ]
    for what, then, now in differs:
        if then != now:
            return Choice(FALLBACK, 0, f"{what} was {then} when the engines were raced and is {now or 'missing'} here")
    given = artifact if isinstance(artifact, Artifact) else Artifact(path)
    reason = "it compiles at every start" if winner.engine in COMPILED else obstacle(winner.engine, given)
    if reason:
        plain = HUGE_PAGES.get(winner.engine)
        if plain and not obstacle(plain, given):
            return Choice(plain, best.threads, f"{winner.engine} was the fastest, but {reason}")
        return Choice(FALLBACK, 0, f"{winner.engine} was the fastest, but {reason}")
    return Choice(winner.engine, best.threads)
