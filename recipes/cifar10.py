"""An hour each on CIFAR-10: a design that the search chose, ResNet-20 as in 2015, ResNet-18: python recipes/cifar10.py

CIFAR-10 as a folder ``train|test/<class>/*`` (``--unpack cifar10.tar.gz`` fills ``--data`` first). Three parts, each of
which goes on where it was when started again with the same ``--out``:

1. ``otoyol search`` enumerates ``recipes/spaces/cifar10.yaml`` within a budget of MACs; ``otoyol trials`` trains every
   design of the front for a few steps, judged on images held out of the training split; the best one is the design.
2. A few steps of each contestant, on a machine that does nothing else, tell how many fit into ``--minutes``.
3. Each trains for so many steps and is judged on the test split, which chose nothing: the figures are those of the
   last weights. A busy machine takes longer for the same steps; ``core_minutes`` are the processor's, all threads
   together, and an hour on two cores has 120 of them.

ResNet-20 has the recipe of He et al. 2015, section 4.2 (``recipes/train/cifar10_he2015.yaml``), its milestones at the
same shares of the run; ResNet-18 is torchvision's network, in the design's own recipe. ``--record`` writes
``docs/evidence/cifar10.json``; with ``--only`` the others' runs stay there as they were, each with its own date, commit
and machine.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import otoyol
from otoyol.draw.curves import Curve, Panel, curves_plot
from otoyol.errors import OtoyolError
from otoyol.spec.files import json_text, write_text
from otoyol.train import fit
from otoyol.train.config import Config
from otoyol.train.files import read_config

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "benchmarks"))
from record import EVIDENCE, commit, keep, machine, now  # noqa: E402

IMAGES = ROOT / "docs" / "images"
SPACE = ROOT / "recipes" / "spaces" / "cifar10.yaml"
BUDGETS = ("macs>=130M", "macs<=200M")
OBJECTIVES = ("--maximize", "params", "--minimize", "depth", "--minimize", "train_bytes")
TRIED = 80  # steps of a contestant that tell its speed
MARGIN = 0.92  # of the minutes are planned; processors slow down when they get warm


def otoyol_command(*words: str) -> list[str]:
    return [sys.executable, "-m", "otoyol", *words]


def chosen(out: Path, data: Path, steps: int) -> tuple[str, list[dict[str, Any]]]:
    """The front's best design by a short training, and every trial's accuracy."""
    front, told = out / "front.json", out / "trials.json"
    if not front.exists():
        budgets = [word for budget in BUDGETS for word in ("--budget", budget)]
        subprocess.run(
            otoyol_command("search", "--space", str(SPACE), *budgets, *OBJECTIVES, "--every", "--out", str(front)),
            check=True,
        )
    if not told.exists():
        done = subprocess.run(
            otoyol_command("trials", str(front), "--data", str(data), "--steps", str(steps), "--batch", "128", "--lr",
                           "0.2", "--precision", "bf16-mixed", "--reports", "2", "--judged", "5000", "--json"),
            check=True, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        write_text(told, done.stdout)
    rows = [
        {"design": row["design"], "accuracy": row["accuracy"]}
        for row in json.loads(told.read_text(encoding="utf-8"))["designs"]
        if row.get("accuracy") is not None
    ]
    return max(rows, key=lambda row: row["accuracy"])["design"], rows


# Name: recipe and spec; the search decides what is not said here.
CONTESTANTS = {
    "chosen": ("cifar10.yaml", ""),
    "resnet20": ("cifar10_he2015.yaml", "cifar_resnet20"),
    "resnet18": ("cifar10.yaml", "resnet18@input=3x32x32"),
}


def config(recipe: str, spec: str, data: Path, steps: int, *changes: str) -> Config:
    """A contestant's configuration over so many steps, evaluated twenty times."""
    return read_config(
        ROOT / "recipes" / "train" / recipe,
        [f"data.source={json.dumps(str(data))}", f"spec={json.dumps(spec)}", "recipe.epochs=null",
         f"recipe.steps={steps}", f"run.evaluate_every={max(1, steps // 20)}", *changes],
    )  # fmt: skip


def rows(folder: Path) -> list[dict[str, float]]:
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]


def steps_within(name: str, recipe: str, spec: str, data: Path, minutes: float, out: Path) -> int:
    """How many steps fit, by the clock of a few of them and of one evaluation."""
    kept = out / f"{name}-steps.json"
    if kept.exists():
        return int(json.loads(kept.read_text(encoding="utf-8"))["steps"])
    folder = out / f"{name}-tried"
    fit(config(recipe, spec, data, TRIED, f"run.evaluate_every={TRIED}", "run.log_every=1"), folder, resume=True)
    seconds = [row["seconds"] for row in rows(folder)]
    each = (seconds[-2] - seconds[9]) / (TRIED - 11)
    evaluation = seconds[-1] - seconds[-2] - each
    steps = int((60 * minutes * MARGIN - 20 * evaluation) / each)
    steps -= steps % 20  # so that the last of the evaluations is that of the last step
    if steps < 20:
        raise OtoyolError(f"minutes: {minutes} hold {steps} steps of {each:.2f} s; at least 20 are needed")
    write_text(kept, json_text({"steps": steps, "seconds_a_step": each, "seconds_an_evaluation": evaluation}))
    return steps


