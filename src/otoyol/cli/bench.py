"""otoyol bench: an artifact, or a design, in every engine that is installed, in turns."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from otoyol.cli.inputs import read_spec
from otoyol.cli.options import Json, Lang, option
from otoyol.cli.output import Item, Table, write, write_json
from otoyol.cli.words import language, number, word

if TYPE_CHECKING:
    from otoyol.deploy.bench import Bench, Row


def bench(
    artifact: Annotated[str, option("bench_artifact")],
    /,
    *,
    engines: Annotated[str, option("bench_engines", "--engines")] = "",
    threads: Annotated[int | None, option("bench_threads", "--threads")] = None,
    batches: Annotated[str, option("bench_batches", "--batches")] = "1,8",
    seconds: Annotated[float, option("bench_seconds", "--seconds")] = 10.0,
    best: Annotated[bool, option("bench_best", "--best")] = False,
    json: Json = False,
    lang: Lang = None,
) -> None:
    tongue = language(lang)
    from otoyol.deploy.artifact import Artifact
    from otoyol.deploy.bench import bench as race
    from otoyol.deploy.best import Best, place_of, save
    from otoyol.deploy.engines import ENGINES
    from otoyol.errors import SpecError
    from otoyol.spec.files import check_place

    names = [name for name in engines.split(",") if name] or list(ENGINES)
    if not (numbers := [text for text in batches.split(",") if text]) or not all(map(str.isdecimal, numbers)):
        raise SpecError("batches", batches, "whole numbers with commas between, such as 1,8")
    with tempfile.TemporaryDirectory(prefix="otoyol-") as folder:
        path = Path(artifact)
        if path.suffix != ".onnx":
            if best:
                raise SpecError("best", artifact, "an ONNX file to write beside: export the design first")
            path = _exported(artifact, Path(folder))
        if best:
            check_place(place_of(path))
        found = race(
            Artifact(path), names, threads=threads, batches=list(map(int, numbers)), seconds=seconds,
            progress=lambda engine, batch: _show(engine, batch, tongue),
        )  # fmt: skip
    if json:
        write_json(found.to_mapping())
    else:
        write(_page(found, tongue))
    if best:  # after the figures, which are worth having where none of the engines can be kept
        kept = save(Best.of(found), path)
        if not json:
            write(_told(found, kept, tongue))


def _exported(text: str, folder: Path) -> Path:
    from otoyol.deploy.export import export_onnx
    from otoyol.deploy.source import network

    return export_onnx(network(read_spec(text)).model, folder / "model.onnx").path


def _told(found: Bench, kept: Path, lang: str) -> list[str]:
    """Where the winner is, and where it is not the fastest: what compiles would do so whenever `otoyol run` starts."""
    lines = [word("bench.kept", lang, path=str(kept))]
    for batch in found.batches:
        fastest, taken = found.best(batch), found.best(batch, at_once=True)
        if fastest and taken and fastest.engine != taken.engine:
            lines.append(word("bench.compiled", lang, batch=batch, engine=fastest.engine, taken=taken.engine))
    return lines


def _show(engine: str, batch: int, lang: str) -> None:
    """One line that is written over, on a terminal only."""
    if sys.stderr.isatty():
        line = word("bench.loading", lang, engine=engine, batch=batch)
        print("\r" + line.ljust(78), end="", file=sys.stderr, flush=True)


def _page(found: Bench, lang: str) -> list[Item]:
    head = tuple(
        word(f"head.{key}", lang)
        for key in ("engine", "batch", "latency_ms", "spread", "images_per_second", "memory_mb", "error")
    )
    items: list[Item] = [word("bench.settings", lang, processor=found.processor, threads=found.threads,
                              reference=found.reference)]  # fmt: skip
    ran = [row for row in found.rows if row.timing is not None]
    items.append(Table("", head, [_row(row, lang) for row in ran]))
    for batch in found.batches:
        if winner := found.best(batch):
            items.append(word("bench.best", lang, batch=batch, engine=winner.engine))
    items += [
        word("bench.problem", lang, engine=row.engine, batch=row.batch, problem=row.problem)
        for row in found.rows
        if row.problem
    ]
    return items


def _row(row: Row, lang: str) -> tuple[str, ...]:
    spread = row.timing.spread if row.timing else 0.0
    grown = "-" if row.grown_bytes is None else number(row.grown_bytes / 1e6, lang, ".0f")
    return (
        row.engine, number(row.batch, lang), number(row.latency_ms, lang, ".2f"),
        number(spread * 100, lang, ".0f") + " %",
        number(row.images_per_second, lang, ".1f"), grown, f"{row.error:.1e}",
    )  # fmt: skip
