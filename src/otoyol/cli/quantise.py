"""otoyol quantise: int8 where it is faster on this machine and accurate enough; otherwise float32 stays, status 1."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from otoyol.cli.options import Json, Lang, option
from otoyol.cli.output import Item, Table, write, write_json
from otoyol.cli.words import language, number, word

if TYPE_CHECKING:
    from otoyol.deploy.quantise import Quantised, Tried


def quantise(
    artifact: Annotated[Path, option("run_artifact")],
    /,
    *,
    data: Annotated[str, option("quantise_data", "--data")],
    out: Annotated[Path, option("out", "--out")] = Path("model.int8.onnx"),
    max_drop: Annotated[float, option("quantise_max_drop", "--max-drop")] = 0.005,
    calibrate: Annotated[int, option("quantise_calibrate", "--calibrate")] = 128,
    threads: Annotated[int, option("bench_threads", "--threads")] = 0,
    batch: Annotated[int, option("measure_batch", "--batch")] = 1,
    seconds: Annotated[float, option("bench_seconds", "--seconds")] = 10.0,
    json: Json = False,
    lang: Lang = None,
) -> int:
    tongue = language(lang)
    from otoyol.data import load
    from otoyol.data.batches import order
    from otoyol.deploy.artifact import Artifact
    from otoyol.deploy.quantise import quantise as try_all
    from otoyol.errors import SpecError
    from otoyol.spec import Input

    given = Artifact(artifact)
    image = Input(channels=given.metadata.channels, height=given.metadata.height, width=given.metadata.width)
    train, test = load(data, image, "train"), load(data, image, "test")
    for field, value, most in (("calibrate", calibrate, len(train)), ("batch", batch, 1024)):
        if not 1 <= value <= most:
            raise SpecError(field, value, f"a whole number from 1 to {most}")
    chosen = train.take(order(len(train), 0, 0)[:calibrate])
    found = try_all(given, out, chosen, test, max_drop=max_drop, threads=threads, batch=batch, seconds=seconds)
    if json:
        write_json(found.to_mapping())
    else:
        write(_page(found, max_drop, tongue))
    return 0 if found.accepted else 1


def _page(found: Quantised, max_drop: float, lang: str) -> list[Item]:
    head = tuple(word(f"head.{key}", lang) for key in ("precision", "engine", "latency_ms", "accuracy"))
    rows = [found.float32, *(tried for tried in found.tried if tried.timing)]
    items: list[Item] = [Table("", head, [_row(tried, lang) for tried in rows])]
    items += [
        word("bench.problem", lang, engine=f"{tried.name} {tried.engine}", batch=1, problem=tried.problem)
        for tried in found.tried
        if tried.problem
    ]
    if found.accepted:
        engine = found.accepted.engine
        items.append(word("quantise.accepted", lang, name=found.accepted.name, engine=engine, path=str(found.path)))
        items.append(word("quantise.kept", lang, engine=engine, path=str(found.best)))
        if engine != "ort":
            items.append(word("quantise.served", lang, name=found.accepted.name, engine=engine))
    else:
        items.append(word("quantise.refused", lang, drop=number(max_drop * 100, lang, ".2f")))
    return items


def _row(tried: Tried, lang: str) -> tuple[str, ...]:
    latency = number(tried.timing.seconds * 1e3, lang, ".2f") if tried.timing else "-"
    share = "-" if tried.accuracy is None else number(tried.accuracy, lang, ".4f")
    return tried.name, tried.engine, latency, share
