"""otoyol run: images through an artifact by the engine that `otoyol bench --best` found fastest on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from otoyol.cli.options import Json, Lang, option
from otoyol.cli.output import Item, Table, write, write_json
from otoyol.cli.words import language, number, word

if TYPE_CHECKING:
    from otoyol.deploy.metadata import Metadata
    from otoyol.deploy.predict import Seen


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
    from otoyol.deploy.predict import run as through

    given = Artifact(artifact)
    choice = choose(artifact)
    if choice.why:
        print("otoyol:", word("run.fallback", tongue, engine=choice.engine, why=choice.why), file=sys.stderr)
    found = [_told(seen, given.metadata, top) for seen in through(given, images, choice.engine, choice.threads)]
    if json:
        write_json({"engine": choice.engine, "images": found})
        return
    write([item for answer in found for item in _page(answer, tongue)])


def _told(seen: Seen, metadata: Metadata, top: int) -> dict[str, Any]:
    """One image's answer as plain data."""
    names, outputs = metadata.classes, seen.outputs

    def name(index: int) -> str:
        return names[index] if 0 <= index < len(names) else str(index)

    answer: dict[str, Any] = {"image": str(seen.path)}
    if metadata.task == "classification":
        import numpy as np

        logits = outputs["logits"].astype(np.float64)
        chances = np.exp(logits - logits.max())
        chances /= chances.sum()
        order = np.argsort(-chances, kind="stable")[: max(top, 1)]
        answer["classes"] = [{"class": name(int(i)), "probability": float(chances[i])} for i in order]
    elif metadata.task == "detection":
        rows = zip(outputs["boxes"], outputs["labels"], outputs["scores"], strict=True)
        answer["boxes"] = [
            {"class": name(int(label)), "score": float(score), "box": [float(v) / seen.scale for v in box]}
            for box, label, score in rows
        ]
    else:
        answer["features"] = {key: list(value.shape) for key, value in outputs.items()}
    return answer


def _page(answer: dict[str, Any], lang: str) -> list[Item]:
    if "classes" in answer:
        head = (word("head.class", lang), word("head.probability", lang))
        return [Table(answer["image"], head, [
            (row["class"], number(row["probability"], lang, ".4f")) for row in answer["classes"]])]  # fmt: skip
    if "boxes" in answer:
        head = (word("head.class", lang), word("head.score", lang), "x1 y1 x2 y2")
        return [Table(answer["image"], head, [
            (row["class"], number(row["score"], lang, ".3f"), " ".join(f"{v:.0f}" for v in row["box"]))
            for row in answer["boxes"]])]  # fmt: skip
    return [f"{answer['image']}: " + ", ".join(f"{k} {'×'.join(map(str, v))}" for k, v in answer["features"].items())]
