"""otoyol trials: short trainings of a front's designs, shared by all workers of a study."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from otoyol.cli.options import Json, Lang, option
from otoyol.cli.output import Item, Table, write, write_json
from otoyol.cli.words import language, number, word
from otoyol.errors import SpecError

if TYPE_CHECKING:
    from otoyol.trials import Front, TrialProgress, Trials, Tried

OnError = Literal["stop", "skip"]
Precision = Literal["32-true", "bf16-mixed"]
ORDER = ("complete", "pruned", "failed", "lost", "running", "waiting", "open")


def trials(
    front: Annotated[Path, option("front")],
    *,
    data: Annotated[str, option("trials_data", "--data")] = "digits",
    steps: Annotated[int, option("trials_steps", "--steps")] = 200,
    storage: Annotated[str | None, option("trials_storage", "--storage")] = None,
    study: Annotated[str | None, option("study", "--study")] = None,
    trials: Annotated[int | Literal["all"], option("trials_count", "--trials")] = "all",
    prune: Annotated[str, option("prune", "--prune")] = "none",
    seed: Annotated[int, option("trials_seed", "--seed")] = 0,
    lr: Annotated[float, option("trials_lr", "--lr")] = 0.1,
    batch: Annotated[int, option("trials_batch", "--batch")] = 64,
    reports: Annotated[int, option("reports", "--reports")] = 5,
    judged: Annotated[int, option("judged", "--judged")] = 1000,
    on_error: Annotated[OnError, option("on_error", "--on-error")] = "stop",
    grace: Annotated[int, option("grace", "--grace")] = 60,
    attempts: Annotated[int, option("attempts", "--attempts")] = 3,
    device: Annotated[str | None, option("device", "--device")] = None,
    precision: Annotated[Precision, option("trials_precision", "--precision")] = "32-true",
    json: Json = False,
    lang: Lang = None,
) -> int:
    if seed < 0:
        raise SpecError("seed", seed, "0 or more")
    from otoyol.trials import parse_prune, read_front, run_trials, shown

    given, rule, speak = read_front(front), parse_prune(prune), language(lang)
    url = storage or f"sqlite:///{front.with_suffix('.db').absolute()}"
    name = study or front.stem
    place = shown(url)
    from otoyol.train import ShortTraining

    training = ShortTraining(data, steps, seed, lr, batch, reports, judged, on_error, device, _name_once(), precision)
    try:
        found = run_trials(
            given.designs, training, storage=url, study=name, steps=steps, identity=training.identity(), prune=rule,
            limit=None if trials == "all" else trials, grace_seconds=grace, attempts=attempts,
            progress=_teller(speak) if sys.stderr.isatty() else None,
        )  # fmt: skip
    finally:
        if sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")
    if json:
        rows = [{**tried._asdict(), **costs} for tried, costs in zip(found.tried, given.costs, strict=True)]
        write_json({"study": name, "storage": place, "finished": found.finished, "designs": rows})
    else:
        write(page(found, given, name, place, speak))
    if found.interrupted:
        return 130
    return 0 if not found.finished or any(tried.state == "complete" for tried in found.tried) else 1


def _name_once() -> Callable[[list[str]], None]:
    """Names of unreadable images on standard error, each once however many trials meet it."""
    named: set[str] = set()

    def name(images: list[str]) -> None:
        for image in images:
            if image not in named:
                named.add(image)
                print(f"otoyol: left out, since it cannot be read: {image}", file=sys.stderr)

    return name


def _teller(lang: str) -> Callable[[TrialProgress], None]:
    """One line on the terminal that is written over."""

    def tell(progress: TrialProgress) -> None:
        kind = "waiting" if progress.design is None else "begin" if progress.accuracy is None else "progress"
        line = word(f"trials.{kind}", lang, **progress._asdict())
        sys.stderr.write(f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}")  # a broken line stays behind
        sys.stderr.flush()

    return tell


def page(found: Trials, front: Front, study: str, storage: str, lang: str) -> list[Item]:
    """The best first, then those that were given up, then what is not done yet; why designs failed."""
    done = sum(tried.final for tried in found.tried)
    ended = word("trials.ended", lang, done=done, total=len(found.tried), study=study, storage=storage)
    rows = sorted(
        zip(found.tried, front.costs, strict=True),
        key=lambda row: (ORDER.index(row[0].state), -row[0].steps, -(row[0].accuracy or 0.0)),
    )
    names = list(dict.fromkeys(name for costs in front.costs for name in costs))
    keys = ("accuracy", "steps", "state")
    head = (*(word(f"head.{key}", lang) for key in keys), *(_head(name, lang) for name in names))
    table = Table("", (*head, word("head.design", lang)), [_cells(tried, costs, names, lang) for tried, costs in rows])
    items: list[Item] = [ended, table]
    items += [word("trials.failed", lang, design=t.design, error=t.error) for t in found.tried if t.state == "failed"]
    items += [word("trials.lost", lang, design=t.design, lost=t.lost) for t in found.tried if t.state == "lost"]
    return items


def _cells(tried: Tried, costs: dict[str, float], names: list[str], lang: str) -> tuple[str, ...]:
    accuracy = "–" if tried.accuracy is None else number(tried.accuracy, lang, ".1%")
    figures = (_figure(name, costs.get(name), lang) for name in names)
    return (accuracy, number(tried.steps, lang), word(f"trials.state.{tried.state}", lang), *figures, tried.design)


def _figure(name: str, value: Any, lang: str) -> str:
    if value is None:
        return "–"
    if name.startswith("latency_ms"):
        return number(value, lang, ".3g" if value < 100 else ".0f")
    return number(value, lang, "bytes" if name.endswith("_bytes") else "si")


def _head(name: str, lang: str) -> str:
    """A quantity in the catalogue's words; one that another program put into the front by its own name."""
    quantity, _, where = name.partition("@")
    try:
        return f"{word(f'head.{quantity}', lang)} {where}".rstrip()
    except KeyError:
        return name
