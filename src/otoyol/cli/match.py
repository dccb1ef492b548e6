"""otoyol match: a changed design rescaled to the budget of the one it came from, and what the change bought."""

from __future__ import annotations

from typing import Annotated, Literal

from otoyol.cli.inputs import label, read_spec, title
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
    json: Json = False,
    lang: Lang = None,
) -> int:
    from otoyol.cli.compare import facts_of, page
    from otoyol.search import match as matched
    from otoyol.spec.text import pairs

    baseline = read_spec(spec)
    found = matched(baseline, pairs(change), equal=equal, vary=vary, multiple=multiple)
    facts = [facts_of(design, 1) for design in (baseline, found.spec)]
    status = 0 if found.within else 1
    if json:
        write_json(
            {
                "spec": label(found.spec), "equal": equal, "wanted": found.wanted, "reached": found.reached,
                "difference": found.difference, "within": found.within, "reason": found.reason, "designs": facts,
            }
        )  # fmt: skip
        return status
    speak = language(lang)
    key = "note.matched" if found.within else "note.unmatched"
    unit = "bytes" if equal.endswith("bytes") else "si"
    sentence = word(
        key, speak, quantity=word(f"head.{equal}", speak), wanted=number(found.wanted, speak, unit),
        reached=number(found.reached, speak, unit), difference=signed(found.difference, speak, ".2%"),
    )  # fmt: skip
    write([label(found.spec), sentence, *page(facts, [title(baseline), title(found.spec)], speak)])
    return status
