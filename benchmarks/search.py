"""How fast is search, how much memory does it take, and is its front right?

    python benchmarks/search.py [--designs 2000000] [--long] [--table latency.json]

Designs a second on one core over a space of four structures, depths and widths free: exact cost under two budgets,
predicted latency under two, and three objectives under a latency budget that half of the designs meet. The latency
table is given, or built here in about a minute with ONNX Runtime on designs of the same space. Times are of the
processor, so that other work on the machine does not count; ``wall`` is by the clock on the wall. Peak memory
(VmHWM) of 10^6 and 10^7 designs, with --long also of 10^8, each in a process of its own; with predicted latency of
10^6 and 10^7. Beside it the time that Optuna takes for a trial in which nothing is evaluated (two objectives, the same
space, in memory), and what pycls says of itself. On a space small enough to count every design alone, the front is
compared with dominance by its definition and with moocore's routine. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from otoyol.cost import count
from otoyol.errors import SpecError
from otoyol.search import draw, parse_budget, parse_objective, search, space_from, structures
from otoyol.spec import Spec, edit, parse

LARGE = {
    "base": "resnet50@input=3x96x96",
    "choices": {"block": ["bottleneck", "bottleneck-v2"], "attention": ["none", "se"]},
    "depths": {"low": 1, "high": 6},
    "widths": {"low": 32, "high": 256, "multiple": 8},
}
SMALL = {
    "base": "cifar_resnet20",
    "choices": {"block": ["basic", "bottleneck-v2"]},
    "depths": {"low": 1, "high": 3},
    "widths": {"low": 8, "high": 24, "multiple": 8},
}
# pycls samples by rejection, one configuration after another, and counts complexity on each (tools/sweep_setup.py).
PYCLS = {
    "designs_per_second": 200,
    "source": "as this project's requirements state it, not measured here; pycls's docs/SWEEP_INFO.md names no rate",
}
EXACT = (["macs<=700M", "params<=15M"], [("macs", True), ("params", False)])
PREDICTED = (["macs<=1.2G", "latency_ms<=60"], [("macs", True), ("latency_ms", False)])
THREE = [("macs", True), ("params", True), ("depth", True)]
BARS = {"exact": 1_000_000, "predicted": 300_000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--designs", type=int, default=2_000_000, help="designs in a timed search")
    parser.add_argument("--rounds", type=int, default=3, help="timed searches; the median counts")
    parser.add_argument("--table", type=Path, default=None, help="a latency table of this machine")
    parser.add_argument("--seconds", type=float, default=45, help="how long a table is built where none is given")
    parser.add_argument("--trials", type=int, default=200, help="of each of Optuna's samplers")
    parser.add_argument("--long", action="store_true", help="also 10^8 designs: minutes")
    parser.add_argument("--child", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        memory_of(given.child, given.table)
        return
    figures: dict[str, Any] = {"space": LARGE}
    figures["memory"] = memory([10**6, 10**7, *([10**8] if given.long else [])])
    figures["exact"] = speed(given.designs, given.rounds, *EXACT, {})
    with tempfile.TemporaryDirectory(prefix="otoyol-") as folder:
        path = given.table or built_table(Path(folder) / "table.json", given.seconds)
        scorer, figures["table"] = scorer_of(path)
        figures["predicted"] = speed(given.designs, given.rounds, *PREDICTED, {"latency_ms": scorer})
        half = [f"latency_ms<={median_ms(scorer):.4g}"]
        figures["three_objectives"] = speed(given.designs, given.rounds, half, THREE, {"latency_ms": scorer})
        figures["memory_predicted"] = memory([10**6, 10**7], path)
    figures["table_bytes"] = scorer.table_bytes
    figures["optuna"] = optuna_overhead(given.trials)
    figures["pycls"] = PYCLS
    figures["front"] = front()
    figures["bars"] = {name: figures[name]["designs_per_second"] >= bar for name, bar in BARS.items()}
    figures["times_faster"] = {
        **{f"optuna_{name}": round(figures["exact"]["designs_per_second"] / 1e3 * row["ms_per_trial"])
           for name, row in figures["optuna"]["samplers"].items()},
        "pycls": round(figures["exact"]["designs_per_second"] / PYCLS["designs_per_second"]),
    }  # fmt: skip
    for name, value in figures.items():
        print(f"{name}: {json.dumps(value)}")
    print(json.dumps(figures))


def objectives(asked: list[tuple[str, bool]]) -> list[Any]:
    return [parse_objective(name, maximize=most) for name, most in asked]


def speed(
    designs: int, rounds: int, budgets: list[str], wanted: list[tuple[str, bool]], scorers: Mapping[str, Any]
) -> dict[str, Any]:
    """Designs a second: the median of the rounds, after a short search that fills caches."""
    space, asked = space_from(LARGE), [parse_budget(words) for words in budgets]

    def once(size: int, seed: int) -> Any:
        return search(space, asked, objectives(wanted), count=size, seed=seed, scorers=scorers)

    cold = timed(lambda: once(min(designs, 100_000), 0))
    found, times = None, []
    for seed in range(1, rounds + 1):
        times.append(timed(lambda seed=seed: once(designs, seed)))  # type: ignore[misc]
        found = times[-1][2]
    assert found is not None
    return {
        "designs_per_second": round(designs / statistics.median(t[0] for t in times)),
        "designs_per_second_wall": round(designs / statistics.median(t[1] for t in times)),
        "first_100000_seconds": round(cold[0], 2), "designs": designs, "budgets": budgets,
        "objectives": [f"{'maximize' if most else 'minimize'} {name}" for name, most in wanted],
        "met": found.met, "met_share": round(found.met["all"] / max(found.valid, 1), 4), "front": len(found.designs),
    }  # fmt: skip


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    start, wall = time.process_time(), time.perf_counter()
    result = work()
    return time.process_time() - start, time.perf_counter() - wall, result


def memory_of(designs: int, table: Path | None) -> None:
    """In a process of its own: the peak after a first chunk and after all; with a table, of predicted latency."""
    budgets, wanted = PREDICTED if table else EXACT
    asked = [parse_budget(words) for words in budgets]
    scorers = {"latency_ms": scorer_of(table)[0]} if table else {}
    search(space_from(LARGE), asked, objectives(wanted), count=100_000, scorers=scorers)
    before = peak_kib()
    search(space_from(LARGE), asked, objectives(wanted), count=designs, seed=1, scorers=scorers)
    after = peak_kib()
    print(json.dumps({"peak_mib": round(after / 1024, 1), "grown_mib": round((after - before) / 1024, 1)}))


def peak_kib() -> int:
    """Of this process since it began; getrusage would count what its parent held when it was started."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")))


