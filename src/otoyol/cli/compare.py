"""otoyol compare: designs side by side, differences to the first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from otoyol.cli.inputs import label, read_spec, title
from otoyol.cli.latency import LATENCY, Tables, extrapolations, interval, latency_facts
from otoyol.cli.options import Equal, Json, Lang, Multiple, SpecTexts, Vary, option
from otoyol.cli.output import Item, Table, write, write_json
from otoyol.cli.words import language, number, signed, word
from otoyol.errors import SpecError
from otoyol.explain.refusal import sentence

if TYPE_CHECKING:
    from otoyol.search import Match

SHAPE = ("depths", "widths")
QUANTITIES = (
    ("depth", ""), ("params", "si"), ("macs", "si"), ("activations", "si"), ("weight_bytes", "bytes"),
    ("train_bytes", "bytes"), ("train_bytes_lean", "bytes"), ("peak_inference_bytes", "bytes"),
    ("flops_per_byte", ".1f"), ("receptive_field", ""), ("stride", ""), ("open_blocks", ""), ("longest_open_run", ""),
)  # fmt: skip


def compare(
    specs: SpecTexts,
    /,
    *,
    batch: Annotated[int, option("batch", "--batch")] = 1,
    equal: Annotated[Equal | None, option("compare.equal", "--equal")] = None,
    vary: Vary = "widths",
    multiple: Multiple = 8,
    table: Annotated[Path | None, option("one_table", "--table")] = None,
    json: Json = False,
    lang: Lang = None,
) -> int:
    designs = [read_spec(text) for text in specs]
    if len(designs) < 2:
        raise SpecError("specs", len(designs), "two or more")
    tables = Tables([table] if table else [])
    matches: list[Match] = []
    if equal:
        from otoyol.search import match

        measure = measure_of(equal, tables)
        matches = [
            match(designs[0], design, vary=vary, multiple=multiple, batch=batch, **measure) for design in designs[1:]
        ]
        designs[1:] = [found.spec for found in matches]
    facts = [facts_of(design, batch, tables) for design in designs]
    for row, found in zip(facts[1:], matches, strict=False):  # none without --equal
        row["match"] = match_facts(found)
    if json:
        write_json(facts)
    else:
        speak = language(lang)
        missed = [
            f"{letter}  {match_words(found, speak)}"
            for letter, found in zip(_letters(len(facts))[1:], matches, strict=False)
            if not found.within
        ]
        names, *compared = page(facts, [title(design) for design in designs], speak)
        write([names, *missed, *compared, *tables.notes(speak)])
    return 0 if all(found.within for found in matches) else 1


def match_facts(found: Match) -> dict[str, Any]:
    return {
        "equal": found.quantity, "wanted": found.wanted, "reached": found.reached,
        "difference": found.difference, "within": found.within, "reason": found.reason,
    }  # fmt: skip


def match_words(found: Match, lang: str) -> str:
    """What a rescaled design costs beside the budget; where it misses it, why."""
    unit = "bytes" if found.quantity.endswith("bytes") else ".3g" if found.quantity == LATENCY else "si"
    line = word(
        "note.matched" if found.within else "note.unmatched", lang, quantity=word(f"head.{found.quantity}", lang),
        wanted=number(found.wanted, lang, unit), reached=number(found.reached, lang, unit),
        difference=signed(found.difference, lang, ".2%"),
    )  # fmt: skip
    return "\n".join(
        [line, *([word("note.reason", lang, reason=sentence(found.reason, lang))] if found.reason else [])]
    )


def measure_of(equal: Equal, tables: Tables) -> dict[str, Any]:
    """What is held equal, as :func:`otoyol.search.match` takes it."""
    return {"equal": LATENCY, "scorer": tables.scorer(tables.where())} if equal == "latency" else {"equal": equal}


def facts_of(spec: Any, batch: int, tables: Tables) -> dict[str, Any]:
    from otoyol.audit import highway
    from otoyol.cli.facts import count_facts, tap_facts
    from otoyol.cost import count
    from otoyol.ops import lower

    audit, tap = highway(spec), tap_facts(spec)[-1]
    latency = {where: latency_facts(tables.scorer(where).predictor.predict(spec)) for where in tables}
    return {
        "spec": label(spec),
        "family": spec.family,
        "batch": batch,
        "depths": [stage.depth for stage in spec.stages],
        "widths": [stage.width for stage in spec.stages],
        "depth": lower(spec).layers,
        **count_facts(count(spec, batch=batch)),
        "receptive_field": tap["receptive_field"],
        "stride": tap["stride"],
        "blocks": len(audit.blocks),
        "open_blocks": audit.pure,
        "longest_open_run": audit.run.length,
        **({"latency": latency} if latency else {}),
    }


def shapes(facts: list[dict[str, Any]], lang: str) -> Table:
    """Depths and widths, a design a column."""
    rows = [(word(f"head.{key}", lang), *("-".join(map(str, row[key])) for row in facts)) for key in SHAPE]
    return Table("", (word("head.shape", lang), *_letters(len(facts))), rows)


def page(facts: list[dict[str, Any]], titles: list[str], lang: str) -> list[Item]:
    """The first design's figures, then the others' with their differences; few columns, so that names may be long."""
    names = [f"{letter}  {name}" for letter, name in zip(_letters(len(facts)), titles, strict=True)]
    head, rows = [word("head.quantity", lang), "A"], []
    for letter in _letters(len(facts))[1:]:
        head += [letter, f"{letter} − A"]
    for key, unit in QUANTITIES:
        base = facts[0][key]
        cells = [word(f"head.{key}", lang), number(base, lang, unit)]
        for row in facts[1:]:
            cells += [number(row[key], lang, unit), _difference(row[key], base, lang)]
        rows.append(tuple(cells))
    for where in facts[0].get("latency", ()):
        told = [row["latency"][where] for row in facts]
        cells = [f"{word(f'head.{LATENCY}', lang)} {where}", interval(told[0], lang)]
        for latency in told[1:]:
            cells += [interval(latency, lang), _difference(latency["ms"], told[0]["ms"], lang)]
        rows.append(tuple(cells))
    warned = extrapolations(dict(zip(_letters(len(facts)), facts, strict=True)), lang)
    return ["\n".join(names), Table(word("title.compare", lang), tuple(head), rows), *warned]


def _letters(count: int) -> list[str]:
    return [chr(ord("A") + i) if i < 26 else f"A{i}" for i in range(count)]


def _difference(value: float, base: float, lang: str) -> str:
    if value == base:
        return "="
    return signed(value / base - 1, lang, ".1%") if base else signed(value - base, lang)
