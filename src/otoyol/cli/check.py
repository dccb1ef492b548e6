"""otoyol check: are our outputs a peer's, weights copied? Leaves with status 1 where they are not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from otoyol.cli.inputs import read_spec
from otoyol.cli.options import Json, Lang, SpecText, option
from otoyol.cli.output import Heading, Item, Table, write, write_json
from otoyol.cli.words import language, number, word

if TYPE_CHECKING:
    from otoyol.check import Figure, Result

DType = Literal["float32", "float64"]


def check(
    spec: SpecText,
    /,
    *,
    against: Annotated[str, option("against", "--against")],
    image: Annotated[Path | None, option("image", "--image")] = None,
    dtype: Annotated[DType, option("check_dtype", "--dtype")] = "float32",
    json: Json = False,
    lang: Lang = None,
) -> int:
    design, tongue = read_spec(spec), language(lang)
    from otoyol import check as checking

    result = checking.against(design, against, image, dtype)
    if json:
        write_json(result.to_mapping())
    else:
        write(page(result, tongue))
    return 0 if result.ok else 1


def page(result: Result, lang: str) -> list[Item]:
    verdict = word("verdict.equal" if result.ok else "verdict.differs", lang, ours=result.design, theirs=result.peer)
    seen = word("verdict.seen", lang, image=result.image, dtype=result.dtype)
    items: list[Item] = [Heading(verdict), seen, *([result.problem] if result.problem else []), *result.notes]
    heads = tuple(word(f"head.{key}", lang) for key in ("quantity", "ours", "theirs", "error", "bound", "verdict"))
    return [*items, Table("", heads, [_row(figure, lang) for figure in result.figures])]


def _row(figure: Figure, lang: str) -> tuple[str, ...]:
    ours, theirs = (
        number(int(value), lang) if figure.bound == 0 else number(value, lang, ".6g")
        for value in (figure.ours, figure.theirs)
    )
    bound = f"{figure.bound:.0e}" if figure.bound else "0"
    error = f"{figure.error:.1e}" if figure.error else "0"
    return (figure.name, ours, theirs, error, bound, word("verdict.ok" if figure.ok else "verdict.bad", lang))