def memory(sizes: list[int], table: Path | None = None) -> dict[str, Any]:
    rows = {}
    for size in sizes:
        command = [sys.executable, __file__, "--child", str(size), *(["--table", str(table)] if table else [])]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows[f"{size:.0e}".replace("e+0", "e")] = json.loads(done.stdout)
    peaks = [row["peak_mib"] for row in rows.values()]
    return {**rows, "largest_over_smallest": round(max(peaks) / min(peaks), 3)}


def built_table(path: Path, seconds: float) -> Path:
    """A table of designs of the large space, built now."""
    from otoyol.measure import build_table, find_engine

    build_table(find_engine("ort"), pool(200), path=path, seconds=seconds)
    return path


def median_ms(scorer: Any, designs: int = 20_000) -> float:
    """Predicted latency that half of the large space's designs stay within."""
    space = space_from(LARGE)
    built, _ = structures(space)
    told = [scorer(built[c.structure].spec, c.depths, c.widths) for c in draw(space, designs, seed=5)]
    return float(np.nanmedian(np.concatenate(told)))


def scorer_of(path: Path) -> tuple[Any, dict[str, Any]]:
    """The scorer over a table of this machine."""
    from otoyol.measure import RULES, Predictor, Scorer, here_like, load_table, where_of
    from otoyol.measure.fingerprint import check_fingerprint

    table = load_table(path)
    check_fingerprint(table.fingerprint, here_like(table.fingerprint))
    fitted = timed(lambda: Predictor(table, RULES[table.fingerprint["engine"]]))
    about = {
        "where": where_of(table.fingerprint), "networks": len(table.networks), "seconds": round(table.elapsed),
        "noisy_share": round(table.noisy, 3), "fit_seconds": round(fitted[0], 1),
    }  # fmt: skip
    return Scorer(fitted[2]), about


