"""otoyol predict: what a trained model sees in images, as JSON and as pictures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from otoyol.cli.options import Json, Lang, option
from otoyol.cli.output import write, write_json
from otoyol.cli.words import language, word
from otoyol.errors import SpecError


def predict(
    run: Annotated[Path, option("trained")],
    *images: Annotated[Path, option("predict_images")],
    device: Annotated[str | None, option("judge_device", "--device")] = None,
    weights: Annotated[Literal["last", "best"], option("trained_weights", "--weights")] = "last",
    on_error: Annotated[Literal["stop", "skip"], option("on_error", "--on-error")] = "stop",
    out: Annotated[Path | None, option("predict_out", "--out", "-o")] = None,
    json: Json = False,
    lang: Lang = None,
) -> None:
    tongue = language(lang)
    if not images:
        raise SpecError("images", "nothing", "at least one image, or a folder of images")
    from otoyol.train.after import predict as look
    from otoyol.train.folder import load_run

    left: list[str] = []
    found = look(
        load_run(run, weights, device=device), images, folder=out, left_out=left if on_error == "skip" else None
    )
    for line in left:
        print(f"otoyol: {line}", file=sys.stderr)
    if json or out is None:
        write_json(found)
    else:
        write([word("predict.done", tongue, count=len(found), folder=str(out))])
