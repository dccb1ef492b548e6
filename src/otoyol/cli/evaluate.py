"""otoyol evaluate: a trained model's metrics over a split."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from otoyol.cli.options import Json, Lang, option
from otoyol.cli.output import Item, Table, write, write_json
from otoyol.cli.words import language, number, word


def evaluate(
    run: Annotated[Path, option("trained")],
    *,
    data: Annotated[str | None, option("evaluate_data", "--data")] = None,
    split: Annotated[str | None, option("evaluate_split", "--split")] = None,
    device: Annotated[str | None, option("judge_device", "--device")] = None,
    weights: Annotated[Literal["last", "best"], option("trained_weights", "--weights")] = "last",
    on_error: Annotated[Literal["stop", "skip"], option("on_error", "--on-error")] = "stop",
    workers: Annotated[int, option("workers", "--workers")] = 0,
    out: Annotated[Path | None, option("evaluate_out", "--out", "-o")] = None,
    json: Json = False,
    lang: Lang = None,
) -> None:
    tongue = language(lang)
    from otoyol.train.after import evaluate as judge
    from otoyol.train.folder import load_run

    trained = load_run(run, weights, data, device=device, split=split, skip=on_error == "skip")
    found = judge(trained, skip=on_error == "skip", workers=workers, folder=out)
    if not found:
        return  # one rank of several speaks
    if json:
        write_json(found)
        return
    figures = [
        (name, "–" if value is None else number(value, tongue, ".4f")) for name, value in found["metrics"].items()
    ]
    said = word("evaluate.done", tongue, weights=found["weights"], samples=found["samples"])
    items: list[Item] = [said, Table("", (word("head.metric", tongue), word("head.figure", tongue)), figures)]
    if found["left_out"]:
        items.append(word("train.left_out", tongue, count=len(found["left_out"])))
    if annotations := found.get("annotations_left_out"):
        items.append(word("evaluate.annotations_left_out", tongue, count=len(annotations)))
    write(items)
