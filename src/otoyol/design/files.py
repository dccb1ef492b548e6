"""The texts of the folder: the front as data, what was measured, the commands that make it again."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import yaml

from otoyol.design.run import Result, Wish, timed_designs
from otoyol.errors import SpecError
from otoyol.search import Space
from otoyol.spec import Spec, to_text
from otoyol.spec.files import json_text, read_bytes

NAMES = (
    "README.md", "commands.sh", "spec.yaml", "space.yaml", "front.json", "measured.json", "report.html", "network.svg",
    *(f"{stem}{suffix}" for stem in ("pareto", "parallel", "edf", "stages") for suffix in (".png", ".svg")),
)  # fmt: skip
MAX_BYTES = 1 << 26


def front_json(result: Result) -> str:
    """The front and how it came about. Depends on the wish and the tables alone: the same wish gives the same bytes.

    ``designs`` has a row a design, as `otoyol search --json` writes it; ``chosen`` counts from 1.
    """
    wish, found = result.wish, result.found
    return json_text(
        {
            "task": wish.task.name, "space": wish.space.model_dump(mode="json", exclude_defaults=True),
            "budgets": [budget.text for budget in wish.budgets],
            "objectives": [{"quantity": o.key, "maximize": o.maximize} for o in wish.objectives],
            "count": wish.draws, "seed": wish.seed, "seen": found.seen, "valid": found.valid, "met": found.met,
            "thinned": found.thinned, "chosen": result.choice.position + 1, "picked": result.choice.picked,
            "distances": [round(distance, 9) for distance in result.choice.distances],
            "designs": [{"spec": design.spec, **design.values} for design in found.designs],
        }
    )  # fmt: skip


def measured_json(result: Result) -> str:
    """What was seen on this machine: parameters, taps, milliseconds beside the prediction."""
    names = timed_names(result)
    timed = [
        {
            **timing.setting._asdict(),
            "designs": [
                {"name": name, "spec": to_text(spec), "ms": round(ms, 4), "spread": round(spread, 4), **more}
                for name, spec, ms, spread, more in zip(
                    names, timed_specs(result), timing.ms, timing.spread, _predictions(result, timing.setting.where),
                    strict=True,
                )
            ],
        }
        for timing in result.timed
    ]  # fmt: skip
    built = result.built
    return json_text(
        {
            "processor": result.processor, "cores": result.cores,
            "spec": to_text(result.spec), "parameters": built.parameters, "counted": built.counted,
            "image": built.image, "finite": built.finite, "fine": built.fine,
            "taps": [{**tap._asdict(), "shape": list(tap.shape)} for tap in built.taps], "timed": timed,
        }
    )  # fmt: skip


def _predictions(result: Result, where: str) -> list[dict[str, Any]]:
    told = result.predicted.get(where)
    if told is None:
        return [{} for _ in timed_specs(result)]
    return [
        {"predicted_ms": round(t.ms, 4), "low_ms": round(t.low_ms, 4), "high_ms": round(t.high_ms, 4)} for t in told
    ]


def timed_specs(result: Result) -> list[Spec]:
    return timed_designs(result.spec, result.rivals)


def timed_names(result: Result) -> list[str]:
    rivals = [rival.name for rival in result.rivals]
    return ["chosen", *(f"{name} at the chosen budget" for name in rivals), *rivals]


def space_yaml(space: Space) -> str:
    return yaml.safe_dump(space.model_dump(mode="json", exclude_defaults=True), sort_keys=False, width=120)


def design_words(wish: Wish, lang: str, tables: list[str], trials: str | None, pick: int | None, out: str) -> list[str]:
    """The command that makes the folder again, from within it."""
    own = wish.budgets[: wish.own_budgets]
    words = ["otoyol", "design", "--task", wish.task.name, "--space", "space.yaml"]
    for budget in own:
        words += ["--budget", budget.text]
    if wish.own_objectives:
        words += objective_words(wish)
    words += ["--count", str(wish.draws), "--seed", str(wish.seed)]
    for table in tables:
        words += ["--table", table]
    if trials:
        words += ["--trials", trials]
    if pick:
        words += ["--pick", str(pick)]
    return [*words, "--lang", lang, "--out", out]


def objective_words(wish: Wish) -> list[str]:
    words = []
    for o in wish.objectives:
        words += ["--maximize" if o.maximize else "--minimize", o.key]
    return words


def search_words(wish: Wish, tables: list[str]) -> list[str]:
    """The same front by `otoyol search` alone."""
    words = ["otoyol", "search", "--space", "space.yaml"]
    for budget in wish.budgets:
        words += ["--budget", budget.text]
    words += [*objective_words(wish), "--count", str(wish.draws), "--seed", str(wish.seed)]
    for table in tables:
        words += ["--table", table]
    return words


def commands_sh(result: Result, lang: str, tables: list[str], trials: str | None) -> str:
    """A shell script that makes the folder again, beside or at ``$1``, and compares the fronts."""
    wish = result.wish
    pick = result.choice.position + 1 if result.choice.picked else None
    again = shlex.join(design_words(wish, lang, tables, trials, pick, "OUT")).removesuffix("OUT") + '"$out"'
    quantity, _, where = wish.equal.partition("@")
    equal = ["latency", "--table", tables[[*result.predicted].index(where)]] if where else [quantity]
    compare = [
        ["otoyol", "compare", "--equal", *equal, "spec.yaml", to_text(rival.spec)]
        if rival.scaled.within
        else ["otoyol", "compare", "spec.yaml", to_text(rival.scaled.spec)]  # as near as it gets
        for rival in result.rivals
    ]
    return "\n".join(
        [
            "#!/bin/sh",
            "# Makes this folder again and compares the fronts: sh commands.sh [OUT]",
            "set -eu",
            'cd "$(dirname "$0")"',
            "out=${1:-again}",
            again,
            'cmp front.json "$out/front.json"',
            "",
            "# Its steps one by one: the same front, the design, ResNet-18 and ResNet-50 at its budget.",
            shlex.join(search_words(wish, tables)),
            "otoyol show spec.yaml",
            *map(shlex.join, compare),
            "",
        ]
    )


def read_errors(path: Path) -> list[float]:
    """Errors in percent of the designs that `otoyol trials --json` has tried to the end. Raises SpecError."""
    text = read_bytes(path, "trials", MAX_BYTES)
    try:
        data = json.loads(text)
        rows = next(data[key] for key in ("tried", "designs") if key in data)
        found = [100.0 * (1.0 - float(row["accuracy"])) for row in rows if _counts(row)]
    except (ValueError, KeyError, TypeError, StopIteration, RecursionError):
        raise SpecError("trials", path.name, "what `otoyol trials --json` writes") from None
    if not found:
        raise SpecError("trials", path.name, "at least one completed trial with an accuracy")
    return found


def _counts(row: dict[str, Any]) -> bool:
    return row.get("state", "complete") == "complete" and row.get("accuracy") is not None
