"""otoyol design: the whole way from a task and budgets to a folder with a verified design."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from otoyol.cli.latency import Tables
from otoyol.cli.options import Lang, option
from otoyol.cli.output import Table, write
from otoyol.cli.search import progress_words
from otoyol.cli.words import language, word

if TYPE_CHECKING:
    from otoyol.design import Result
    from otoyol.search import Progress


def design(
    *,
    task: Annotated[Literal["classification", "detection"], option("task", "--task")],
    out: Annotated[Path, option("design_out", "--out", "-o")],
    image: Annotated[str | None, option("design_input", "--input")] = None,
    budget: Annotated[tuple[str, ...], option("budget", "--budget")] = (),
    space: Annotated[str | None, option("design_space", "--space")] = None,
    table: Annotated[tuple[Path, ...], option("tables", "--table")] = (),
    trials: Annotated[Path | None, option("design_trials", "--trials")] = None,
    maximize: Annotated[tuple[str, ...], option("design_maximize", "--maximize")] = (),
    minimize: Annotated[tuple[str, ...], option("design_minimize", "--minimize")] = (),
    count: Annotated[int, option("count", "--count")] = 1_000_000,
    seed: Annotated[int, option("seed", "--seed")] = 0,
    pick: Annotated[int | None, option("pick", "--pick")] = None,
    force: Annotated[bool, option("force", "--force")] = False,
    lang: Lang = None,
) -> int:
    from otoyol import design as job
    from otoyol.design.files import read_errors

    speak = language(lang)
    job.check_free(out, job.names_written(len(table)), force)
    job.check_installed()
    if trials:
        read_errors(trials)
    tables = Tables(table)
    wish = job.wish_for(
        task, image=image, budgets=budget, space=space, maximize=maximize, minimize=minimize, count=count, seed=seed,
        latencies=list(tables), place=tables.where,
    )  # fmt: skip
    teller = _Teller(speak)
    try:
        result = job.design(
            wish, predictors={where: tables.scorer(where).predictor for where in tables}, pick=pick,
            progress=teller.progress, tell=teller.step,
        )  # fmt: skip
        teller.step("write")
        job.write(result, out, speak, tables=table, trials=trials)
    except job.NoDesignError as error:
        teller.clear()
        sys.stderr.write(f"otoyol: {error}\n")
        return 1
    finally:  # Ctrl-C too leaves no half a line behind
        teller.clear()
    write([*_page(result, out, speak), *tables.notes(speak)])
    return 0 if holds(result) else 1


def holds(result: Result) -> bool:
    """Whether the network is what its description says, and every latency budget holds as measured."""
    from otoyol.design.page import measured_budgets

    return result.built.fine and all(ms <= float(budget.limit) for budget, ms in measured_budgets(result))


class _Teller:
    """One line on the terminal that is written over; silent elsewhere."""

    def __init__(self, lang: str) -> None:
        self.lang, self.shown = lang, sys.stderr.isatty()

    def step(self, name: str) -> None:
        self._say(word(f"design.step.{name}", self.lang))

    def progress(self, progress: Progress) -> None:
        self._say(progress_words(progress, self.lang))

    def clear(self) -> None:
        self._say("")

    def _say(self, line: str) -> None:
        if self.shown:
            sys.stderr.write(f"\r\x1b[K{line}")


def _page(result: Result, out: Path, lang: str) -> list[str | Table]:
    """The chosen design, its figures beside the rivals', what was verified, where everything is."""
    from otoyol.design.page import built_words, choice_words, front_words, latency_words
    from otoyol.draw.figure import quantity_name, written
    from otoyol.spec import to_text

    names = list(result.rival_values)
    rows = [
        (quantity_name(key, lang).replace("\n", " "), written(key, value, lang),
         *(written(key, result.rival_values[name][key], lang) for name in names))
        for key, value in result.values.items()
    ]  # fmt: skip
    head = (word("head.quantity", lang), word("design.chosen", lang), *names)
    return [
        to_text(result.spec),
        Table("", head, rows),
        "\n".join([front_words(result, lang)[-1], *choice_words(result, lang)]),
        "\n".join([*built_words(result, lang), *latency_words(result, lang)]),
        word("design.written", lang, out=str(out)),
    ]
