"""otoyol cost: what a design costs, in all or by parts, and what each tool would say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from otoyol.cli.facts import PLAIN, cost_facts, count_facts
from otoyol.cli.inputs import label, read_spec, title
from otoyol.cli.options import DType, Json, Lang, SpecText, option
from otoyol.cli.output import Heading, Item, Table, write, write_json
from otoyol.cli.words import language, number, signed, word

if TYPE_CHECKING:
    from otoyol.cost import Count
    from otoyol.spec import Spec

By = Literal["op", "slot", "block", "stage", "class"]


def cost(
    spec: SpecText,
    /,
    *,
    convention: Annotated[str, option("convention", "--convention")] = PLAIN,
    by: Annotated[By, option("by", "--by")] = "stage",
    batch: Annotated[int, option("batch", "--batch")] = 1,
    dtype: Annotated[DType, option("dtype", "--dtype")] = "float32",
    json: Json = False,
    lang: Lang = None,
) -> None:
    design, tongue = read_spec(spec), language(lang)
    if convention == "all":
        _conventions(design, json, tongue)
    elif json:
        from otoyol import cost as counting

        facts = cost_facts(design, convention, batch, dtype)
        if by != "stage":
            facts["by"] = {
                key: count_facts(part) for key, part in counting.by(design, by, batch=batch, dtype=dtype).items()
            }
        write_json(facts)
    else:
        write(page(design, convention, by, batch, dtype, tongue))


def page(spec: Spec, convention: str, by: By, batch: int, dtype: str, lang: str) -> list[Item]:
    from otoyol import cost as counting

    total = counting.count(spec, batch=batch, dtype=dtype)
    parts = counting.by(spec, by, batch=batch, dtype=dtype)
    where = word("title.cost", lang, input=spec.input.text, batch=batch, dtype=dtype)
    return [
        Heading(title(spec)),
        where,
        Table("", _heads(lang, "quantity", "figure", "exactly"), _totals(spec, total, convention, lang)),
        Table(
            word("title.flops", lang),
            _heads(lang, "operator_class", "forward", "backward"),
            [
                (word(f"class.{name}", lang), number(ahead, lang), number(back, lang))
                for name, ahead, back in zip(
                    total.forward_flops._fields, total.forward_flops, total.backward_flops, strict=True
                )
                if ahead or back
            ],
        ),
        Table(
            word(f"title.by.{by}", lang),
            _heads(lang, "part", "params", "macs", "share", "activations", "train_bytes", "peak_inference_bytes"),
            [_part(name, part, total, by, lang) for name, part in parts.items()],
        ),
    ]


def _heads(lang: str, *keys: str) -> tuple[str, ...]:
    return tuple(word(f"head.{key}", lang) for key in keys)


def _totals(spec: Spec, total: Count, convention: str, lang: str) -> list[tuple[str, str, str]]:
    from otoyol.cost.conventions import figures_as

    rows = [("params", total.params, "si"), ("macs", total.macs, "si")]
    if convention != PLAIN:
        told = figures_as(spec, convention)
        rows.append((f"{convention} ({told.unit})", told.operations * total.batch, "si"))
    rows += [
        ("activations", total.activations, "si"),
        ("buffers", total.buffers, "si"),
        ("weight_bytes", total.weight_bytes, "bytes"),
        ("train_bytes", total.train_bytes, "bytes"),
        ("train_bytes_lean", total.train_bytes_lean, "bytes"),
        ("peak_inference_bytes", total.peak_inference_bytes, "bytes"),
        ("bytes_moved", total.bytes_moved, "bytes"),
    ]
    named = [
        (word(f"head.{key}", lang) if "(" not in key else key, number(value, lang, unit), number(value, lang))
        for key, value, unit in rows
    ]
    intensity = number(total.flops_per_byte, lang, ".1f")
    return [*named, (word("head.flops_per_byte", lang), intensity, "")]


def _part(name: str, part: Count, total: Count, by: By, lang: str) -> tuple[str, ...]:
    if by == "class":
        name = word(f"class.{name}", lang)
    return (
        name,
        number(part.params, lang),
        number(part.macs, lang),
        number(part.macs / total.macs, lang, ".1%"),
        number(part.activations, lang),
        number(part.train_bytes, lang, "bytes"),
        number(part.peak_inference_bytes, lang, "bytes"),
    )


def _conventions(spec: Spec, as_json: bool, lang: str) -> None:
    """The difference table: what every tool prints for this design, and of what the difference consists."""
    from otoyol.cost.conventions import explain_table, part_text
    from otoyol.cost.conventions.quantities import in_words

    rows = explain_table(spec)
    if as_json:
        write_json(
            [
                {
                    "spec": label(spec),
                    "convention": row.convention.name,
                    "tool": row.convention.tool,
                    "written": row.written.name,
                    "operations": row.operations,
                    "unit": row.convention.unit,
                    "calls_it": row.convention.calls_it,
                    "difference": row.difference,
                    "parts": [part._asdict() for part in row.parts],
                    "params": row.params,
                    "activations": row.activations,
                    "why": in_words(row.convention.why, lang),
                }
                for row in rows
            ]
        )
        return
    cells = [
        (
            row.convention.name + ("" if row.written.name == "modules" else f" ({row.written.name})"),
            number(row.operations, lang),
            row.convention.unit,
            signed(row.difference, lang),
            "; ".join(part_text(part, lang) for part in row.parts) or "–",
        )
        for row in rows
    ]
    whys = dict.fromkeys(
        f"  {row.convention.name}: {in_words(row.convention.why, lang)} {in_words(row.convention.wrong, lang)}".rstrip()
        for row in rows
    )
    write(
        [
            Heading(title(spec)),
            Table(
                word("title.conventions", lang),
                _heads(lang, "tool", "operations", "unit", "difference", "parts"),
                cells,
            ),
            "\n".join([word("title.why", lang), *whys]),
        ]
    )
