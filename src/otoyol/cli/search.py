"""otoyol search: the Pareto front of a space under budgets."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from otoyol.cli.cost import DType
from otoyol.cli.latency import LATENCY, Tables, extrapolations, interval, latency_facts
from otoyol.cli.options import Json, Lang, option
from otoyol.cli.output import Table, write, write_json
from otoyol.cli.words import language, number, word
from otoyol.errors import SpecError
from otoyol.explain.text import say

if TYPE_CHECKING:
    from otoyol.search import Budget, Design, Found, Objective, Progress, Space

Score = Literal["grad_norm", "synflow", "naswot", "highway"]
SHOWN = 20
BYTES = "_bytes"
BESIDE = ".state"  # behind the name of --out: where a search is saved until it has come to its end


def search(
    *,
    space: Annotated[str, option("space", "--space")],
    budget: Annotated[tuple[str, ...], option("budget", "--budget")] = (),
    maximize: Annotated[tuple[str, ...], option("maximize", "--maximize")] = (),
    minimize: Annotated[tuple[str, ...], option("minimize", "--minimize")] = (),
    count: Annotated[int, option("count", "--count")] = 1_000_000,
    every: Annotated[bool, option("every", "--every")] = False,
    seed: Annotated[int, option("seed", "--seed")] = 0,
    batch: Annotated[int, option("search_batch", "--batch")] = 1,
    dtype: Annotated[DType, option("dtype", "--dtype")] = "float32",
    state: Annotated[str | None, option("state", "--state")] = None,
    resume: Annotated[bool, option("search_resume", "--resume")] = False,
    out: Annotated[Path | None, option("search_out", "--out")] = None,
    table: Annotated[tuple[Path, ...], option("tables", "--table")] = (),
    score: Annotated[tuple[Score, ...], option("score", "--score")] = (),
    data: Annotated[str, option("score_data", "--data")] = "digits",
    json: Json = False,
    lang: Lang = None,
) -> int:
    from otoyol.search import load_space, parse_budget, parse_objective, placed
    from otoyol.search import search as run
    from otoyol.spec.files import check_place, json_text, write_text

    if out:
        check_place(out)
    tables = Tables(table)
    budgets = [placed(parse_budget(words), tables.where) for words in budget]
    wanted = [(name, True) for name in maximize] + [(name, False) for name in minimize]
    objectives = [placed(parse_objective(name, maximize=most), tables.where) for name, most in wanted]
    asked: list[Budget | Objective] = [*budgets, *objectives]
    scorers = {item.key: tables.scorer(item.where) for item in asked if item.quantity == LATENCY}
    given, speak, kept = load_space(space), language(lang), _kept(state, out, resume)
    if score:
        _open_images(given, data, seed)
    try:
        found = run(
            given, budgets, objectives, count=None if every else count, seed=seed, scorers=scorers, batch=batch,
            dtype=dtype, state=kept, fresh=not (state or resume),
            progress=_teller(speak) if sys.stderr.isatty() else None,
        )  # fmt: skip
    finally:
        _clear()
    rows = [_row(design, tables) for design in found.designs]
    facts = {
        "seen": found.seen, "valid": found.valid, "met": found.met, "finished": found.finished,
        "thinned": found.thinned, "batch": batch, "dtype": dtype,
        "refused": [refused._asdict() for refused in found.refused],
    }  # fmt: skip
    items, status = page(found, rows, batch, dtype, speak), (0 if rows else 1) if found.finished else 130
    if out:  # before scoring, which takes long and may be interrupted
        write_text(out, json_text({**facts, "designs": rows}))
        if found.finished and not state:
            Path(f"{out}{BESIDE}").unlink(missing_ok=True)
    if score:
        try:
            _score(rows, score, data, seed, speak)
        except KeyboardInterrupt:
            items, status = [*items, word("note.scoring_stopped", speak)], 130
        else:
            facts["scores"] = {name: word(f"score.{name}", "en") for name in score}
            items = page(found, rows, batch, dtype, speak)
            if out:
                write_text(out, json_text({**facts, "designs": rows}))
    if json:
        write_json({**facts, "designs": rows})
    else:
        write([*items, *tables.notes(speak)])
    return status


def _kept(state: str | None, out: Path | None, resume: bool) -> str | None:
    """Where the search is saved: the file of --state, or one beside --out until the front is there. Raises SpecError
    where it is to be resumed and nothing is saved."""
    kept = state or (f"{out}{BESIDE}" if out else None)
    if resume and not (kept and Path(kept).is_file()):
        given = f"{kept}, which is not there" if kept else "neither --out nor --state"
        raise SpecError("resume", given, "what a stopped search has left beside --out or in --state")
    return kept


def _open_images(space: Space, data: str, seed: int) -> None:
    """Raises SpecError where the space's designs cannot be scored on ``data``: to be told before searching."""
    from otoyol.proxy import batch_for
    from otoyol.search import structures

    for spec in {(one.spec.input, one.spec.head.classes): one.spec for one in structures(space)[0]}.values():
        batch_for(spec, data, seed=seed)


