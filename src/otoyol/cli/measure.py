"""otoyol measure: a latency table of this machine, and what it predicts for designs."""

from __future__ import annotations

import sys
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from otoyol.cli.inputs import label, read_spec
from otoyol.cli.latency import milliseconds
from otoyol.cli.options import Json, Lang, option
from otoyol.cli.output import Item, Table, write, write_json
from otoyol.cli.words import language, number, word
from otoyol.explain.refusal import sentence

if TYPE_CHECKING:
    from otoyol.measure import Engine, Latency, Predictor, Progress
    from otoyol.measure import Table as LatencyTable
    from otoyol.spec import Spec

EngineName = Literal["ort", "eager", "eager-nhwc", "compile"]
DType = Literal["float32", "float64", "bfloat16", "float16"]
USUAL_SECONDS = 600.0
POOL = 2_500  # designs among which a table chooses what to measure


def measure(
    *specs: Annotated[str, option("measure_specs")],
    table: Annotated[Path, option("table", "--table")] = Path("latency.json"),
    space: Annotated[Path | None, option("measure_space", "--space")] = None,
    engine: Annotated[EngineName, option("engine", "--engine")] = "ort",
    threads: Annotated[int, option("threads", "--threads")] = 1,
    batch: Annotated[int, option("measure_batch", "--batch")] = 1,
    dtype: Annotated[DType, option("measure_dtype", "--dtype")] = "float32",
    minutes: Annotated[float | None, option("minutes", "--minutes")] = None,
    seed: Annotated[int | None, option("seed", "--seed")] = None,
    json: Json = False,
    lang: Lang = None,
) -> None:
    from otoyol.errors import SpecError
    from otoyol.measure import Predictor, find_engine, pace_now

    tongue = language(lang)
    if minutes is not None and not 0 < minutes < inf:
        raise SpecError("minutes", minutes, "a finite number above 0")
    wanted = [read_spec(text) for text in specs]
    running = find_engine(engine, threads=threads, batch=batch, dtype=dtype)
    made = _made(running, table, space, minutes, seed, tongue)
    pace = pace_now(running, made) if wanted else 1.0
    predictor = Predictor(made, running.rules).at(pace)
    if not made.unseen:  # so that no later command has to find it again
        made.unseen = predictor.predicted.tolist()
        made.save(table)
    found = predictor.predict_many(wanted)
    if json:
        write_json(_facts(predictor, wanted, found, pace))
    else:
        write(_page(predictor, table, wanted, found, pace, tongue))


def _made(
    engine: Engine, path: Path, space: Path | None, minutes: float | None, seed: int | None, lang: str
) -> LatencyTable:
    """The table of ``path``: as it is where it is finished and nothing more is asked, otherwise begun, gone on with or
    extended. Raises SpecError where it was measured for other designs and it is not said for which to go on."""
    from otoyol.errors import SpecError
    from otoyol.measure import build_table, fingerprint, load_table
    from otoyol.measure.build import measured_for
    from otoyol.measure.predict import FEWEST

    before = load_table(path, fingerprint(engine)) if path.exists() else None
    if before is not None and before.finished and (space, minutes, seed) == (None, None, None):
        return before
    designs = _pool(space, seed or 0)
    known = {network.spec for network in before.networks} if before else set()
    if (different := len(known.union(map(label, designs)))) < FEWEST:  # to be told before they are measured
        allowed = f"at least {FEWEST}, for errors to be told; without a space there are designs of every sort"
        raise SpecError("space", f"{different} designs", allowed)
    span = measured_for(before, [label(spec) for spec in designs]) if before else None
    if before and before.networks and not span and (space, seed) == (None, None):
        raise SpecError("space", "nothing", f"the --space that {path} was measured for, or another --table")
    seconds = 60 * minutes if minutes else span.asked if span and span.asked else USUAL_SECONDS
    try:
        made = build_table(
            engine, designs, path=path, seconds=seconds, seed=seed or 0,
            progress=lambda p: _show(p, lang),
        )  # fmt: skip
    except KeyboardInterrupt:
        if path.exists():
            print("\n" * sys.stderr.isatty() + word("measure.kept", lang, path=str(path)), file=sys.stderr, flush=True)
        raise
    if sys.stderr.isatty():
        print(file=sys.stderr)
    return made


def _pool(space: Path | None, seed: int) -> list[Spec]:
    """What the table should hold for: the space's designs, or designs of every sort."""
    if space is None:
        from otoyol.measure import random_designs

        return random_designs(POOL, seed)
    from otoyol.errors import SpecError
    from otoyol.search.sample import draw
    from otoyol.search.space import load_space, structures
    from otoyol.spec import edit

    given = load_space(space)
    built, _ = structures(given)
    found: list[Spec] = []
    for chunk in draw(given, POOL, seed):
        for depths, widths in zip(chunk.depths.tolist(), chunk.widths.tolist(), strict=True):
            columns = {"depths": "-".join(map(str, depths)), "widths": "-".join(map(str, widths))}
            try:
                found.append(edit(built[chunk.structure].spec, columns))
            except SpecError:  # widths that the structure's groups do not divide
                continue
    return list(dict.fromkeys(found))


def _show(progress: Progress, lang: str) -> None:
    """One line that is written over, on a terminal only."""
    if sys.stderr.isatty():
        left = number(round(progress.seconds_left), lang)
        line = word("measure.progress", lang, networks=progress.networks, operators=progress.operators, left=left)
        print("\r" + line.ljust(78), end="", file=sys.stderr, flush=True)


def _facts(predictor: Predictor, wanted: list[Spec], found: list[Latency], pace: float) -> dict[str, Any]:
    table = predictor.table
    return {
        "fingerprint": table.fingerprint,
        "networks": len(table.networks),
        "operators": len(table.operators),
        "seconds": round(table.elapsed, 1),
        "noisy_share": table.noisy,
        "drift": table.drift,
        "pace": pace,
        "error_median": predictor.error(0.5),
        "error_90": predictor.error(0.9),
        "predictions": [
            {"spec": label(spec), **latency._asdict(), "warnings": list(latency.warnings)}
            for spec, latency in zip(wanted, found, strict=True)
        ],
    }


def _page(
    predictor: Predictor, path: Path, wanted: list[Spec], found: list[Latency], pace: float, lang: str
) -> list[Item]:
    table = predictor.table
    made = table.fingerprint
    versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items())
    settings = word(
        "measure.settings", lang, processor=made["processor"], engine=made["engine"], versions=versions,
        threads=made["threads"], batch=made["batch"], dtype=made["dtype"],
    )  # fmt: skip
    held = word(
        "measure.held", lang, path=str(path), networks=len(table.networks), operators=len(table.operators),
        minutes=table.elapsed / 60,
    )  # fmt: skip
    noise = word("measure.noise", lang, noisy=table.noisy, drift=table.drift)
    error = word("measure.error", lang, median=predictor.error(0.5), most=predictor.error(0.9))
    items: list[Item] = ["\n".join([settings, held, noise, error])]
    if wanted:
        head = tuple(word(f"head.{key}", lang) for key in ("design", "latency_ms", "low_ms", "high_ms"))
        rows = [
            (label(spec), *(milliseconds(value, lang) for value in latency[:3]))
            for spec, latency in zip(wanted, found, strict=True)
        ]
        items += [word("measure.pace", lang, pace=pace), Table("", head, rows)]
        for spec, latency in zip(wanted, found, strict=True):
            if latency.warnings:
                what = "; ".join(sentence(warning, lang) for warning in latency.warnings)
                items.append(word("measure.beyond", lang, design=label(spec), what=what))
    return items
