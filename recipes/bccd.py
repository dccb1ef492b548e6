"""Detection from scratch, v2 beside v1 at equal budget: python recipes/bccd.py --data BCCD --out out/bccd

BCCD is a Pascal-VOC folder of 364 blood-cell photographs with boxes of red cells, white cells and platelets (MIT);
``--unpack bccd.tar.gz`` fills ``--data`` first. Both runs are ``recipes/train/bccd.yaml`` and differ in the backbone
alone: pre-activation or post-activation blocks of the same depths, widths and MACs. They learn from the official
trainval split; the figures are those of the last weights on the official test split, which chose nothing, judged by
pycocotools. A run that was killed goes on where it was; one that is done is not done again, and is refused where this
command would make another. ``--record`` writes ``docs/evidence/bccd.json`` and its pictures; with ``--backbones`` the
other one's run stays there as it was, with its own command, date, commit and machine, if it has the same changes.

About 20 minutes a run on two cores, 12 with ``--set recipe.precision=bf16-mixed`` where the processor multiplies
bfloat16 (AVX-512 BF16, AMX); expect an AP50 of 0.85 or more.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import otoyol
from otoyol.detect import Judged, coco_scores
from otoyol.errors import OtoyolError
from otoyol.spec.files import json_text, write_text
from otoyol.train import fit
from otoyol.train.config import Config
from otoyol.train.files import read_config
from otoyol.train.folder import load_run
from otoyol.train.run import finished

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "benchmarks"))
from record import EVIDENCE, keep  # noqa: E402

RECIPE = ROOT / "recipes" / "train" / "bccd.yaml"
IMAGES = ROOT / "docs" / "images"
BACKBONES = {
    "v2": "resnetv2_18@widths=32-64-128-256,stem.widths=32,input=3x288x384",
    "v1": "resnet18@widths=32-64-128-256,stem.widths=32,input=3x288x384",
}


def config(name: str, data: Path, changes: Sequence[str]) -> Config:
    """The recipe over one of the backbones."""
    return read_config(RECIPE, [f"data.source={json.dumps(str(data))}", f"spec={BACKBONES[name]}", *changes])


def judged(folder: Path, data: Path, batch: int = 8) -> tuple[list[Judged], tuple[str, ...]]:
    """What the run's last weights find on the test split."""
    run = load_run(folder, "last", str(data))
    metric, source = run.task.metric(), run.task.validation
    with torch.inference_mode():
        for start in range(0, len(source), batch):
            samples = [source.sample(index) for index in range(start, min(start + batch, len(source)))]
            metric.update(run.model, run.task.collate(samples))
    return metric.judged(), run.task.classes  # type: ignore[attr-defined]


