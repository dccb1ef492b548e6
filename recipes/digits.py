"""Digits, learnt and timed: python recipes/digits.py [--out out/digits] [--record]

The run is ``recipes/train/digits.yaml``: 1,437 images to learn from, 360 of other writers to judge by. The accuracy is
that of the last weights; the seconds are those of the training, evaluations included, on the cores that this process
may use. ``--record`` writes ``docs/evidence/digits.json``. A run that was killed goes on where it was; its seconds are
those of both parts. One that is done is not done again, and is refused where this command would make another.

Under a minute on two cores; expect 98.9 %.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from otoyol.errors import OtoyolError
from otoyol.train import fit
from otoyol.train.files import read_config
from otoyol.train.run import finished

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "benchmarks"))
from record import EVIDENCE, keep, machine  # noqa: E402

RECIPE = ROOT / "recipes" / "train" / "digits.yaml"


def figures(folder: Path) -> dict[str, Any]:
    """What is recorded of a run that is done."""
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return {
        "data": "digits", "spec": result["spec"], "params": result["params"], "epochs": result["epochs"],
        "steps": result["steps"], "test_images": result["validation"], "accuracy": result["metrics"]["accuracy"],
        "seconds": result["seconds"], "cores": machine()["cores"],
    }  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/digits"))
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="a change of the recipe")
    parser.add_argument("--record", action="store_true", help="write docs/evidence/digits.json")
    given = parser.parse_args(arguments)
    try:
        chosen = read_config(RECIPE, given.set)
        if not finished(chosen, given.out):
            fitted = fit(chosen, given.out, resume=True)
            if fitted.result is None:
                return fitted.status
        found = figures(given.out)
    except OtoyolError as error:
        print(f"digits: {error}", file=sys.stderr)
        return 2
    print(json.dumps(found))
    if given.record:
        said = sys.argv[1:] if arguments is None else arguments
        keep("digits", ["python", "recipes/digits.py", *said], found, EVIDENCE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
