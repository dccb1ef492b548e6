"""How long the user waits before anything happens: python benchmarks/startup.py [--runs 15]

Whole processes, one after the other in turn, so that a busy moment meets them all: an empty interpreter, the import
of the package, and `otoyol show resnet50`. The bars: import within 150 ms, show within 500 ms, neither with torch. The
last line is one JSON object of medians and quartiles in milliseconds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

PROCESSES = {
    "python": ("-c", "pass"),
    "import_otoyol": ("-c", "import otoyol"),
    "import_spec": ("-c", "import otoyol; otoyol.parse"),
    "show_resnet50": ("-m", "otoyol", "show", "resnet50"),
    "cost_resnet50": ("-m", "otoyol", "cost", "resnet50"),
}
BARS_MS = {"import_otoyol": 150, "show_resnet50": 500}


def once(arguments: tuple[str, ...], environment: dict[str, str]) -> float:
    """Milliseconds of one process from start to end."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, env=environment, check=True)
    return (time.perf_counter() - began) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    # Bytecode is kept, as for any installed package: the first round writes it and is not counted.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    times: dict[str, list[float]] = {name: [] for name in PROCESSES}
    for turn in range(runs + 1):
        for name, arguments in PROCESSES.items():
            elapsed = once(arguments, environment)
            if turn:
                times[name].append(elapsed)
    figures: dict[str, object] = {"runs": runs}
    for name, found in times.items():
        low, median, high = statistics.quantiles(found, n=4)
        figures[f"{name}_ms"] = round(median, 1)
        figures[f"{name}_quartiles_ms"] = [round(low, 1), round(high, 1)]
        bar = BARS_MS.get(name)
        print(f"{name:15s} {median:7.1f} ms  ({low:.1f} to {high:.1f})" + (f"  bar {bar} ms" if bar else ""))
    figures["bars_ms"] = BARS_MS
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
