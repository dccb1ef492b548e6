"""The report's tables: rows of text with every number as the language writes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from otoyol.audit import highway
from otoyol.cost import count
from otoyol.cost.conventions import explain_table, part_text
from otoyol.cost.conventions.quantities import in_words
from otoyol.draw.costs import part_costs
from otoyol.draw.labels import shape
from otoyol.explain import Table
from otoyol.explain.text import number, say
from otoyol.ops import lower
from otoyol.spec import Spec

# Quantities of the totals table in order, and how each is written (a format of otoyol.explain.text).
QUANTITIES = {
    "params": "", "buffers": "", "macs": "", "forward_flops": "si", "backward_flops": "si",
    "activations": "", "weight_bytes": "bytes", "train_bytes": "bytes", "train_bytes_lean": "bytes",
    "peak_inference_bytes": "bytes", "intensity": ".1f", "depth": "", "pure": "", "receptive_field": "",
}  # fmt: skip
# Of these less is better; the others are neither good nor bad.
COSTS = (
    "params", "macs", "forward_flops", "backward_flops", "activations", "weight_bytes", "train_bytes",
    "train_bytes_lean", "peak_inference_bytes",
)  # fmt: skip


LONG = 32  # characters


@dataclass(frozen=True)
class Grid:
    """A table for the template. The first column heads the rows."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    total: tuple[str, ...] = ()

    @property
    def words(self) -> set[int]:
        """Columns of text, which stand to the left; figures stand to the right."""
        return {i for i, column in enumerate(self._columns) if not any(any(map(str.isdigit, c)) for c in column)}

    @property
    def long(self) -> set[int]:
        """Columns of sentences, which may wrap."""
        return {i for i, column in enumerate(self._columns) if max(map(len, column), default=0) > LONG}

    @property
    def _columns(self) -> list[tuple[str, ...]]:
        return list(zip(*self.rows, strict=True))


def grid(table: Table) -> Grid:
    """A table of an answer as one for the template."""
    return Grid(table.caption, table.header, table.rows)


@dataclass(frozen=True)
class Cell:
    value: str
    change: str = ""
    best: bool = False


@dataclass(frozen=True)
class Row:
    label: str
    cells: tuple[Cell, ...]


def exact(value: int, lang: str) -> str:
    return number(value, lang)


def write(quantity: str, value: float, lang: str) -> str:
    """A quantity as the tables write it."""
    return number(value, lang, QUANTITIES[quantity])


class Counted(NamedTuple):
    """What the costs are counted for: ``batch`` images in ``dtype``."""

    batch: int = 1
    dtype: str = "float32"


ONE_IMAGE = Counted()


def quantities(spec: Spec, counted: Counted) -> dict[str, float]:
    """Every quantity of :data:`QUANTITIES`. Raises SpecError."""
    cost, path = count(spec, batch=counted.batch, dtype=counted.dtype), highway(spec)
    return {
        "params": cost.params,
        "buffers": cost.buffers,
        "macs": cost.macs,
        "forward_flops": cost.forward_flops.total,
        "backward_flops": cost.backward_flops.total,
        "activations": cost.activations,
        "weight_bytes": cost.weight_bytes,
        "train_bytes": cost.train_bytes,
        "train_bytes_lean": cost.train_bytes_lean,
        "peak_inference_bytes": cost.peak_inference_bytes,
        "intensity": cost.flops_per_byte,
        "depth": len(path.blocks),
        "pure": path.pure,
        "receptive_field": lower(spec).taps[-1].receptive_field,
    }


def totals(spec: Spec, lang: str, counted: Counted) -> Grid:
    rows = []
    for name, value in quantities(spec, counted).items():
        rows.append(
            (
                say(f"report.quantity.{name}", lang),
                write(name, value, lang),
                say(f"report.meaning.{name}", lang, dtype=counted.dtype),
            )
        )
    header = _head(lang, "value", "meaning")
    caption = say("report.caption.totals", lang, input=spec.input.text.replace("x", "×"), **counted._asdict())
    return Grid(caption, (say("report.quantity_head", lang), *header), tuple(rows))


