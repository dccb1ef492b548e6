"""otoyol match: a changed design rescaled to the budget of the one it came from, and what the change bought."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from otoyol.cli.inputs import label, read_spec, title
from otoyol.cli.latency import Tables
from otoyol.cli.options import Equal, Json, Lang, SpecText, option
from otoyol.cli.output import write, write_json
from otoyol.cli.words import language, number, signed, word


def match(
    spec: SpecText,
    change: Annotated[str, option("change")],
    /,
    *,
    equal: Annotated[Equal, option("equal", "--equal")] = "macs",
    vary: Annotated[Literal["widths", "depths", "both"], option("vary", "--vary")] = "widths",
    multiple: Annotated[int, option("multiple", "--multiple")] = 8,
    table: Annotated[Path | None, option("one_table", "--table")] = None,
    json: Json = False,
    lang: Lang = None,
) -> int:
    from otoyol.cli.compare import facts_of, measure_of, page, shapes
    from otoyol.search import match as matched
    from otoyol.spec.text import pairs

    baseline = read_spec(spec)
    tables = Tables([table] if table else [])
    found = matched(baseline, pairs(change), vary=vary, multiple=multiple, **measure_of(equal, tables))
    facts = [facts_of(design, 1, tables) for design in (baseline, found.spec)]
    status = 0 if found.within else 1
    if json:
        write_json(
            {
                "spec": label(found.spec), "equal": found.quantity, "wanted": found.wanted, "reached": found.reached,
                "difference": found.difference, "within": found.within, "reason": found.reason, "designs": facts,
            }
        )  # fmt: skip
        return status
    speak = language(lang)
    key = "note.matched" if found.within else "note.unmatched"
    unit = "bytes" if equal.endswith("bytes") else ".3g" if equal == "latency" else "si"
    sentence = word(
        key, speak, quantity=word(f"head.{found.quantity}", speak), wanted=number(found.wanted, speak, unit),
        reached=number(found.reached, speak, unit), difference=signed(found.difference, speak, ".2%"),
    )  # fmt: skip
    if found.reason:
        sentence += "\n" + word("note.reason", speak, reason=found.reason)
    names, *compared = page(facts, [title(baseline), title(found.spec)], speak)
    write([label(found.spec), sentence, names, shapes(facts, speak), *compared, *tables.notes(speak)])
    return status
