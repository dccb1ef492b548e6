"""What a report says of each design, ready for the templates: plain data, every number already written out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from otoyol.audit import highway
from otoyol.cost import count
from otoyol.draw import block_svg, network_svg
from otoyol.draw.bars import bars_svg
from otoyol.draw.costs import METRICS, Metric, metric_title
from otoyol.draw.labels import spec_name
from otoyol.draw.network import stage_runs
from otoyol.explain import Answer, audit, why_all
from otoyol.explain.text import number, say
from otoyol.ops import lower
from otoyol.report import tables
from otoyol.report.tables import Counted, Grid
from otoyol.spec import Spec, dumps
from otoyol.spec.text import any_text

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SHORT = 48  # characters of a design's name in the list of contents
MOST_BLOCKS = 24  # block diagrams behind the fold


@dataclass(frozen=True)
class Picture:
    """An SVG, which its own library has escaped, and what it is called."""

    svg: Markup
    label: str


@dataclass(frozen=True)
class Fact:
    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Design:
    id: str
    letter: str
    name: str
    short: str
    text: str
    yaml: str
    counted: str
    facts: tuple[Fact, ...]
    network: Markup
    blocks: tuple[Picture, ...]
    more_blocks: tuple[Picture, ...]
    totals: Grid
    stages: Grid
    bars: tuple[Picture, ...]
    conventions: Grid
    convention_notes: Grid
    taps: Grid
    audit: Answer
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Comparison:
    caption: str
    rows: tuple[tables.Row, ...]
    charts: tuple[Picture, ...]


def design_view(spec: Spec, position: int, designs: int, lang: str, counted: Counted) -> Design:
    """Everything about one design. ``position`` counts from 0; a design that is alone has no letter."""
    name = spec_name(spec)
    letter = LETTERS[position] if designs > 1 else ""
    uid = f"d{position + 1}"
    blocks, more = _block_pictures(spec, uid, lang)
    return Design(
        id=uid,
        letter=letter,
        name=name,
        short=name if len(name) <= SHORT else name[: SHORT - 1] + "…",
        text=any_text(spec),
        yaml=dumps(spec),
        counted=say("report.counted", lang, input=spec.input.text.replace("x", "×"), **counted._asdict()),
        facts=_facts(spec, lang, counted),
        network=_safe(network_svg(spec, lang, uid=f"{uid}-network")),
        blocks=blocks,
        more_blocks=more,
        totals=tables.totals(spec, lang, counted),
        stages=tables.stages(spec, lang, counted),
        bars=() if designs > 1 else _charts([spec], ("macs", "train_bytes"), uid, lang, counted),
        conventions=tables.conventions(spec, lang),
        convention_notes=tables.convention_notes(spec, lang),
        taps=tables.taps(spec, lang),
        audit=audit(spec, lang),
        answers=why_all(spec, lang),
    )


def comparison_view(specs: Sequence[Spec], lang: str, counted: Counted) -> Comparison:
    """Totals side by side, changes against the first design, and bars for every cost."""
    return Comparison(
        say("report.caption.compare", lang, **counted._asdict()),
        tables.comparison(specs, lang, counted),
        _charts(specs, METRICS, "compare", lang, counted),
    )


def _safe(svg: str) -> Markup:
    """Markup that needs no escaping: otoyol.draw builds it as a tree and serialises it."""
    return Markup(svg)  # noqa: S704


def _charts(
    specs: Sequence[Spec], metrics: Sequence[Metric], uid: str, lang: str, counted: Counted
) -> tuple[Picture, ...]:
    return tuple(
        Picture(_safe(bars_svg(specs, metric, lang, uid=f"{uid}-{metric.replace('_', '-')}", **counted._asdict())),
                metric_title(metric, lang, *counted))
        for metric in metrics
    )  # fmt: skip


def _block_pictures(spec: Spec, uid: str, lang: str) -> tuple[tuple[Picture, ...], tuple[Picture, ...]]:
    """The first kinds of block of the second stage (or the only one), and every other kind in the network."""
    shown_stage = min(1, len(spec.plan) - 1)
    first: list[Picture] = []
    rest: list[Picture] = []
    for stage, runs in enumerate(stage_runs(spec)):
        for run in runs:
            place = first if stage == shown_stage and len(first) < 2 else rest
            if place is rest and len(rest) >= MOST_BLOCKS:
                continue
            svg = block_svg(spec, stage, run.first, lang, uid=f"{uid}-s{stage}-b{run.first}")
            place.append(Picture(_safe(svg), say("report.block", lang, stage=stage + 1, block=run.first + 1)))
    return tuple(first), tuple(rest)


def _facts(spec: Spec, lang: str, counted: Counted) -> tuple[Fact, ...]:
    """The figures that an engineer looks for first."""
    cost = count(spec, batch=counted.batch, dtype=counted.dtype)
    path, last = highway(spec), lower(spec).taps[-1]

    def fact(name: str, value: str, note: str = "") -> Fact:
        return Fact(say(f"report.quantity.{name}", lang), value, note)

    def rounded(name: str, value: int) -> Fact:
        return fact(name, number(value, lang, "si"), number(value, lang))

    return (
        rounded("params", cost.params),
        rounded("macs", cost.macs),
        rounded("activations", cost.activations),
        fact("train_bytes", tables.write("train_bytes", cost.train_bytes, lang)),
        fact("peak_inference_bytes", tables.write("peak_inference_bytes", cost.peak_inference_bytes, lang)),
        fact("pure", say("report.of", lang, part=path.pure, whole=len(path.blocks))),
        fact(
            "receptive_field", f"{last.receptive_field} px", f"{last.name}, {last.channels}×{last.height}×{last.width}"
        ),
    )
