"""What the report says of the search, as sections before the chosen design's own page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from otoyol.design.rivals import Rival
from otoyol.design.run import Result, timed_designs
from otoyol.design.tasks import LATENCY
from otoyol.design.verify import Timed
from otoyol.draw.figure import quantity_name, written
from otoyol.draw.front import Mark, Scene
from otoyol.explain.refusal import sentence
from otoyol.explain.text import number, say
from otoyol.report import Grid, Image, Section, image_file
from otoyol.report.tables import comparison
from otoyol.search import Budget
from otoyol.spec import to_text

ROWS = 30  # of the front in its table


def scene_of(result: Result, lang: str, errors: Sequence[float] = ()) -> Scene:
    """The search as the pictures show it."""
    wish = result.wish
    front = {key: np.array([values[key] for values in result.front]) for key in wish.keys}
    cloud = dict(result.cloud.values)
    marks = tuple(Mark(name, values) for name, values in result.rival_values.items())
    chosen = Mark(say("design.chosen", lang), result.values)
    better = {o.key: 1 if o.maximize else -1 for o in wish.objectives}
    limits = {budget.key: float(budget.limit) for budget in wish.budgets}
    return Scene(front, cloud, result.cloud.within, chosen, marks, better, limits, np.array(errors))


def sections(result: Result, folder: Path, lang: str, command: str, trials: bool = False) -> list[Section]:
    """The report's sections; the pictures are read from ``folder``."""

    def image(stem: str, key: str, **facts: object) -> Image:
        return image_file(
            folder / f"{stem}.svg", say(f"design.alt.{stem}", lang), say(f"design.caption.{key}", lang, **facts)
        )

    def title(key: str) -> str:
        return say(f"design.title.{key}", lang)

    edf = image("edf", "edf_trials" if trials else "edf", designs=len(result.cloud.within))
    equal = quantity_name(result.wish.equal, lang).replace("\n", " ")
    return [
        Section(
            "chosen", title("chosen"), choice_words(result, lang), _facts(result, lang), to_text(result.spec),
            tables=(_budgets(result, lang),) if result.wish.budgets else (),
        ),
        Section(
            "front", title("front"), front_words(result, lang), tables=(_front(result, lang),),
            images=(image("pareto", "pareto"), image("parallel", "parallel")),
        ),
        Section("space", title("space"), (_space_words(result, lang),), images=(edf,)),
        Section(
            "equal", title("equal"), (say("design.equal", lang, quantity=equal), *_misses(result.rivals, lang)),
            tables=(*(_equal(result, rival, lang) for rival in result.rivals), _compared(result, lang)),
            images=(image("stages", "stages"),),
        ),
        Section(
            "verified", title("verified"),
            (*built_words(result, lang), *latency_words(result, lang), machine_words(result, lang)),
            tables=(_taps(result, lang), *(timed_table(result, timing, lang) for timing in result.timed)),
        ),
        Section("next", title("next"), (say("design.next", lang), say("design.again", lang)), code=command),
    ]  # fmt: skip


def _facts(result: Result, lang: str) -> tuple[tuple[str, str, str], ...]:
    limits = {budget.key: budget for budget in result.wish.budgets}
    return tuple(
        (
            quantity_name(key, lang).replace("\n", " "),
            written(key, value, lang),
            limits[key].text if key in limits else "",
        )
        for key, value in result.values.items()
    )


def choice_words(result: Result, lang: str) -> tuple[str, ...]:
    """Why this design, and what the choice is not."""
    number_, count = result.choice.position + 1, len(result.front)
    key = "design.picked" if result.choice.picked else "design.rule"
    distance = result.choice.distances[result.choice.position]
    return (say(key, lang, number=number_, designs=count, distance=distance), say("design.honest", lang))


def front_words(result: Result, lang: str) -> tuple[str, ...]:
    """What the front is over and why, and how many designs were seen."""
    wish, found = result.wish, result.found
    senses = [f"{quantity_name(o.key, lang)} {'↑' if o.maximize else '↓'}".replace("\n", " ") for o in wish.objectives]
    seen = say(
        "design.seen",
        lang,
        seen=found.seen,
        valid=found.valid,
        met=found.met["all"],
        designs=len(found.designs),
        seed=wish.seed,
    )
    why = () if wish.own_objectives else (say(f"design.why.{wish.task.name}", lang),)
    thin = (say("design.thinned", lang),) if found.thinned else ()
    return (say("design.over", lang, senses=", ".join(senses)), *why, seen, *thin)


