"""otoyol data check: what is wrong with a data set? Leaves with status 1 where something must be mended."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Literal

from otoyol.cli.options import Json, Lang, option
from otoyol.cli.output import Heading, Item, Table, write, write_json
from otoyol.cli.words import language, number, word

if TYPE_CHECKING:
    from otoyol.data.check import Checked

NAMED = 5  # of each kind of finding; --json has all


def data(
    action: Annotated[Literal["check"], option("data_action")],  # noqa: ARG001 (there is one so far)
    path: Annotated[str, option("data_path")],
    /,
    *,
    json: Json = False,
    lang: Lang = None,
) -> int:
    from otoyol.data.check import check_data

    tongue = language(lang)
    shown = sys.stderr.isatty() and not json
    try:
        found = check_data(path, (lambda count: _tell(count, tongue)) if shown else None)
    finally:
        if shown:
            sys.stderr.write("\r\x1b[K")
    if json:
        write_json({"data": path, **found.to_mapping()})
    else:
        write(page(found, path, tongue))
    return 0 if found.ok else 1


def _tell(count: int, lang: str) -> None:
    """One line on the terminal that is written over."""
    if count % 50 == 0:
        sys.stderr.write(f"\r\x1b[K{word('data.progress', lang, count=count)}")
        sys.stderr.flush()


def page(found: Checked, path: str, lang: str) -> list[Item]:
    """The verdict, splits, classes by split, then what was found, what must be mended first."""
    verdict = "fine" if not found.findings else "usable" if found.ok else "broken"
    layout = word(f"data.layout.{found.layout}", lang)
    items: list[Item] = [Heading(word(f"data.{verdict}", lang, data=path)), f"{layout}:"]
    items.append(_splits(found, lang))
    classes = list(dict.fromkeys(name for split in found.splits for name in split.classes))
    what = "boxes" if found.layout != "folder" else "images"
    rows = [(name, *(number(split.classes.get(name, 0), lang) for split in found.splits)) for name in classes]
    names = tuple(split.name for split in found.splits)
    items.append(Table(word(f"data.by_class.{what}", lang), (word("head.class", lang), *names), rows))
    for kind, count in found.counts().items():
        of_kind = [finding for finding in found.findings if finding.kind == kind]
        lines = [word(f"data.finding.{kind}", lang, count=count, level=word(f"data.{of_kind[0].level}", lang))]
        lines += [f"  {finding.where}{f': {finding.detail}' if finding.detail else ''}" for finding in of_kind[:NAMED]]
        lines += [word("data.more", lang, count=count - NAMED)] if count > NAMED else []
        items.append("\n".join(lines))
    return items


def _splits(found: Checked, lang: str) -> Table:
    head = tuple(word(f"head.{key}", lang) for key in ("split", "images", "boxes"))
    rows = [
        (split.name, number(split.images, lang), "–" if split.boxes is None else number(split.boxes, lang))
        for split in found.splits
    ]
    return Table("", head, rows)
