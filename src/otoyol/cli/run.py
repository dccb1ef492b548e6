"""otoyol run: images through an artifact by the engine that `otoyol bench --best` found fastest on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from otoyol.cli.options import Json, Lang, option
from otoyol.cli.output import Item, Table, write, write_json
from otoyol.cli.words import language, number, word


def run(
    artifact: Annotated[Path, option("run_artifact")],
    images: Annotated[tuple[Path, ...], option("run_images")],
    /,
    *,
    top: Annotated[int, option("run_top", "--top")] = 3,
    json: Json = False,
    lang: Lang = None,
) -> None:
    tongue = language(lang)
    from otoyol.deploy.artifact import Artifact
    from otoyol.deploy.best import choose
    from otoyol.deploy.predict import answer
    from otoyol.deploy.predict import run as through

    given = Artifact(artifact)
    choice = choose(given)
    if choice.why:
        print("otoyol:", word("run.fallback", tongue, engine=choice.engine, why=choice.why), file=sys.stderr)
    found = [answer(seen, given.metadata, top) for seen in through(given, images, choice.engine, choice.threads)]
    if json:
        write_json({"engine": choice.engine, "images": found})
        return
    write([item for told in found for item in _page(told, tongue)])


def _page(answer: dict[str, Any], lang: str) -> list[Item]:
    if "classes" in answer:
        head = (word("head.class", lang), word("head.probability", lang))
        return [Table(answer["image"], head, [
            (row["class"], number(row["probability"], lang, ".4f")) for row in answer["classes"]])]  # fmt: skip
    if "boxes" in answer:
        heads = (word("head.class", lang), word("head.score", lang), "x1 y1 x2 y2")
        return [Table(answer["image"], heads, [
            (row["class"], number(row["score"], lang, ".3f"), " ".join(f"{v:.0f}" for v in row["box"]))
            for row in answer["boxes"]])]  # fmt: skip
    return [f"{answer['image']}: " + ", ".join(f"{k} {'×'.join(map(str, v))}" for k, v in answer["features"].items())]
