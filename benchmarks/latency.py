"""Latency predicted and measured on held-out designs: python benchmarks/latency.py [--engine ort --minutes 9 …]

A table is built for each batch size from one set of random designs; another set, drawn with another seed, and some
published families are then measured end to end and compared with what the table's predictor says of them: the same
designs at each batch size, none of them among those that the tables chose from. They are measured twice, in two passes
apart in time, so that the machine's own noise stands beside the errors: no predictor can be nearer to one pass than
another pass is.

Three predictions are compared, and the first two held against the bars. Before each pass a few of the table's networks
tell the machine's pace, and predictions are told at it, as `otoyol measure` tells them: ``median_error`` and so on.
``usual_pace_…`` are without that: what `otoyol search`, `match`, `compare`, `design` and the studio tell, for they read
the table and run nothing, so that a machine that is slower or quicker today than while the table was made is off by as
much. ``same_pace_…`` is where the anchor's pace is taken out of every single run. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

import otoyol
from otoyol.measure import Predictor, Scorer, Table, build_table, find_engine, pace_now, random_designs
from otoyol.measure.designs import macs_of
from otoyol.measure.turns import Turns, counted
from otoyol.measure.turns import summary as of_samples
from otoyol.spec.text import any_text

FAMILIES = ("resnet18", "resnetv2_50", "seresnet50", "resnext50_32x4d", "resnet50@shortcut=D")
SIZES = ("3x96x96", "3x160x160", "3x224x224")
POOL = 2_500
SPARE = 50  # of the held-out designs, in place of such as the tables could know
TOGETHER = 6
BARS = {"median_error": 0.03, "within_5_percent": 0.80, "within_10_percent": 0.98, "spearman": 0.99,
        "table_minutes": 10.0}  # fmt: skip
AT_MOST = {"median_error", "table_minutes"}  # of the others at least so much is wanted


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", default="ort")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batches", default="1,8")
    parser.add_argument("--designs", type=int, default=60, help="held-out random designs, each at every batch size")
    parser.add_argument("--minutes", type=float, default=9.0, help="for each table; the last networks take some more")
    parser.add_argument("--max-macs", type=float, default=1.2e9, help="largest design, for one image")
    parser.add_argument("--rounds", type=int, default=7, help="runs of each held-out design in a pass")
    parser.add_argument("--tables", type=Path, default=None, help="keep tables here, and go on from them")
    given = parser.parse_args(arguments)
    folder = given.tables or Path(tempfile.mkdtemp(prefix="otoyol-"))
    folder.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Any] = {"engine": given.engine, "threads": given.threads}
    everything: list[dict[str, Any]] = []
    for batch in map(int, given.batches.split(",")):
        rows, about = one_batch(given, batch, folder)
        everything += rows
        figures[f"batch_{batch}"] = judged({**about, **summary(rows)})
        print(f"batch {batch}: {json.dumps(figures[f'batch_{batch}'])}", flush=True)
    minutes = max(one["table_minutes"] for name, one in figures.items() if name.startswith("batch_"))
    figures["all"] = judged({"table_minutes": minutes, **summary(everything)})
    figures["bars"] = {name: f"{'<=' if name in AT_MOST else '>='} {bar}" for name, bar in BARS.items()}
    figures["covered"] = covered(everything)
    figures["worst"] = [
        {"spec": row["spec"], "batch": row["batch"], "error": round(row["error"], 4), "noise": round(row["noise"], 4)}
        for row in sorted(everything, key=lambda row: -abs(row["error"]))[:8]
    ]
    print(json.dumps(figures))
    return 0


def one_batch(given: argparse.Namespace, batch: int, folder: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Table, predictor, and the held-out designs measured twice."""
    engine = find_engine(given.engine, threads=given.threads, batch=batch)
    pool = pool_of(given)
    path = folder / f"{given.engine}-t{given.threads}-b{batch}.json"
    table = build_table(engine, pool, path=path, seconds=given.minutes * 60, progress=told)
    began = time.perf_counter()
    predictor = Predictor(table, engine.rules)
    fitted = time.perf_counter() - began
    held = held_out(given, {any_text(spec) for spec in pool})
    passes = [measured(engine, table, held, given.rounds) for _ in range(2)]
    rows = []
    for i, spec in enumerate(held):
        ms = predictor.predict(spec).ms
        at, true = ([one[i][key] for one in passes] for key in ("now", "ms"))
        steady = [one[i]["steady"] for one in passes]
        latency = predictor.at(sum(at) / 2).predict(spec)
        truth = sum(true) / 2
        rows.append(
            {
                "spec": otoyol.to_text(spec),
                "design": spec,
                "batch": batch,
                "measured_ms": truth,
                "predicted_ms": latency.ms,
                "error": latency.ms / truth - 1,
                "usual_pace": ms / truth - 1,
                "same_pace": ms / (sum(steady) / 2) - 1,
                "noise": true[1] / true[0] - 1,
                "inside": latency.low_ms <= truth <= latency.high_ms,
                "warned": bool(latency.warnings),
            }
        )
        print(f"  {rows[-1]['measured_ms']:9.2f} ms  {rows[-1]['error']:+7.1%}  noise {rows[-1]['noise']:+6.1%}  "
              f"{rows[-1]['spec']}", file=sys.stderr)  # fmt: skip
    about = {
        "table_minutes": round(table.elapsed / 60, 2),
        "table_networks": len(table.networks),
        "table_operators": len(table.operators),
        "table_noisy_share": round(table.noisy, 4),
        "anchor_drift": round(table.drift, 4),
        "fit_seconds": round(fitted, 1),
        "unseen_median_error": round(predictor.error(0.5), 4),
        "designs_per_second": round(speed(predictor)),
    }
    return rows, about


