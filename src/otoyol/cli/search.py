"""otoyol search: the Pareto front of a space under budgets."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from otoyol.cli.options import Json, Lang, option
from otoyol.cli.output import Table, dumps, write, write_json
from otoyol.cli.words import language, number, word

if TYPE_CHECKING:
    from otoyol.search import Found, Progress

SHOWN = 20
BYTES = "_bytes"


def search(
    *,
    space: Annotated[str, option("space", "--space")],
    budget: Annotated[tuple[str, ...], option("budget", "--budget")] = (),
    maximize: Annotated[tuple[str, ...], option("maximize", "--maximize")] = (),
    minimize: Annotated[tuple[str, ...], option("minimize", "--minimize")] = (),
    count: Annotated[int, option("count", "--count")] = 1_000_000,
    every: Annotated[bool, option("every", "--every")] = False,
    seed: Annotated[int, option("seed", "--seed")] = 0,
    state: Annotated[str | None, option("state", "--state")] = None,
    out: Annotated[Path | None, option("search_out", "--out")] = None,
    json: Json = False,
    lang: Lang = None,
) -> int:
    from otoyol.search import load_space, parse_budget, parse_objective
    from otoyol.search import search as run
    from otoyol.spec.files import check_place, write_text

    if out:
        check_place(out)
    objectives = [parse_objective(name, maximize=True) for name in maximize]
    objectives += [parse_objective(name, maximize=False) for name in minimize]
    speak = language(lang)
    found = run(
        load_space(space), [parse_budget(words) for words in budget], objectives, count=None if every else count,
        seed=seed, state=state, progress=_teller(speak) if sys.stderr.isatty() else None,
    )  # fmt: skip
    facts = facts_of(found)
    if out:
        write_text(out, dumps(facts))
    if json:
        write_json(facts)
    else:
        write(page(found, speak))
    return (0 if found.designs else 1) if found.finished else 130


def facts_of(found: Found) -> dict[str, Any]:
    """What ``--json`` prints and ``--out`` keeps."""
    return {
        "seen": found.seen, "valid": found.valid, "met": found.met, "finished": found.finished,
        "thinned": found.thinned, "refused": [refused._asdict() for refused in found.refused],
        "designs": [{"spec": design.spec, **design.values} for design in found.designs],
    }  # fmt: skip


def _teller(lang: str) -> Callable[[Progress], None]:
    """One line on the terminal that is written over."""

    def tell(progress: Progress) -> None:
        line = word(
            "note.searching", lang, seen=number(progress.seen, lang), total=number(progress.total, lang),
            met=number(progress.met, lang), kept=number(progress.kept, lang),
            left=number(round(progress.seconds_left), lang),
        )  # fmt: skip
        sys.stderr.write(f"\r\x1b[K{line}")
        if progress.seen >= progress.total:
            sys.stderr.write("\r\x1b[K")

    return tell


def page(found: Found, lang: str) -> list[str | Table]:
    """How many designs met what, and the front's first designs."""
    items: list[str | Table] = [
        word("note.searched", lang, seen=number(found.seen, lang), met=number(found.met["all"], lang),
             kept=number(len(found.designs), lang))
    ]  # fmt: skip
    shares = [(words, number(met, lang)) for words, met in found.met.items() if words != "all"]
    if shares:
        items.append(Table("", (word("head.budget", lang), word("head.designs", lang)), shares))
    if found.refused:
        items.append("\n".join(f"{refused.choices}: {refused.reason}" for refused in found.refused))
    if found.designs:
        names = list(found.designs[0].values)
        head = (*(word(f"head.{name}", lang) for name in names), word("head.spec", lang))
        rows = [
            (*(number(design.values[n], lang, "bytes" if n.endswith(BYTES) else "si") for n in names), design.spec)
            for design in found.designs[:SHOWN]
        ]
        items.append(Table(word("title.front", lang, shown=number(len(rows), lang)), head, rows))
    return items
