"""otoyol show: what a spec describes, stage by stage, and what it hands to a detector."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Literal

from otoyol.cli.inputs import label, read_spec, title
from otoyol.cli.options import Json, Lang, SpecText, option
from otoyol.cli.output import Item, Table, write, write_json
from otoyol.cli.words import language, number, word

if TYPE_CHECKING:
    from otoyol.spec import Spec

Format = Literal["text", "yaml", "toml", "json"]


def show(
    spec: SpecText,
    /,
    *,
    form: Annotated[Format | None, option("format", "--format")] = None,
    json: Json = False,
    lang: Lang = None,
) -> None:
    design = read_spec(spec)
    if form == "text":
        sys.stdout.write(label(design) + "\n")
    elif form:
        from otoyol.spec import dumps

        sys.stdout.write(dumps(design, f".{form}"))
    elif json:
        from otoyol.cli.facts import PLAIN, cost_facts, tap_facts
        from otoyol.spec import to_mapping

        write_json({**cost_facts(design, PLAIN), "taps": tap_facts(design), "fields": to_mapping(design)})
    else:
        write(page(design, language(lang)))


def page(spec: Spec, lang: str) -> list[Item]:
    from otoyol.cli.facts import stage_facts, tap_facts

    def heads(*keys: str) -> tuple[str, ...]:
        return tuple(word(f"head.{key}", lang) for key in keys)

    stages = [
        (
            str(row["stage"]),
            f"{row['depth']} × {row['block']}",
            f"{row['channels_in']} → {row['inner_width']} → {row['channels']}",
            str(row["stride"]),
            str(row["dilation"]),
            str(row["groups"]),
            "×".join(map(str, row["output"])),
        )
        for row in stage_facts(spec)
    ]
    taps = [
        (
            row["name"],
            number(row["channels"], lang),
            f"{row['height']}×{row['width']}",
            str(row["stride"]),
            number(row["receptive_field"], lang),
            number(row["offset"], lang),
        )
        for row in tap_facts(spec)
    ]
    return [
        "\n".join([title(spec), *_choices(spec, lang)]),
        Table(
            word("title.stages", lang),
            heads("stage", "blocks", "channels_through", "stride", "dilation", "groups", "output"),
            stages,
        ),
        Table(
            word("title.taps", lang),
            heads("tap", "channels", "size", "stride", "receptive_field", "offset"),
            taps,
        ),
    ]


def _choices(spec: Spec, lang: str) -> list[str]:
    """The choices that hold for the whole network, a line each."""
    stem = spec.stem
    kernels = " ".join(f"{k}×{k}/{s}→{w}" for k, s, w in zip(stem.kernels, stem.strides, stem.widths, strict=True))
    attention = (
        spec.attention.kind if spec.attention.kind == "none" else f"{spec.attention.kind} ({spec.attention.place})"
    )
    rows = {
        "input": spec.input.text,
        "stem": kernels + (" + maxpool 3×3/2" if stem.pool == "max" else ""),
        "shortcut": spec.shortcut.kind,
        "attention": attention,
        "norm": f"{spec.norm.kind}, {spec.act}",
        "classes": number(spec.head.classes, lang),
    }
    names = {key: word(f"head.{key}", lang) for key in rows}
    width = max(map(len, names.values()))
    return [f"  {names[key].ljust(width)}  {value}" for key, value in rows.items()]
