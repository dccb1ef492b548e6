"""Printing: JSON, or lines and tables, by rich on a terminal and as plain aligned text elsewhere.

Everything is rendered before the first byte is written, so that an error leaves standard output empty.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple


class Table(NamedTuple):
    """Cells as text; ``align`` has one letter a column, l or r."""

    title: str
    head: tuple[str, ...]
    align: str
    rows: Sequence[tuple[str, ...]]


Item = str | Table


def write_json(value: Any) -> None:
    """One JSON value on standard output."""
    import json

    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def write(items: Sequence[Item]) -> None:
    """Lines and tables on standard output, separated by empty lines."""
    sys.stdout.write(_rich(items) if sys.stdout.isatty() else plain(items))


def plain(items: Sequence[Item]) -> str:
    """Aligned text without boxes and colour, for pipes, files and screen readers."""
    return "\n\n".join(_plain_table(item) if isinstance(item, Table) else item for item in items) + "\n"


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
            table = RichTable(title=Text(item.title) if item.title else None, title_justify="left", box=box.SIMPLE_HEAD)
            for name, side in zip(item.head, item.align, strict=True):
                table.add_column(Text(name), justify="right" if side == "r" else "left", overflow="fold")
            for row in item.rows:
                table.add_row(*map(Text, row))
            console.print(table)
    return captured.get()