def pool(designs: int) -> list[Spec]:
    """Some designs of the large space."""
    space = space_from(LARGE)
    built, _ = structures(space)
    return [
        edit(built[chunk.structure].spec, {"depths": dashed(depths), "widths": dashed(widths)})
        for chunk in draw(space, designs)
        for depths, widths in zip(chunk.depths[:50], chunk.widths[:50], strict=True)
    ]


def dashed(numbers: Any) -> str:
    return "-".join(map(str, numbers))


def optuna_overhead(trials: int) -> dict[str, Any]:
    """Milliseconds for a trial whose evaluation takes no time: parameters asked for, two values told."""
    try:
        import optuna
    except ModuleNotFoundError:
        return {"skipped": "Optuna is not installed", "samplers": {}}
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    depth, width = LARGE["depths"], LARGE["widths"]

    def empty(trial: Any) -> tuple[float, float]:
        for name, values in LARGE["choices"].items():  # type: ignore[attr-defined]
            trial.suggest_categorical(name, values)
        total = 0
        for stage in range(4):
            total += trial.suggest_int(f"depth{stage}", depth["low"], depth["high"])  # type: ignore[index]
            total += trial.suggest_int(f"width{stage}", width["low"], width["high"], step=width["multiple"])  # type: ignore[index]
        return float(total), float(-total)

    samplers = {
        "random": optuna.samplers.RandomSampler(seed=0), "tpe": optuna.samplers.TPESampler(seed=0),
    }  # fmt: skip
    rows = {}
    for name, sampler in samplers.items():
        study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
        took = timed(lambda study=study: study.optimize(empty, n_trials=trials))  # type: ignore[misc]
        rows[name] = {
            "ms_per_trial": round(took[0] / trials * 1e3, 3),
            "ms_per_trial_wall": round(took[1] / trials * 1e3, 3),
        }
    return {"version": metadata.version("optuna"), "trials": trials, "samplers": rows}


def front() -> dict[str, Any]:
    """Ours against every design counted alone: dominance by its definition, and by moocore."""
    rows = []
    for block, *numbers in itertools.product(("basic", "bottleneck-v2"), *[(1, 2, 3)] * 3, *[(8, 16, 24)] * 3):
        try:
            spec = edit(
                parse("cifar_resnet20"), {"block": block, "depths": dashed(numbers[:3]), "widths": dashed(numbers[3:])}
            )
        except SpecError:  # option A cannot narrow
            continue
        cost = count(spec)
        if cost.macs <= 12_000_000 and cost.params <= 60_000:
            rows.append((float(cost.params), -float(cost.macs), float(cost.train_bytes)))
    values = np.array(rows)
    brute = {tuple(row) for row in rows if not any(dominates(other, row) for other in rows)}
    found = search(
        space_from(SMALL), [parse_budget("macs<=12M"), parse_budget("params<=60k")],
        objectives([("params", False), ("macs", True), ("train_bytes", False)]), count=None,
    )  # fmt: skip
    ours = {(d.values["params"], -d.values["macs"], d.values["train_bytes"]) for d in found.designs}
    answer = {
        "designs": math.prod([2, *[3] * 6]), "within_budgets": len(rows), "on_the_front": len(brute),
        "equals_brute_force": ours == brute,
    }  # fmt: skip
    try:
        import moocore
    except ModuleNotFoundError:
        return {**answer, "moocore": "not installed"}
    theirs = {tuple(row) for row in values[moocore.is_nondominated(values, keep_weakly=True)].tolist()}
    return {**answer, "equals_moocore": ours == theirs}


def dominates(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return all(x <= y for x, y in zip(a, b, strict=True)) and a != b


if __name__ == "__main__":
    main()