def pycocotools_ap(images: Sequence[Judged], classes: Sequence[str]) -> dict[str, Any]:
    """COCO's AP and AP50, and AP50 by class, by pycocotools itself."""
    import numpy as np
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth, rows, found = COCO(), [], []
    for image in images:
        for box, label in zip(image.boxes.tolist(), image.labels.tolist(), strict=True):
            sides = [box[2] - box[0], box[3] - box[1]]
            rows.append({"id": len(rows) + 1, "image_id": image.image_id, "category_id": label, "iscrowd": 0,
                         "bbox": [*box[:2], *sides], "area": sides[0] * sides[1]})  # fmt: skip
        for box, label, score in zip(
            image.found_boxes.tolist(), image.found_labels.tolist(), image.scores.tolist(), strict=True
        ):
            found.append({"image_id": image.image_id, "category_id": label, "score": score,
                          "bbox": [*box[:2], box[2] - box[0], box[3] - box[1]]})  # fmt: skip
    truth.dataset = {
        "info": {}, "annotations": rows, "images": [{"id": image.image_id} for image in images],
        "categories": [{"id": label, "name": name} for label, name in enumerate(classes, 1)],
    }  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        judge = COCOeval(truth, truth.loadRes(found), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    by_class = {name: float(np.mean(judge.eval["precision"][0, :, k, 0, -1])) for k, name in enumerate(classes)}
    return {"ap": float(judge.stats[0]), "ap50": float(judge.stats[1]), "ap50_by_class": by_class}


def figures(name: str, folder: Path, data: Path) -> dict[str, Any]:
    """What is recorded of a run that is done."""
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    images, classes = judged(folder, data)
    told = pycocotools_ap(images, classes)
    ours = coco_scores(images, classes).ap50
    if abs(ours - told["ap50"]) > 1e-6:
        raise OtoyolError(f"AP50 on the same predictions: {ours} by otoyol.detect, {told['ap50']} by pycocotools")
    cost = otoyol.cost.count(otoyol.parse(BACKBONES[name] + ",head=0"))
    rounded = {key: round(told[key], 4) for key in ("ap50", "ap")}
    return {
        "spec": BACKBONES[name], "backbone_macs": cost.macs, "params": result["params"], "epochs": result["epochs"],
        "steps": result["steps"], "minutes": round(result["seconds"] / 60, 1), "test_images": len(images), **rounded,
        "ap50_by_class": {key: round(value, 4) for key, value in told["ap50_by_class"].items()},
    }  # fmt: skip


def record(found: dict[str, Any], out: Path, arguments: Sequence[str]) -> None:
    """The evidence that the documentation reads, and the pictures it shows; what was recorded and not done again stays,
    where the recipe had the same changes."""
    command, earlier = ["python", "recipes/bccd.py", *arguments], EVIDENCE / "bccd.json"
    known = json.loads(earlier.read_text(encoding="utf-8")) if earlier.exists() else {"command": "", "figures": {}}
    others = {}
    if changes(known["command"]) == changes(" ".join(command)):
        own = {key: known.get(key) for key in ("command", "date", "commit", "machine")}
        others = {name: {**own, **run} for name, run in known["figures"].get("runs", {}).items()}
    runs = {**others, **found["runs"]}
    keep("bccd", command, {**found, "runs": {name: runs[name] for name in BACKBONES if name in runs}}, EVIDENCE)
    for name in found["runs"]:
        for stem in ("precision_recall", "curves"):
            picture = (out / name / f"{stem}.svg").read_text(encoding="utf-8")
            write_text(IMAGES / f"bccd-{name}-{stem}.svg", picture)


def changes(command: str) -> set[str]:
    """What a recorded command changed in the recipe."""
    return {part.split(" --")[0].strip() for part in command.split(" --set ")[1:]}


def unpack(archive: Path, folder: Path) -> None:
    """Fill an empty or absent folder with what the archive's only VOC folder holds; a filled one stays as it is."""
    if (folder / "Annotations").is_dir():
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as file:
        for member in file.getmembers():
            top, _, member.name = member.name.removeprefix("./").partition("/")
            if member.name and top == "BCCD":
                file.extract(member, folder, filter="data")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="BCCD as a Pascal-VOC folder")
    parser.add_argument("--unpack", type=Path, help="a tar archive of it, to fill --data with first")
    parser.add_argument("--out", type=Path, default=Path("out/bccd"))
    parser.add_argument("--backbones", nargs="+", choices=tuple(BACKBONES), default=list(BACKBONES))
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="a change of the recipe")
    parser.add_argument("--record", action="store_true", help="write docs/evidence/bccd.json and its pictures")
    given = parser.parse_args(arguments)
    try:
        if given.unpack:
            unpack(given.unpack, given.data)
        runs = {}
        for name in given.backbones:
            folder, chosen = given.out / name, config(name, given.data, given.set)
            if not finished(chosen, folder):
                folder.parent.mkdir(parents=True, exist_ok=True)
                fitted = fit(chosen, folder, resume=True, tell=_tell(name))
                if fitted.result is None:
                    return fitted.status
            runs[name] = figures(name, folder, given.data)
            print(json.dumps({name: runs[name]}), flush=True)
    except OtoyolError as error:
        print(f"bccd: {error}", file=sys.stderr)
        return 2
    found = {"data": "BCCD", "split": "trainval to learn from, test to judge by", "judge": "pycocotools", "runs": runs}
    write_text(given.out / "summary.json", json_text(found))
    if given.record:
        record(found, given.out, arguments if arguments is not None else sys.argv[1:])
    return 0


def _tell(name: str) -> Any:
    """A line for each evaluation."""

    def tell(told: Any) -> None:
        if metrics := getattr(told, "metrics", None):
            shown = "  ".join(f"{key} {value:.3f}" for key, value in metrics.items())
            print(f"{name}  step {told.step}  {shown}", flush=True)

    return tell


if __name__ == "__main__":
    sys.exit(main())
