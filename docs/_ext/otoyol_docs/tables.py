"""Tables as Markdown, each made from the data it describes; a pure function of the page's language and arguments."""

from __future__ import annotations

from collections.abc import Callable

import otoyol
from otoyol.cost import formulas
from otoyol.explain.text import number
from otoyol.spec import BLOCKS, FAMILIES
from otoyol_docs import evidence, experiment, figures, published, specdoc
from otoyol_docs.markdown import code, table

NO_BREAK = "‑"  # a hyphen at which no line breaks


def blocks(lang: str) -> str:
    """The rows of :data:`otoyol.spec.BLOCKS`."""
    head = ("block", "preact", "branch F", "post", "inner width", "expansion")
    rows = [
        (
            code(name), " ".join(row.preact) or "–", " ".join(row.branch), " ".join(row.post) or "–",
            "width" if row.inner == "width" else "input × expansion", number(row.expansion, lang),
        )
        for name, row in BLOCKS.items()
    ]  # fmt: skip
    return table(head, rows)


def families(lang: str) -> str:
    """Every family with its cost, by input size."""
    by_input: dict[str, list[tuple[str, ...]]] = {}
    for name, build in FAMILIES.items():
        spec = build()
        cost = otoyol.cost.count(spec)
        depths = NO_BREAK.join(str(stage.depth) for stage in spec.stages)
        block = otoyol.spec.block_text(spec.block).replace("-", NO_BREAK)
        figures = (number(value, lang) for value in (cost.params, cost.macs, cost.activations))
        by_input.setdefault(spec.input.text, []).append((code(name), block, depths, *figures))
    head = ("family", "block", "depths", "parameters", "MACs", "activations")
    return "\n\n".join(f"## {size}\n\n{table(head, rows, 'lllrrr')}" for size, rows in by_input.items())


def convolutions(lang: str, text: str, stage: str, block: str) -> str:
    """The convolutions of one block's branch and what each costs; stage and block count from 0."""
    chosen = figures.ops(text, f"stages.{stage}.{block}.branch", "conv")
    all_weights, all_macs = figures.weights(chosen), figures.macs(chosen)
    rows = [
        (f"{op.kernel}×{op.kernel}", f"{op.c_in} → {op.c_out}", number(figures.weights([op]), lang),
         number(figures.weights([op]) / all_weights, lang, ".0%"), number(figures.macs([op]), lang),
         number(figures.macs([op]) / all_macs, lang, ".0%"))
        for op in chosen
    ]  # fmt: skip
    head = {
        "en": ("convolution", "channels", "weights", "share", "MACs", "share"),
        "tr": ("konvolüsyon", "kanallar", "ağırlık", "pay", "MAC", "pay"),
    }
    return table(head[lang], rows, "llrrrr")


def fields(lang: str) -> str:
    """Every field of every model of a spec."""
    return specdoc.fields(lang)


def conventions(lang: str, text: str) -> str:
    """What each counting tool reports for a design, and why."""
    from otoyol.cost.conventions import explain_table, part_text

    rows = []
    for row in explain_table(otoyol.parse(text)):
        parts = "; ".join(part_text(part, lang) for part in row.parts) or "–"
        figures = (number(row.operations, lang), number(row.difference, lang))
        name = code(row.convention.name) + ("" if row.written.name == "modules" else f" ({row.written.name})")
        rows.append((name, row.convention.unit, *figures, parts))
    return table(("preset", "unit", "figure", "beyond plain MACs", "of what"), rows, "llrrl")


def notes(lang: str) -> str:
    """What each counting tool counts, and where it is known to be wrong."""
    from otoyol.cost.conventions import CONVENTIONS

    rows = [
        (code(name), each.calls_it, each.unit, each.why[lang], each.wrong[lang]) for name, each in CONVENTIONS.items()
    ]
    return table(("preset", "the tool calls it", "it is", "why it differs", "where it is wrong"), rows)


def elementwise(lang: str) -> str:
    """FLOPs an element of every operator that is neither convolution nor linear."""
    del lang
    rows = [
        (code(name), row.operator_class, row.forward, row.backward, f"{row.of}put", row.reasoning)
        for name, row in formulas.PER_ELEMENT.items()
    ]
    return table(("operator", "class", "forward", "backward", "for each element of its", "reasoning"), rows, "llrrll")


def cli(lang: str) -> str:
    """The help of every verb."""
    from otoyol.cli.main import VERBS
    from otoyol_docs.running import command

    del lang
    parts = [f"## otoyol {verb}\n\n{fenced(f'otoyol {verb} --help', command(f'{verb} --help').out)}" for verb in VERBS]
    return "\n\n".join(parts)


def fenced(line: str, out: str) -> str:
    return "\n".join(["```console", f"$ {line}", out.strip("\n"), "```"])


TABLES: dict[str, Callable[..., str]] = {
    "blocks": blocks,
    "cli": cli,
    "conventions": conventions,
    "convolutions": convolutions,
    "elementwise": elementwise,
    "evidence": evidence.records,
    "families": families,
    "fields": fields,
    "notes": notes,
    "pre_or_post": experiment.pre_or_post,
    "published": published.rows,
}