def _space_words(result: Result, lang: str) -> str:
    within = int(result.cloud.within.sum())
    return say("design.sampled", lang, designs=len(result.cloud.within), within=within)


def _budgets(result: Result, lang: str) -> Grid:
    """Every budget, what the chosen design takes of it, how many designs meet it."""
    rows = []
    for i, budget in enumerate(result.wish.budgets):
        value, limit = result.values[budget.key], float(budget.limit)
        asked = budget.text if i < result.wish.own_budgets else say("design.of_task", lang, budget=budget.text)
        rows.append((
            asked, written(budget.key, limit, lang), written(budget.key, value, lang),
            number(value / limit if limit else 0.0, lang, ".1%"),
            number(result.found.met[budget.text], lang),
        ))  # fmt: skip
    return Grid(
        say("design.table.budgets", lang), _head(lang, "budget", "limit", "chosen", "share", "met"), tuple(rows)
    )


def _front(result: Result, lang: str) -> Grid:
    """The front, or of a long one the designs nearest to the ideal point."""
    distances = result.choice.distances
    shown = sorted(sorted(range(len(distances)), key=lambda i: distances[i])[:ROWS])
    keys = result.wish.keys
    rows = tuple(
        (
            f"{i + 1} ★" if i == result.choice.position else str(i + 1),
            *(written(key, result.front[i][key], lang) for key in keys),
            number(distances[i], lang, ".3f"), result.found.designs[i].spec,
        )
        for i in shown
    )  # fmt: skip
    names = [quantity_name(key, lang).replace("\n", " ") for key in keys]
    head = (*_head(lang, "number"), *names, *_head(lang, "distance", "spec"))
    return Grid(say("design.table.front", lang, shown=len(rows), designs=len(distances)), head, rows)


def _equal(result: Result, rival: Rival, lang: str) -> Grid:
    """The chosen design, the rival at its budget, the rival as it is, the chosen design at the rival's budget."""
    designs = [result.spec, rival.scaled.spec, rival.spec, rival.ours.spec]
    rows = [(row.label, *(cell.value for cell in row.cells)) for row in comparison(designs, lang)]
    if result.predicted:
        for where, predicted in result.predicted.items():
            told = dict(zip(timed_designs(result.spec, result.rivals), predicted, strict=True))
            cells = [written(LATENCY, told[d].ms, lang) if d in told else "–" for d in designs]
            rows.append((quantity_name(f"{LATENCY}@{where}", lang).replace("\n", " "), *cells))
    head = tuple(
        say(f"design.equal_head.{key}", lang, rival=rival.name) for key in ("chosen", "scaled", "rival", "ours")
    )
    quantity = quantity_name(result.wish.equal, lang).replace("\n", " ")
    caption = say("design.table.equal", lang, rival=rival.name, quantity=quantity)
    return Grid(caption, (say("report.quantity_head", lang), *head), tuple(rows))


def _compared(result: Result, lang: str) -> Grid:
    """The text forms of what is compared."""
    rows = [(say("design.chosen", lang), to_text(result.spec))]
    for rival in result.rivals:
        rows += [
            (say(f"design.equal_head.{key}", lang, rival=rival.name), to_text(spec))
            for key, spec in (("scaled", rival.scaled.spec), ("rival", rival.spec), ("ours", rival.ours.spec))
        ]
    return Grid(say("design.table.compared", lang), _head(lang, "design", "spec"), tuple(rows))


def _misses(rivals: Sequence[Rival], lang: str) -> tuple[str, ...]:
    """Where no width can match the budget: how near it gets."""
    return tuple(
        say(
            "design.missed",
            lang,
            rival=rival.name,
            difference=abs(match.difference),
            reason=sentence(match.reason, lang),
        )
        for rival in rivals
        for match in (rival.scaled, rival.ours)
        if not match.within
    )


def built_words(result: Result, lang: str) -> tuple[str, ...]:
    built = result.built
    key = "design.built" if built.fine else "design.built_wrong"
    return (
        say(key, lang, parameters=built.parameters, counted=built.counted, image=built.image, taps=len(built.taps)),
    )


