"""Printing: JSON, or lines and tables, by rich on a terminal and as plain aligned text elsewhere.

Everything is rendered before the first byte is written, so that an error leaves standard output empty.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple


class Heading(NamedTuple):
    text: str


class Table(NamedTuple):
    """Cells as text. Columns of figures are set to the right."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    @property
    def align(self) -> str:
        """One letter a column, l or r."""
        columns = zip(*self.rows, strict=True) if self.rows else [()] * len(self.head)
        return "".join("r" if all(map(_FIGURE.match, column)) else "l" for column in columns)


Item = str | Heading | Table
_FIGURE = re.compile(
    r"[-+−±≈]?%?\d[\d.,]*( ?[A-Za-z%×]{1,4})?\Z|\d+([x×]\d+)+\Z|[\d.,]+ \([\d.,]+–[\d.,]+\)( \*)?\Z|[–=-]?\Z"
)


def write_json(value: Any) -> None:
    """One JSON value on standard output."""
    from otoyol.spec.files import json_text

    sys.stdout.write(json_text(value))


def write(items: Sequence[Item]) -> None:
    """Lines and tables on standard output, separated by empty lines."""
    sys.stdout.write(_rich(items) if sys.stdout.isatty() else plain(items))


def plain(items: Sequence[Item]) -> str:
    """Aligned text without boxes and colour, for pipes, files and screen readers.

    Lines are broken only where the environment sets COLUMNS; tables never are.
    """
    return "\n\n".join(map(_plain_item, items)) + "\n"


def _plain_item(item: Item) -> str:
    if isinstance(item, Table):
        return _plain_table(item)
    text = item.text if isinstance(item, Heading) else item
    columns = os.environ.get("COLUMNS", "")
    if not columns.isdecimal() or int(columns) < 20:
        return text
    import textwrap

    return "\n".join(
        textwrap.fill(
            line,
            int(columns),
            subsequent_indent=" " * (len(line) - len(line.lstrip())),
            break_long_words=False,
            break_on_hyphens=False,  # designs and paths are there to be copied
        )
        for line in text.splitlines()
    )


def _plain_table(table: Table) -> str:
    lines = [table.head, *table.rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.head))]
    text = [
        "  ".join(
            cell.rjust(width) if side == "r" else cell.ljust(width)
            for cell, width, side in zip(line, widths, table.align, strict=True)
        ).rstrip()
        for line in lines
    ]
    return "\n".join([table.title, *text] if table.title else text)


def _rich(items: Sequence[Item]) -> str:
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    console = Console(highlight=False)
    with console.capture() as captured:
        for position, item in enumerate(items):
            if position:
                console.print()
            if isinstance(item, str):
                console.print(Text(item))
                continue
            if isinstance(item, Heading):
                console.print(Text(item.text, style="bold"))
                continue
            if item.title:
                console.print(Text(item.title, style="italic"))
            table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
            for name, side in zip(item.head, item.align, strict=True):
                table.add_column(Text(name), justify="right" if side == "r" else "left", overflow="fold")
            for row in item.rows:
                table.add_row(*map(Text, row))
            console.print(table)
    return captured.get()
