"""Costs stage by stage as bars in one SVG, without any plotting library."""

from __future__ import annotations

from collections.abc import Sequence

from otoyol.draw import labels
from otoyol.draw.costs import Metric, Table, metric_title, stage_table, unit_of
from otoyol.draw.labels import number
from otoyol.draw.layout import MARGIN
from otoyol.draw.svg import Drawing, Theme, text_width, uid_of, wrap
from otoyol.spec import Spec

BAR = 300.0  # length of the longest bar
THICK = 15.0
SERIES = 6  # fills that differ by hue and by pattern


def bars_svg(
    specs: Sequence[Spec], metric: Metric = "macs", lang: str = "en", theme: Theme = "auto", uid: str | None = None, *,
    batch: int = 1, dtype: str = "float32",
) -> str:  # fmt: skip
    """One bar a stage and design, labelled with its figure for ``batch`` images in ``dtype`` and its share of the
    design's total.

    ``uid`` prefixes the ids, where the same picture stands twice in one page.
    """
    labels.check_lang(lang)
    return draw_bars(stage_table(specs, metric, lang, batch, dtype), metric, lang, theme, uid)


def draw_bars(table: Table, metric: Metric, lang: str, theme: Theme, uid: str | None) -> str:
    title = metric_title(metric, lang, table.batch, table.dtype)
    uid = uid or uid_of("bars", metric, lang, theme, table)
    d = Drawing(uid, theme, f"{title}: {', '.join(table.names)}", _in_words(table, metric, lang))
    left = MARGIN + max(text_width(part) for part in table.parts) + 14
    figures = [_figure(value, total, metric, lang) for row, total in zip(table.values, table.totals, strict=True)
               for value in row]  # fmt: skip
    width = max(left + BAR + 10 + max(text_width(f, 11.5, mono=True) for f in figures) + MARGIN, 460.0)
    y = 20.0
    for line in wrap(title.split(), width - 2 * MARGIN, 16):
        y += 13
        d.text(MARGIN, y, line, "title")
        y += 9
    y += 6
    if len(table.names) > 1:
        for series, name in enumerate(table.names):
            total = number(table.totals[series], lang, unit_of(metric))
            _fill(d, series, MARGIN, y, 22, 12)
            lines = labels.text_form_lines(name, width - 2 * MARGIN - 110)
            for line in [*lines[:-1], f"{lines[-1]}: {total}"]:
                d.text(MARGIN + 32, y + 10.5, line, "mono")
                y += 16
            y += 4
    y += 8
    start = y
    longest = max(value or 0 for row in table.values for value in row) or 1
    for p, part in enumerate(table.parts):
        d.text(left - 12, y + THICK * 0.5 * len(table.names) + 4.5, part, "", "end")
        for series, row in enumerate(table.values):
            length = BAR * (row[p] or 0) / longest
            figure = _figure(row[p], table.totals[series], metric, lang)
            d.group(f"{table.names[series]}, {part}: {figure}")
            if row[p] is not None:
                _fill(d, series, left, y + 1, max(length, 1.0), THICK - 2)
            d.text(left + max(length, 1.0) + 7, y + THICK - 3.5, figure, "mono")
            d.close()
            y += THICK
        y += 9
    d.add("line", "wire", x1=left, y1=start - 4, x2=left, y2=y - 5)
    return d.finish(width, y + 10)


def _figure(value: int | None, total: int, metric: Metric, lang: str) -> str:
    if value is None:
        return "–"
    return f"{number(value, lang, unit_of(metric))} · {number(value / total if total else 0.0, lang, '.1%')}"


def _in_words(table: Table, metric: Metric, lang: str) -> str:
    lines = []
    for name, row, total in zip(table.names, table.values, table.totals, strict=True):
        parts = "; ".join(f"{p} {_figure(v, total, metric, lang)}" for p, v in zip(table.parts, row, strict=True))
        lines.append(f"{name}: {parts}.")
    return " ".join(lines)


def _fill(d: Drawing, series: int, x: float, y: float, width: float, height: float) -> None:
    """A bar of the series' hue, and of its pattern so that hue is not needed."""
    k = series % SERIES
    d.add("rect", f"series{k}", x=x, y=y, width=width, height=height, rx=2)
    if k:
        d.add("rect", x=x, y=y, width=width, height=height, rx=2, fill=d.texture(k))