def latency_words(result: Result, lang: str) -> tuple[str, ...]:
    """Whether every latency budget holds as measured."""
    said = []
    for budget, ms in measured_budgets(result):
        holds = "holds" if ms <= float(budget.limit) else "broken"
        said.append(say(f"design.latency_{holds}", lang, budget=budget.text, ms=written(LATENCY, ms, lang)))
    return tuple(said)


def machine_words(result: Result, lang: str) -> str:
    return say("design.machine", lang, processor=result.processor, cores=result.cores)


def measured_budgets(result: Result) -> list[tuple[Budget, float]]:
    """Upper budgets of latency, each with the chosen design's measured milliseconds."""
    took = {timing.setting.where: timing.ms[0] for timing in result.timed}
    return [
        (b, took[b.where]) for b in result.wish.budgets if b.quantity == LATENCY and not b.at_least and b.where in took
    ]


def _taps(result: Result, lang: str) -> Grid:
    rows = tuple(
        (tap.name, f"{tap.published[0]} × {tap.published[1]} × {tap.published[2]}", str(tap.published[3]),
         " × ".join(map(str, tap.shape[1:])), say("word.yes" if tap.fine else "word.no", lang))
        for tap in result.built.taps
    )  # fmt: skip
    return Grid(say("design.table.taps", lang), _head(lang, "tap", "described", "stride", "came_out", "agrees"), rows)


def timed_table(result: Result, timing: Timed, lang: str) -> Grid:
    """Milliseconds of the chosen design and the rivals, beside the prediction where there is one."""
    predicted = result.predicted.get(timing.setting.where)
    rows = []
    for i, name in enumerate(_timed_names(result, lang)):
        cells = [name, written(LATENCY, timing.ms[i], lang), number(timing.spread[i], lang, ".1%")]
        if predicted:
            told = predicted[i]
            low, high = (written(LATENCY, ms, lang) for ms in (told.low_ms, told.high_ms))
            cells += [
                written(LATENCY, told.ms, lang),
                f"{low} – {high}",
                _signed(timing.ms[i] / told.ms - 1, lang),
            ]
        rows.append(tuple(cells))
    head = _head(lang, "design", "measured", "spread", *(("predicted", "interval", "off") if predicted else ()))
    setting = timing.setting
    caption = say(
        "design.table.timed",
        lang,
        engine=setting.engine,
        threads=setting.threads,
        batch=setting.batch,
        dtype=setting.dtype,
    )
    return Grid(caption, head, tuple(rows))


def _signed(share: float, lang: str) -> str:
    return ("−" if share < 0 else "+") + number(abs(share), lang, ".1%")


def _timed_names(result: Result, lang: str) -> list[str]:
    names = [rival.name for rival in result.rivals]
    return [say("design.chosen", lang), *(say("design.scaled", lang, rival=name) for name in names), *names]


def _head(lang: str, *names: str) -> tuple[str, ...]:
    return tuple(say(f"design.head.{name}", lang) for name in names)


def readme(result: Result, lang: str, commands: Sequence[str]) -> str:
    """README.md of the folder."""
    wish = result.wish
    budgets = "\n".join(f"- `{budget.text}`" for budget in wish.budgets) or f"- {say('design.readme.none', lang)}"
    values = "\n".join(
        f"- {quantity_name(key, lang)}: {written(key, value, lang)}".replace("\n@", " @")
        for key, value in result.values.items()
    )
    paragraphs = [
        f"# {title_of(result, lang)}",
        f"`{to_text(result.spec)}`",
        values,
        f"## {say('design.title.budgets', lang)}",
        budgets,
        *choice_words(result, lang),
        *front_words(result, lang),
        *built_words(result, lang),
        *latency_words(result, lang),
        f"## {say('design.title.next', lang)}",
        say("design.next", lang),
        say("design.again", lang),
        "```sh\n" + "\n".join(commands) + "\n```",
        say("design.readme.files", lang),
    ]
    return "\n\n".join(paragraphs) + "\n"


def title_of(result: Result, lang: str) -> str:
    image = result.spec.input.text.replace("x", "×")
    return say(f"design.title.page_{result.wish.task.name}", lang, image=image)