def told(progress: Any) -> None:
    if progress.networks % 30 == 0:
        print(
            f"  {progress.networks} networks, {progress.operators} operators, {progress.seconds:.0f} s", file=sys.stderr
        )


def pool_of(given: argparse.Namespace) -> list[otoyol.Spec]:
    """The designs among which every table chooses what to measure."""
    return random_designs(POOL, seed=1, max_macs=given.max_macs)


def held_out(given: argparse.Namespace, known: set[str]) -> list[otoyol.Spec]:
    """As many random designs of another seed as are asked for, and published families at two sizes; none twice, none
    among the ``known``, which are all that a table could have measured."""
    designs = random_designs(given.designs + SPARE, seed=3, max_macs=given.max_macs)
    families = [otoyol.edit(otoyol.parse(name), {"input": SIZES[i % 2]}) for i, name in enumerate(FAMILIES)]
    families = [spec for spec in families if macs_of(spec) <= given.max_macs]
    unknown = [spec for spec in designs if any_text(spec) not in known]
    return list(dict.fromkeys([*unknown[: given.designs], *families]))


def measured(engine: Any, table: Table, specs: list[otoyol.Spec], rounds: int) -> list[dict[str, float]]:
    """Each design end to end, freshly loaded, a few taking turns as they do for the table: ``ms`` as the clock says,
    ``steady`` at the table's pace, and ``now``, the pace of the machine before the pass."""
    now, found = pace_now(engine, table), []
    turns = Turns(engine.load(otoyol.parse(table.anchor_spec)), rounds, random.Random(0))
    for start in range(0, len(specs), TOGETHER):
        loaded = [engine.load(spec) for spec in specs[start : start + TOGETHER]]
        for running in loaded:
            running.whole()
        for samples in turns.run(loaded, lambda running: running.whole()):
            seconds = statistics.median(samples[i].seconds for i in counted(samples))
            steady = of_samples(samples, table.pace).seconds
            found.append({"ms": seconds * 1e3, "steady": steady * 1e3, "now": now})
    return found


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    noise = np.abs([row["noise"] for row in rows])
    usual = {f"usual_pace_{name}": value for name, value in figures_of(rows, "usual_pace").items()}
    return {
        "designs": len({row["spec"] for row in rows}),
        "measurements": len(rows),
        **figures_of(rows, "error"),
        **usual,
        "same_pace_median_error": round(float(np.median(np.abs([row["same_pace"] for row in rows]))), 4),
        "median_noise": round(float(np.median(noise)), 4),
        "noise_within_5_percent": round(float((noise <= 0.05).mean()), 4),
        "inside_interval": round(sum(row["inside"] for row in rows) / len(rows), 4),
        "warned": sum(row["warned"] for row in rows),
    }


def figures_of(rows: list[dict[str, Any]], kind: str) -> dict[str, float]:
    """Of the predictions whose relative errors are ``row[kind]``."""
    error = np.array([row[kind] for row in rows])
    true = np.array([row["measured_ms"] for row in rows])
    return {
        "median_error": round(float(np.median(np.abs(error))), 4),
        "within_5_percent": round(float((np.abs(error) <= 0.05).mean()), 4),
        "within_10_percent": round(float((np.abs(error) <= 0.10).mean()), 4),
        "spearman": round(float(np.corrcoef(ranks(true), ranks(true * (1 + error)))[0, 1]), 4),
    }


def judged(figures: dict[str, Any]) -> dict[str, Any]:
    """The figures with what they meet of the bars, at the pace of the moment and at the usual one."""
    usual = {name: figures.get(f"usual_pace_{name}", figures[name]) for name in BARS}
    return {**figures, "met": met(figures), "usual_pace_met": met(usual)}


def met(figures: dict[str, Any]) -> dict[str, bool]:
    return {name: bool(figures[name] <= bar if name in AT_MOST else figures[name] >= bar) for name, bar in BARS.items()}


def ranks(values: Any) -> Any:
    return np.argsort(np.argsort(values))


def covered(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How many held-out designs there are of each sort."""
    specs = list(dict.fromkeys(row["design"] for row in rows))
    return {
        "blocks": dict(Counter(str(otoyol.spec.block_text(spec.block)) for spec in specs)),
        "attentions": dict(Counter(spec.attention.kind for spec in specs)),
        "shortcuts": dict(Counter(spec.shortcut.kind for spec in specs)),
        "inputs": dict(Counter(spec.input.text for spec in specs)),
        "grouped": sum(any(plan.groups > 1 for plan in spec.plan) for spec in specs),
        "preactivated": sum(bool(spec.block.preact) for spec in specs),
    }


def speed(predictor: Predictor, count: int = 16_384, chunks: int = 40) -> float:
    """Designs a second of one structure, depths 1 to 8, widths to 512 by 8."""
    scorer, structure = Scorer(predictor), otoyol.parse("resnet18@input=3x160x160")
    rng = np.random.default_rng(0)
    drawn = [(rng.integers(1, 9, (count, 4)), 8 * rng.integers(2, 65, (count, 4))) for _ in range(chunks)]
    began = time.perf_counter()
    for depths, widths in drawn:
        scorer(structure, depths, widths)
    return count * chunks / (time.perf_counter() - began)


if __name__ == "__main__":
    sys.exit(main())