def trained(name: str, recipe: str, spec: str, data: Path, steps: int, out: Path) -> dict[str, Any]:
    """One contestant's run, or what it left when it was done, and what is recorded of it."""
    folder, spent = out / name, out / f"{name}-spent.json"
    if not (folder / "result.json").exists():
        whole, began = not folder.exists(), time.process_time()
        # What a run spent before it was interrupted is not known; nor is it where the interruption comes between the
        # run's end and these lines'.
        known = {"date": now(), "core_minutes": None, "commit": commit(), "machine": machine()}
        write_text(spent, json_text(known))
        fitted = fit(config(recipe, spec, data, steps), folder, resume=True)
        if fitted.result is None:
            raise SystemExit(fitted.status)
        minutes = round((time.process_time() - began) / 60, 2) if whole else None
        write_text(spent, json_text({**known, "date": now(), "core_minutes": minutes}))
    made = json.loads(spent.read_text(encoding="utf-8")) if spent.exists() else {}
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    curve = [(round(row["seconds"] / 60, 2), row["val_accuracy"]) for row in rows(folder) if "val_accuracy" in row]
    cost = otoyol.cost.count(otoyol.parse(spec))
    return {
        "spec": spec, "recipe": f"recipes/train/{recipe}", "macs": cost.macs, "params": result["params"],
        "steps": steps, "epochs": result["epochs"], "minutes": round(result["seconds"] / 60, 2),
        **dict.fromkeys(("date", "core_minutes", "commit", "machine")), **made,
        "accuracy": result["metrics"]["accuracy"], "best_on_the_way": result["best"]["metrics"]["accuracy"],
        "minutes_and_accuracy": curve,
    }  # fmt: skip


def picture(runs: dict[str, Any], folder: Path) -> None:
    curves = tuple(Curve(name, tuple(y for _, y in run["minutes_and_accuracy"])) for name, run in runs.items())
    panel = Panel(
        "Test accuracy on CIFAR-10, at twenty moments of each run", "twentieths of the run", curves, unit=".0%"
    )
    curves_plot([panel], folder, "cifar10-curves")


def record(found: dict[str, Any], out: Path, arguments: list[str]) -> None:
    """The evidence that the documentation reads, and its picture; what was recorded and not done again stays."""
    earlier = EVIDENCE / "cifar10.json"
    known = json.loads(earlier.read_text(encoding="utf-8"))["figures"] if earlier.exists() else {}
    if known.get("minutes") == found["minutes"]:
        runs = {**known["runs"], **found["runs"]}
        found = {**known, **found, "runs": {name: runs[name] for name in CONTESTANTS if name in runs}}
    keep("cifar10", ["python", "recipes/cifar10.py", *arguments], found, EVIDENCE)
    picture(found["runs"], out)
    write_text(IMAGES / "cifar10-curves.svg", (out / "cifar10-curves.svg").read_text(encoding="utf-8"))


def unpack(archive: Path, folder: Path) -> None:
    """Fill an empty or absent folder; a filled one stays as it is."""
    if (folder / "train").is_dir():
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="CIFAR-10 as train|test/<class>/*")
    parser.add_argument("--unpack", type=Path, help="a tar archive of it, to fill --data with first")
    parser.add_argument("--out", type=Path, default=Path("out/cifar10-hour"))
    parser.add_argument("--minutes", type=float, default=60.0, help="for each contestant")
    parser.add_argument("--trial-steps", type=int, default=200, help="of each design of the front")
    parser.add_argument("--only", nargs="+", choices=tuple(CONTESTANTS), help="of the contestants")
    parser.add_argument("--record", action="store_true", help="write docs/evidence/cifar10.json and its picture")
    given = parser.parse_args(arguments)
    try:
        if given.unpack:
            unpack(given.unpack, given.data)
        given.out.mkdir(parents=True, exist_ok=True)
        found: dict[str, Any] = {"data": "CIFAR-10", "minutes": given.minutes, "budgets": BUDGETS}
        runs = {}
        for name in given.only or CONTESTANTS:
            recipe, spec = CONTESTANTS[name]
            if not spec:
                spec, found["trials"] = chosen(given.out, given.data, given.trial_steps)
            steps = steps_within(name, recipe, spec, given.data, given.minutes, given.out)
            print(f"{name}: {spec}, {steps} steps", flush=True)
            runs[name] = trained(name, recipe, spec, given.data, steps, given.out)
            print(json.dumps({name: runs[name]}), flush=True)
    except OtoyolError as error:
        print(f"cifar10: {error}", file=sys.stderr)
        return 2
    found["runs"] = runs
    write_text(given.out / "summary.json", json_text(found))
    picture(runs, given.out)
    if given.record:
        record(found, given.out, arguments if arguments is not None else sys.argv[1:])
    return 0


if __name__ == "__main__":
    sys.exit(main())
