"""otoyol train: a training run from one file; killed at any step, it goes on to the same weights."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from otoyol.cli.options import Json, Lang, option
from otoyol.cli.output import Item, write, write_json
from otoyol.cli.words import language, number, word
from otoyol.errors import SpecError

if TYPE_CHECKING:
    from otoyol.train.progress import Told
    from otoyol.train.run import Fitted, Start


def train(
    config: Annotated[Path | None, option("train_config")] = None,
    *,
    set: Annotated[tuple[str, ...], option("train_set", "--set")] = (),
    out: Annotated[Path | None, option("train_out", "--out", "-o")] = None,
    resume: Annotated[bool, option("train_resume", "--resume")] = False,
    print_config: Annotated[bool, option("train_print", "--print-config")] = False,
    json: Json = False,
    lang: Lang = None,
) -> int:
    tongue = language(lang)
    from otoyol.train.files import config_text, read_config
    from otoyol.train.folder import read_run_config

    if config is None and not (resume and out is not None):
        raise SpecError("config", "nothing", "a configuration file, or --resume with the --out of a run")
    chosen = read_run_config(out, set) if config is None and out is not None else read_config(config or Path(), set)
    if print_config:
        sys.stdout.write(config_text(chosen))
        return 0
    folder = out or Path("runs") / (config.stem if config else "")
    from otoyol.train.run import fit

    with _Listener(tongue, quiet=json) as listener:
        fitted = fit(chosen, folder, resume=resume, tell=listener)
    if fitted.result is None:
        if fitted.status and fitted.rank == 0:  # one process speaks
            print(f"otoyol: {_left(fitted, folder, tongue)}", file=sys.stderr)
        return fitted.status
    if json:
        write_json(fitted.result)
    else:
        write(page(fitted.result, folder, tongue))
    return 0


def _left(fitted: Fitted, folder: Path, lang: str) -> str:
    name = signal.Signals(fitted.status - 128).name
    if fitted.saved is None:
        return word("train.left", lang, signal=name)
    return word("train.saved", lang, signal=name, step=fitted.saved, folder=str(folder))


def page(result: dict[str, Any], folder: Path, lang: str) -> list[Item]:
    """What the run has reached, and where it is."""
    done = word("train.done", lang, steps=result["steps"], epochs=result["epochs"], seconds=result["seconds"])
    lines = [done, _figures("train.last", result["metrics"], result["steps"], lang)]
    if result["best"]:
        lines.append(_figures("train.best", result["best"]["metrics"], result["best"]["step"], lang))
    if result["left_out"]:
        lines.append(word("train.left_out", lang, count=len(result["left_out"])))
    if result["nan_steps"]:
        lines.append(word("train.nan", lang, count=len(result["nan_steps"]), first=result["nan_steps"][0]))
    return ["\n".join([*lines, word("train.folder", lang, folder=str(folder))])]


def _figures(key: str, metrics: dict[str, float | None], step: int, lang: str) -> str:
    told = ", ".join(
        f"{name} {'–' if value is None else number(value, lang, '.4f')}" for name, value in metrics.items()
    )
    return word(key, lang, step=step, figures=told)


class _Listener:
    """A bar on a terminal, a line every few seconds elsewhere; both on standard error."""

    SECONDS = 10.0

    def __init__(self, lang: str, quiet: bool) -> None:
        self.lang, self.quiet = lang, quiet
        self.bar: Any = None
        self.task: Any = None
        self.told = 0.0

    def __enter__(self) -> _Listener:
        if sys.stderr.isatty() and not self.quiet:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self.bar = Progress(
                BarColumn(), TextColumn("{task.completed}/{task.total}"), TextColumn("{task.description}"),
                TimeRemainingColumn(), console=Console(stderr=True), transient=True,
            )  # fmt: skip
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def __call__(self, event: Start | Told) -> None:
        from otoyol.train.run import Start

        if isinstance(event, Start):
            self._start(event)
        else:
            self._step(event)

    def _start(self, start: Start) -> None:
        lang = self.lang
        self._line(word("train.start", lang, params=start.params, steps=start.steps, samples=start.samples,
                        validation=start.validation, world=start.world))  # fmt: skip
        if start.frozen:  # never silently
            self._line(word("train.frozen", lang, names=", ".join(start.frozen), params=start.frozen_params))
        for name in start.damaged:
            self._line(word("train.damaged", lang, name=name))
        if start.step:
            self._line(word("train.resumed", lang, step=start.step))
        if start.changed:
            self._line(word("train.changed", lang, what=", ".join(start.changed)))
        if self.bar is not None:
            self.task = self.bar.add_task("", total=start.steps, completed=start.step)

    def _step(self, told: Told) -> None:
        import time

        lang = self.lang
        if told.metrics is not None:
            self._line(_figures("train.evaluated", dict(told.metrics), told.step, lang))
            return
        if self.bar is not None:
            said = word("train.bar", lang, epoch=told.epoch, loss=told.loss, speed=round(told.images_per_second))
            self.bar.update(self.task, completed=told.step, description=said)
        elif time.monotonic() - self.told >= self.SECONDS:
            self.told = time.monotonic()
            self._line(word("train.step", lang, step=told.step, steps=told.steps, epoch=told.epoch, loss=told.loss,
                            speed=round(told.images_per_second)))  # fmt: skip

    def _line(self, text: str) -> None:
        if self.bar is not None:
            self.bar.console.print(text, markup=False, highlight=False)
        elif not self.quiet:
            print(text, file=sys.stderr, flush=True)
