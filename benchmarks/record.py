"""Run a benchmark and keep what it found: python benchmarks/record.py benchmarks/cost.py [its arguments]

A benchmark prints one JSON object on its last line. The record, docs/evidence/cost.json, holds it together with the
command, the date, the commit and the machine, and the documentation's evidence page shows every record. A benchmark
that fails, or whose last line is no JSON object, leaves the earlier record as it was.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from otoyol.spec.files import json_text, write_text

ROOT = Path(__file__).resolve().parent.parent
EVIDENCE = ROOT / "docs" / "evidence"
PACKAGES = ("otoyol", "numpy", "torch", "torchvision", "timm")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run a benchmark and write docs/evidence/NAME.json.")
    parser.add_argument("benchmark", type=Path, help="benchmarks/NAME.py")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="passed on to the benchmark")
    parser.add_argument("--into", type=Path, default=EVIDENCE, help="the folder of records")
    given = parser.parse_args(arguments)
    started = now()
    process = subprocess.Popen(
        [sys.executable, given.benchmark, *given.arguments], stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    assert process.stdout is not None
    last = ""
    for line in process.stdout:  # shown while it runs: a benchmark takes minutes
        print(line, end="", flush=True)
        last = line.strip() or last
    if process.wait():
        print(f"{given.benchmark} left with {process.returncode}; nothing is recorded", file=sys.stderr)
        return 1
    try:
        figures = json.loads(last)
    except ValueError:
        figures = None
    if not isinstance(figures, dict):
        print(f"{given.benchmark}: its last line is no JSON object; nothing is recorded", file=sys.stderr)
        return 1
    command = ["python", f"benchmarks/{given.benchmark.name}", *given.arguments]
    path = keep(given.benchmark.stem, command, figures, given.into, started)
    print(f"recorded in {path}", file=sys.stderr)
    return 0


def keep(
    name: str, command: Sequence[str], figures: dict[str, Any], into: Path = EVIDENCE, date: str | None = None
) -> Path:
    """Write the record ``into/NAME.json`` of ``figures`` that ``command`` found here, by default now."""
    into.mkdir(parents=True, exist_ok=True)
    path = into / f"{name}.json"
    made = {"benchmark": name, "command": " ".join(command), "date": date or now(), "commit": commit(),
            "machine": machine(), "figures": figures}  # fmt: skip
    write_text(path, json_text(made))
    return path


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def machine() -> dict[str, Any]:
    """What the figures depend on: processor, cores that this process may use, memory, system and versions."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": _processor(),
        "cores": cores,
        "memory_gib": _memory_gib(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, OSError, ValueError):
        return None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def commit() -> str | None:
    """The short commit, with + where tracked files have changes; None outside a checkout."""
    try:
        head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
        changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", "src"], cwd=ROOT, capture_output=True)
    except OSError:
        return None
    return None if head.returncode else head.stdout.strip() + "+" * bool(changed.returncode)


if __name__ == "__main__":
    sys.exit(main())