def stages(spec: Spec, lang: str, counted: Counted) -> Grid:
    """One row a part (stem, stages, what follows them) and their sum."""
    parts = part_costs(spec, *counted)
    params, macs = sum(p.params for p in parts), sum(p.macs for p in parts)
    rows = []
    for part in parts:
        rows.append((
            part.title(lang),
            shape(*part.output),
            str(part.blocks or "–"),
            exact(part.params, lang),
            _share(part.params, params, lang),
            exact(part.macs, lang),
            _share(part.macs, macs, lang),
            exact(part.activations, lang),
            number(part.train_bytes, lang, "bytes"),
        ))  # fmt: skip
    total = (
        say("report.total", lang), "", str(sum(part.blocks for part in parts)),
        exact(params, lang), "", exact(macs, lang), "", exact(sum(p.activations for p in parts), lang),
        number(sum(p.train_bytes for p in parts), lang, "bytes"),
    )  # fmt: skip
    header = _head(lang, "part", "output", "blocks", "params", "share", "macs", "share", "activations", "train_bytes")
    return Grid(say("report.caption.stages", lang, **counted._asdict()), header, tuple(rows), total)


def taps(spec: Spec, lang: str) -> Grid:
    rows = tuple(
        (tap.name, str(tap.channels), f"{tap.height} × {tap.width}", str(tap.stride), exact(tap.receptive_field, lang),
         _signed(tap.offset, lang))
        for tap in lower(spec).taps
    )  # fmt: skip
    caption = say("report.caption.taps", lang, input=spec.input.text.replace("x", "×"))
    return Grid(caption, _head(lang, "tap", "channels", "size", "stride", "receptive_field", "offset"), rows)


def conventions(spec: Spec, lang: str) -> Grid:
    rows = tuple(
        (
            row.convention.tool + ("" if row.written.name == "modules" else f" ({row.written.name})"),
            exact(row.operations, lang),
            row.convention.unit,
            _signed(row.difference, lang),
            "; ".join(part_text(part, lang) for part in row.parts) or "–",
        )
        for row in explain_table(spec)
    )
    caption = say("report.caption.conventions", lang, input=spec.input.text.replace("x", "×"))
    return Grid(caption, _head(lang, "tool", "figure", "unit", "difference", "parts"), rows)


def convention_notes(spec: Spec, lang: str) -> Grid:
    notes = {row.convention.tool: row.convention for row in explain_table(spec)}
    rows = tuple((tool, in_words(row.why, lang), in_words(row.wrong, lang)) for tool, row in notes.items())
    return Grid(say("report.caption.notes", lang), _head(lang, "tool", "why", "wrong"), rows)


def comparison(specs: Sequence[Spec], lang: str, counted: Counted = ONE_IMAGE) -> tuple[Row, ...]:
    """A row a quantity, a cell a design, each with its change against the first."""
    columns = [quantities(spec, counted) for spec in specs]
    rows = []
    for name in QUANTITIES:
        values = [column[name] for column in columns]
        lowest = min(values) if name in COSTS and len(set(values)) > 1 else None
        cells = tuple(
            Cell(write(name, value, lang), _change(name, value, values[0], lang) if i else "", value == lowest)
            for i, value in enumerate(values)
        )
        rows.append(Row(say(f"report.quantity.{name}", lang), cells))
    return tuple(rows)


def _change(name: str, value: float, base: float, lang: str) -> str:
    """``+1.2 M (+4.7%)``: the difference, and its share of the first design's figure."""
    if value == base:
        return say("report.same", lang)
    sign = "+" if value > base else "−"
    amount = sign + number(abs(value - base), lang, QUANTITIES[name] or "si")
    if not base:
        return amount
    share = abs(value - base) / base
    return f"{amount} ({sign}{number(share, lang, '.1%' if share >= 0.01 else '.2%')})"


def _signed(value: int, lang: str) -> str:
    return f"−{number(-value, lang)}" if value < 0 else number(value, lang)


def _share(part: int, whole: int, lang: str) -> str:
    return number(part / whole if whole else 0.0, lang, ".1%")


def _head(lang: str, *names: str) -> tuple[str, ...]:
    return tuple(say(f"report.head.{name}", lang) for name in names)
