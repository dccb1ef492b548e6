"""otoyol match: a changed design rescaled to the budget of the one it came from, and what the change bought."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from otoyol.cli.inputs import label, read_spec, title
from otoyol.cli.latency import Tables
from otoyol.cli.options import Equal, Json, Lang, Multiple, SpecText, Vary, option
from otoyol.cli.output import write, write_json
from otoyol.cli.words import language


def match(
    spec: SpecText,
    change: Annotated[str, option("change")],
    /,
    *,
    equal: Annotated[Equal, option("equal", "--equal")] = "macs",
    vary: Vary = "widths",
    multiple: Multiple = 8,
    table: Annotated[Path | None, option("one_table", "--table")] = None,
    json: Json = False,
    lang: Lang = None,
) -> int:
    from otoyol.cli.compare import facts_of, match_facts, match_words, measure_of, page, shapes
    from otoyol.search import match as matched
    from otoyol.spec.text import pairs

    baseline = read_spec(spec)
    tables = Tables([table] if table else [])
    found = matched(baseline, pairs(change), vary=vary, multiple=multiple, **measure_of(equal, tables))
    facts = [facts_of(design, 1, tables) for design in (baseline, found.spec)]
    status = 0 if found.within else 1
    if json:
        write_json({"spec": label(found.spec), **match_facts(found), "designs": facts})
        return status
    speak = language(lang)
    names, *compared = page(facts, [title(baseline), title(found.spec)], speak)
    write([label(found.spec), match_words(found, speak), names, shapes(facts, speak), *compared, *tables.notes(speak)])
    return status