def _clear() -> None:
    """The progress line of a terminal is gone, whatever ended it."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")


def _row(design: Design, tables: Tables) -> dict[str, Any]:
    """A design of the front in plain data: its figures, and what every table says of its latency."""
    from otoyol.spec import parse

    spec, latencies = parse(design.spec), {}
    for where in tables:
        predictor, known = tables.scorer(where).predictor, design.values.get(f"{LATENCY}@{where}")
        latency = predictor.predict(spec) if known is None else predictor.around(spec, known)
        latencies[where] = latency_facts(latency)
    return {"spec": design.spec, **design.values, **({"latency": latencies} if latencies else {})}


def _score(rows: list[dict[str, Any]], names: Sequence[str], data: str, seed: int, lang: str) -> None:
    """Score the front's designs, and nothing else: here torch is loaded."""
    from otoyol.proxy import score
    from otoyol.spec import parse

    def tell(done: int) -> None:
        sys.stderr.write(
            "\r\x1b[K" + word("note.scoring", lang, done=number(done, lang), total=number(len(rows), lang))
        )

    specs, progress = [parse(row["spec"]) for row in rows], tell if sys.stderr.isatty() else None
    try:
        scored = score(specs, names, source=data, seed=seed, progress=progress)
    finally:
        _clear()
    for row, scores in zip(rows, scored, strict=True):
        row["scores"] = scores


def progress_words(progress: Progress, lang: str) -> str:
    """How far a search is, in a line."""
    return word(
        "note.searching", lang, seen=number(progress.seen, lang), total=number(progress.total, lang),
        met=number(progress.met, lang), kept=number(progress.kept, lang),
        left=number(round(progress.seconds_left), lang),
    )  # fmt: skip


def _teller(lang: str) -> Callable[[Progress], None]:
    """One line on the terminal that is written over."""

    def tell(progress: Progress) -> None:
        sys.stderr.write(f"\r\x1b[K{progress_words(progress, lang)}")

    return tell


def page(found: Found, designs: list[dict[str, Any]], batch: int, dtype: str, lang: str) -> list[str | Table]:
    """How many designs met what, and the front's first designs."""
    items: list[str | Table] = [
        word("note.searched", lang, seen=number(found.seen, lang), met=number(found.met["all"], lang),
             kept=number(len(found.designs), lang))
    ]  # fmt: skip
    if found.thinned:
        items.append(say("design.thinned", lang))
    if not found.finished:
        items.append(word("note.interrupted", lang))
    shares = [(words, number(met, lang)) for words, met in found.met.items() if words != "all"]
    if shares:
        items.append(Table("", (word("head.budget", lang), word("head.designs", lang)), shares))
    if found.refused:
        items.append("\n".join(f"{refused.choices}: {refused.reason}" for refused in found.refused))
    if not designs and (found.seen or found.finished):
        items.append(_why_nothing(found, lang))
    if designs:
        shown = designs[:SHOWN]
        columns = _columns(designs[0], lang)
        rows = [(str(i), *(cell(row) for _, cell in columns), row["spec"]) for i, row in enumerate(shown, 1)]
        head = ("", *(name for name, _ in columns), word("head.spec", lang))
        items.append(Table(word("title.front", lang, shown=len(rows), batch=batch, dtype=dtype), head, rows))
        notes = [f"{name}: {word(f'score.{name}', lang)}" for name in designs[0].get("scores", ())]
        unscored = sum(None in row.get("scores", {}).values() for row in designs)
        if notes:
            notes.append(word("note.scores", lang))
            notes += [word("note.unscored", lang, designs=unscored)] if unscored else []
            items.append("\n".join(notes))
        items += extrapolations({str(i): row for i, row in enumerate(shown, 1)}, lang)
    return items


def _why_nothing(found: Found, lang: str) -> str:
    """Whose fault it is that the front is empty."""
    if not found.valid:
        return word("note.none_built", lang)
    unmet = [words for words, met in found.met.items() if not met and words != "all"]
    return word("note.none_meets", lang, budgets=", ".join(unmet)) if unmet else word("note.none_together", lang)


Column = tuple[str, Callable[[dict[str, Any]], str]]


def _columns(design: dict[str, Any], lang: str) -> list[Column]:
    """Names of the front's columns, and how a design fills them: every figure, then latency as an interval."""

    def figure(name: str) -> Column:
        unit = "bytes" if name.endswith(BYTES) else "si"
        return word(f"head.{name}", lang), lambda row: number(row[name], lang, unit)

    def latency(where: str) -> Column:
        return f"{word(f'head.{LATENCY}', lang)} {where}", lambda row: interval(row["latency"][where], lang)

    def scored(name: str) -> Column:
        return name, lambda row: "–" if row["scores"][name] is None else number(row["scores"][name], lang, ".4g")

    plain = [name for name in design if name not in ("spec", "latency", "scores") and not name.startswith(LATENCY)]
    return [*map(figure, plain), *map(latency, design.get("latency", ())), *map(scored, design.get("scores", ()))]
