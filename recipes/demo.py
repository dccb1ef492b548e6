"""The main job in under two minutes: python recipes/demo.py [--out FOLDER].

300,000 designs are searched under budgets; the one that is chosen from their front is built, timed, compared with
ResNets of equal cost, drawn and reported. Then a design is read from a file, shown, costed in every tool's convention,
explained, compared, run on a photograph, checked against torchvision and timm with their weights copied, drawn and
reported. Last, a network learns digits. Every step is a command that you can type; the demonstration prints it, runs it
and leaves with status 1 if any of them fails.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

HERE = Path(os.path.relpath(Path(__file__).parent))
STREET, CIFAR = str(HERE / "specs" / "street.yaml"), str(HERE / "specs" / "cifar.toml")
DIGITS = str(HERE / "train" / "digits.yaml")


ACCURACY = 0.985  # of the last step's weights on digits of other writers; 0.989 is usual


class Step(NamedTuple):
    """``check``: what to say against that which was written, an empty text where nothing is."""

    title: str
    command: tuple[str, ...]
    writes: tuple[Path, ...] = ()
    check: Callable[[], str] = str


def steps(out: Path) -> list[Step]:
    def otoyol(title: str, *words: str, writes: str = "") -> Step:
        files = (out / writes,) if writes else ()
        return Step(title, ("otoyol", *words, *(("--out", str(files[0])) if files else ())), files)

    folder, digits = out / "backbone", out / "digits"
    budgets = ("--budget", "macs<=300M", "--budget", "params<=15M")
    design = ("design", "--task", "classification", "--input", "3x96x96", *budgets, "--count", "300000")

    return [
        Step(
            "From a task and budgets to a design that is built, timed and explained",
            ("otoyol", *design, "--out", str(folder), "--force"),
            tuple(folder / name for name in ("report.html", "pareto.png", "front.json", "spec.yaml")),
        ),
        otoyol("A design, read from a file", "show", STREET),
        otoyol("What it costs", "cost", STREET, "--batch", "8"),
        otoyol("Why tools disagree about ResNet-50", "cost", "resnet50", "--convention", "all"),
        otoyol("Why a bottleneck?", "why", "bottleneck", "resnet50"),
        otoyol("Pre- or post-activation?", "why", "preact", STREET),
        otoyol("Projeksiyon ne zaman gerekir?", "why", "projection", CIFAR, "--lang", "tr"),
        otoyol("Side by side", "compare", "resnet50", "resnetv2_50", "resnet50@attention=se", STREET),
        Step("The design as a torch module, on a photograph", ("python", str(HERE / "taps.py"), STREET)),
        otoyol("Is it torchvision's ResNet-50?", "check", "resnet50", "--against", "torchvision:resnet50"),
        otoyol("Is it timm's ResNetV2-50?", "check", "resnetv2_50@input=3x128x128", "--against", "timm:resnetv2_50"),
        otoyol("The whole network", "draw", STREET, writes="network.svg"),
        otoyol("One block", "draw", STREET, "--what", "block", "--stage", "3", writes="block.svg"),
        otoyol("The cost by stage", "draw", STREET, "--what", "cost", "--metric", "train_bytes", writes="cost.png"),
        otoyol("Everything in one file", "report", STREET, "resnet50", "resnetv2_50", writes="report.html"),
        Step(
            "Digits, learnt",
            ("otoyol", "train", DIGITS, "--out", str(digits)),
            tuple(digits / name for name in ("config.yaml", "result.json", "confusion.png", "last.safetensors")),
            lambda: missed(digits / "result.json"),
        ),
    ]


def run(step: Step) -> tuple[bool, float]:
    """Run a step as its reader would; whether it succeeded and wrote what it should, and its seconds."""
    program = {"otoyol": (sys.executable, "-m", "otoyol"), "python": (sys.executable,)}[step.command[0]]
    for path in step.writes:
        path.unlink(missing_ok=True)
    print(f"\n── {step.title}\n$ {shlex.join(step.command)}\n", flush=True)
    began = time.perf_counter()
    status = subprocess.run([*program, *step.command[1:]], check=False).returncode
    fine = status == 0 and all(path.is_file() and path.stat().st_size for path in step.writes)
    if fine and (said := step.check()):
        print(said, file=sys.stderr)
        fine = False
    return fine, time.perf_counter() - began


def missed(result: Path) -> str:
    """What to say where a training has not reached :data:`ACCURACY`."""
    reached = json.loads(result.read_text(encoding="utf-8"))["metrics"]["accuracy"]
    return "" if reached >= ACCURACY else f"accuracy: got {reached:.4f}; allowed: {ACCURACY} or more ({result})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="folder for pictures and the report")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    done = [(step, *run(step)) for step in steps(out)]
    failed = [step.title for step, fine, _ in done if not fine]
    print("\n── Summary\n")
    for step, fine, seconds in done:
        print(f"{'ok    ' if fine else 'FAILED'}  {seconds:5.1f} s  {step.title}")
    print("\nWritten:")
    for path in (path for step, fine, _ in done if fine for path in step.writes):
        print(f"  {path}")
    print(f"\n{len(done) - len(failed)} of {len(done)} steps; {time.perf_counter() - began:.1f} s in all")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
