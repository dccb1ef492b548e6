"""int8 after training: calibrated on the user's images, kept only where it is faster here and accurate enough."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from otoyol.data import Images
from otoyol.data.images import covered
from otoyol.deploy.artifact import Artifact, digest_of
from otoyol.deploy.bench import Bench, Row, race
from otoyol.deploy.best import Best, place_of, save
from otoyol.deploy.candidates import CANDIDATES
from otoyol.deploy.engines import load_graph
from otoyol.deploy.metadata import Metadata
from otoyol.deploy.onnx_file import checked_bytes
from otoyol.deploy.predict import normalised
from otoyol.errors import OtoyolError, SpecError
from otoyol.measure.fingerprint import cores, processor
from otoyol.measure.table import Timing
from otoyol.spec import Input
from otoyol.spec.files import check_place, write_bytes

FASTER = 0.98  # of the float32 median: less gain is noise

Array = np.ndarray[Any, Any]


class Tried(NamedTuple):
    """One way to int8 in one engine. ``accuracy`` is None where speed decided; ``problem``: why there is nothing."""

    name: str
    engine: str
    timing: Timing | None = None
    accuracy: float | None = None
    problem: str = ""


class Quantised(NamedTuple):
    """``float32``: the fastest engine's timing of the artifact as it was, ``accuracy`` its share of right answers.
    ``accepted``: what was written, None where float32 stays."""

    path: Path | None
    float32: Tried
    accuracy: float
    tried: tuple[Tried, ...]
    accepted: Tried | None
    images: int

    @property
    def best(self) -> Path | None:
        """The record of the accepted engine, beside the file."""
        return place_of(self.path) if self.path else None

    def to_mapping(self) -> dict[str, Any]:
        """Plain data for JSON."""

        def row(tried: Tried) -> dict[str, Any]:
            ms = round(tried.timing.seconds * 1e3, 4) if tried.timing else None
            return {"name": tried.name, "engine": tried.engine, "latency_ms": ms, "accuracy": tried.accuracy,
                    "problem": tried.problem or None}  # fmt: skip

        return {
            "path": str(self.path) if self.path else None, "best": str(self.best) if self.best else None,
            "accepted": row(self.accepted) if self.accepted else None,
            "float32": row(self.float32), "tried": [row(tried) for tried in self.tried], "images": self.images,
        }  # fmt: skip


def quantise(
    artifact: Artifact, path: str | os.PathLike[str], calibration: Images, test: Images, *, max_drop: float = 0.005,
    threads: int = 0, batch: int = 1, seconds: float = 10.0, engines: Sequence[str] = ("ort", "openvino"),
    candidates: Sequence[str] = tuple(CANDIDATES),
) -> Quantised:  # fmt: skip
    """Try every way to int8 (:data:`otoyol.deploy.candidates.CANDIDATES`) in every engine; write the fastest to pass.

    It passes where its median latency is below :data:`FASTER` of float32's in the fastest of ``engines``, all in turns,
    and where its share of right answers on ``test`` is at most ``max_drop`` below float32's. Otherwise nothing is
    written.
    The engine that it was accepted in is recorded beside the file (:mod:`otoyol.deploy.best`).
    ``calibration``: images whose activations set the ranges; never ``test``'s.

    Raises SpecError for another artifact than a float32 classifier, for other classes than it has, for a drop, a
    number of images or a name that cannot be.
    """
    metadata = artifact.metadata
    if (metadata.task, metadata.precision) != ("classification", "fp32"):
        given = f"a {metadata.task} artifact in {metadata.precision}"
        raise SpecError("artifact", given, "a float32 classifier: its accuracy can be told")
    classes = metadata.design.head.classes
    if len(test.classes) != classes:
        raise SpecError("data", f"{len(test.classes)} classes", f"the artifact's {classes}")
    for split in (calibration, test):  # labels are numbers: in another order every answer would be wrong
        for given, known in zip(split.classes, metadata.classes, strict=False):
            if given != known:
                raise SpecError("data.classes", given, f"{known!r} in its place, the artifact's names in their order")
    if not 0 <= max_drop < 1:
        raise SpecError("max_drop", max_drop, "from 0 to 1, a share of the answers")
    if Path(path).suffix != ".onnx":  # the record beside it is named after the rest
        raise SpecError("out", str(path), "a file whose name ends in .onnx")
    check_place(path)
    seen = batches(calibration, metadata, 1)
    calibrating = [next_image for next_image, _ in seen]
    models: dict[str, bytes] = {}
    tried: list[Tried] = []
    for name in candidates:
        try:
            proto = CANDIDATES[name](artifact.path, calibrating)
            models[name] = checked_bytes(proto, metadata.replaced(precision="int8", aliases={}))
        except Exception as error:  # quantisers raise whatever they meet
            tried += [
                Tried(name, engine, problem=str(error).strip()[:200] or type(error).__name__) for engine in engines
            ]
    images = np.repeat(calibrating[0], batch, axis=0)
    runs: dict[tuple[str, str], Callable[[Array], Any]] = {}
    for name, data in {"float32": artifact.path.read_bytes(), **models}.items():
        for engine in engines:
            try:
                runs[name, engine] = load_graph(engine, data, images.shape, threads).run
            except OtoyolError as error:
                tried.append(Tried(name, engine, problem=str(error)))
    timings = race({f"{name}\n{engine}": run for (name, engine), run in runs.items()}, images, seconds)
    timed = [Tried(name, engine, timings[f"{name}\n{engine}"]) for name, engine in runs]
    plain = min((t for t in timed if t.name == "float32"), key=_seconds, default=None)
    if plain is None:
        raise OtoyolError("quantise: no engine ran the float32 artifact")
    right = accuracy(runs[plain.name, plain.engine], test, metadata, batch)
    plain = plain._replace(accuracy=right)
    accepted = None
    for candidate in sorted((t for t in timed if t.name != "float32"), key=_seconds):
        if accepted is None and _seconds(candidate) < FASTER * _seconds(plain):
            share = accuracy(runs[candidate.name, candidate.engine], test, metadata, batch)
            candidate = candidate._replace(accuracy=share)
            accepted = candidate if right - share <= max_drop + 1e-12 else None
        tried.append(candidate)
    if accepted is not None:
        write_bytes(path, models[accepted.name])
        _keep(Path(path), accepted, batch, threads)
    return Quantised(Path(path) if accepted else None, plain, right, tuple(tried), accepted, len(test))


def _keep(path: Path, accepted: Tried, batch: int, threads: int) -> None:
    """Write beside the file in which engine it was accepted, so that `otoyol run` takes that and no other."""
    row = Row(accepted.engine, batch, accepted.timing)
    save(Best.of(Bench(path, digest_of(path), threads, processor(), cores(), "float32", (row,))), path)


def _seconds(tried: Tried) -> float:
    return tried.timing.seconds if tried.timing else float("inf")


def batches(images: Images, metadata: Metadata, size: int) -> Iterator[tuple[Array, Array]]:
    """(image as the artifact takes it, labels), ``size`` at a time; the last batch is filled up with its last image."""
    fits = Input(channels=metadata.channels, height=metadata.height, width=metadata.width)
    for start in range(0, len(images), size):
        indices = [min(i, len(images) - 1) for i in range(start, start + size)]
        rows = []
        for index in indices:
            x = covered(images.pixels(index), fits, metadata.crop_share).expand(metadata.channels, -1, -1)
            rows.append((x.permute(1, 2, 0) if metadata.layout == "nhwc" else normalised(x, metadata)).numpy())
        yield np.ascontiguousarray(np.stack(rows)), np.array([images.labels[i] for i in indices])


def accuracy(run: Callable[[Array], Any], images: Images, metadata: Metadata, batch: int) -> float:
    """The share of images whose largest logit is their label's."""
    right = 0
    for start, (x, labels) in enumerate(batches(images, metadata, batch)):
        left = len(images) - start * batch
        right += int((np.asarray(run(x)[0]).argmax(1) == labels)[:left].sum())
    return right / len(images)
