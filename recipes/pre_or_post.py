"""Pre- or post-activation, measured: python recipes/pre_or_post.py --data CIFAR10 --out out/pre_or_post --minutes 25

CIFAR-10 as a folder ``train|test/<class>/*`` (``--unpack cifar10.tar.gz`` fills ``--data`` first); without ``--data``
the embedded digits at 3x32x32. Every run is one design with one seed: its gradient profile before training, the loss
of its first steps, the profile after them, accuracy on some test images, and the bytes it holds for backward. All
runs of a seed see the same images in the same order. Runs are done in the order of ``plan()``, each appended to
``runs.jsonl``; started again, the recipe does what is left. ``--minutes`` bounds when the last run may begin. Then it
writes ``summary.json``, pictures, and with ``--record`` the evidence that the documentation reads.

Expect no gain of v2 in accuracy at small depth: replications show none. One core of a 2 GHz processor takes about
3 minutes for 100 steps of a 110-layer network at batch 16.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tarfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

import otoyol
from otoyol.draw.curves import Panel, curves_plot, spread_over
from otoyol.errors import OtoyolError
from otoyol.probe import Run, Snapshot, Source, open_source, probe
from otoyol.spec.files import write_text

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "benchmarks"))
from record import EVIDENCE, keep  # noqa: E402

IMAGES = ROOT / "docs" / "images"

ORDERINGS = {  # He et al. 2016, Fig. 4 (a) to (e), all with shortcut B
    "v1": "cifar_resnet{}b",
    "bn_after": "cifar_resnet{}_bn_after@shortcut=B",
    "relu_before": "cifar_resnet{}_relu_before@shortcut=B",
    "relu_preact": "cifar_resnet{}_relu_preact@shortcut=B",
    "v2": "cifar_resnetv2_{}",
}
SHORTCUTS = {  # He et al. 2016, Table 1, as published: v1, zero-padded where the shape changes
    "identity": "cifar_resnet110",
    **{
        name: f"cifar_resnet110_{name}"
        for name in ("scale", "scale_both", "exclusive", "shortcut_only", "conv", "dropout")
    },
}


class Job(NamedTuple):
    """One run. ``steps`` 0 measures the gradient profile of a fresh network and nothing else."""

    depth: int
    variant: str
    spec: str
    seed: int
    steps: int
    batch: int

    @property
    def key(self) -> str:
        return f"{self.depth}/{self.variant}/{self.seed}/{self.steps}/{self.batch}"


def plan(steps: int, batch: int, seeds: int, depths: Sequence[int]) -> Iterator[Job]:
    """What is worth its minutes, the most telling first."""

    def job(depth: int, variant: str, seed: int, steps: int = steps, batch: int = batch) -> Job:
        table = SHORTCUTS if variant in SHORTCUTS else ORDERINGS
        return Job(depth, variant, table[variant].format(depth), seed, steps, batch)

    pair = ("v1", "v2")
    main = [depth for depth in depths if depth in (20, 110)]
    yield from (job(depth, variant, seed) for seed in range(seeds) for depth in main for variant in pair)
    if 110 in depths:
        others = [name for name in (*ORDERINGS, *SHORTCUTS) if name not in pair]
        yield from (job(110, variant, seed, steps=0) for seed in range(seeds) for variant in others)
    rest = [depth for depth in depths if depth not in (20, 110)]
    yield from (job(depth, variant, seed, steps=0) for depth in rest for seed in range(seeds) for variant in pair)
    yield from (
        job(depth, variant, seed) for seed in range(seeds) for depth in rest if depth < 1000 for variant in pair
    )
    if 110 in depths:
        yield from (job(110, variant, seed) for seed in range(seeds) for variant in others)
    yield from (job(depth, variant, 0) for depth in rest if depth >= 1000 for variant in pair)


def done(path: Path) -> dict[str, dict[str, Any]]:
    """The runs so far by key. A last line that a power cut left unfinished does not count."""
    found: dict[str, dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            kept = json.loads(line)
        except ValueError:
            continue
        found[kept["key"]] = kept
    return found


def append(path: Path, row: dict[str, Any]) -> None:
    """One line in one write, on its own line whatever stands before it."""
    data = path.read_bytes() if path.exists() else b""
    start = b"" if not data or data.endswith(b"\n") else b"\n"
    with path.open("ab", buffering=0) as file:
        file.write(start + json.dumps(row, allow_nan=False).encode() + b"\n")
        os.fsync(file.fileno())


def row(job: Job, run: Run, seconds: float) -> dict[str, Any]:
    """What is kept of a run."""
    cost = otoyol.cost.count(otoyol.parse(job.spec))
    trained = profile(run.snapshots[1]) if len(run.snapshots) > 1 else None
    tested = run.lesion
    return {
        "key": job.key, **job._asdict(), "data": "digits" if run.data == "digits" else "folder", "lr": run.lr,
        "train_bytes": cost.train_bytes, "train_bytes_lean": cost.train_bytes_lean,
        "losses": list(run.losses), "init": profile(run.snapshots[0]), "trained": trained,
        "stretches": [[s.length, s.factor, s.forward, s.backward, s.direct_share] for s in run.stretches],
        "accuracy": tested.intact if tested else None, "test_images": tested.images if tested else 0,
        "lesion": [lesion.accuracy for lesion in tested.lesions] if tested else [],
        "problem": [run.problem.what, run.problem.where, run.problem.step] if run.problem else None,
        "seconds": round(seconds, 1),
    }  # fmt: skip


def profile(snapshot: Snapshot) -> dict[str, list[float | None]]:
    """Figures by block, from the first to the last."""
    wanted = ("grad_in", "weight_grad", "skip_share", "var_out", "cosine")
    found: dict[str, list[float | None]] = {}
    for name in wanted:
        values = [getattr(block, name) for block in snapshot.blocks]
        found[name] = [None if value is None else float(f"{value:.5g}") for value in values]
    return found


def run_jobs(jobs: Sequence[Job], path: Path, source: Source, minutes: float, lr: float, test_images: int) -> None:
    """Do what is not done, as long as the minutes last."""
    until = time.monotonic() + 60 * minutes
    for job in jobs:
        if job.key in done(path):
            continue
        if time.monotonic() >= until:
            print("the minutes are over; start again to go on", flush=True)
            return
        began = time.monotonic()
        run = probe(
            job.spec, source, steps=job.steps, batch=job.batch, seed=job.seed, lr=lr, jacobian_steps=0,
            test_images=test_images if job.steps else 0, on_error="skip",
        )  # fmt: skip
        append(path, row(job, run, time.monotonic() - began))
        end = f"loss {run.losses[-1]:.3f}" if run.losses else "profile"
        end = f"{run.problem}" if run.problem else end
        print(f"{job.key}  {end}  {time.monotonic() - began:.0f} s", flush=True)


def designs(rows: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The runs of each depth and variant: those that trained, or, where none did, the profiles of fresh networks."""
    found: dict[str, list[dict[str, Any]]] = {}
    for kept in rows:
        found.setdefault(f"{kept['depth']} {kept['variant']}", []).append(kept)
    return {name: [r for r in own if r["steps"]] or own for name, own in sorted(found.items(), key=_order)}


def _order(item: tuple[str, list[dict[str, Any]]]) -> tuple[int, int]:
    depth, variant = item[0].split()
    return int(depth), [*ORDERINGS, *SHORTCUTS].index(variant)


def ratio(profile: dict[str, list[float | None]] | None) -> float | None:
    """Gradient norm at the first block's input over that at the last block's."""
    values = (profile or {}).get("grad_in") or [None]
    return values[0] / values[-1] if values[0] is not None and values[-1] else None


def mean_share(profile: dict[str, list[float | None]] | None) -> float | None:
    shares = [share for share in (profile or {}).get("skip_share", []) if share is not None]
    return statistics.fmean(shares) if shares else None


def late(kept: dict[str, Any]) -> float | None:
    """Mean loss of the last fifth of the steps."""
    losses = kept["losses"]
    return statistics.fmean(losses[-max(1, len(losses) // 5) :]) if losses and not kept["problem"] else None


def over(values: Sequence[float | None]) -> list[float] | None:
    """Mean, lowest, highest."""
    known = [value for value in values if value is not None]
    return [float(f"{v:.4g}") for v in (statistics.fmean(known), min(known), max(known))] if known else None


def figures(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What is recorded: every design's figures as [mean, lowest, highest] over its seeds, and v1 minus v2 by seed."""
    kept = designs(rows)
    table = {}
    for name, own in kept.items():
        trained = [r for r in own if r["steps"]]
        table[name] = {
            "spec": own[0]["spec"], "seeds": len(own), "trained": len(trained),
            "ended_early": sum(r["problem"] is not None for r in own),
            "train_bytes": own[0]["train_bytes"], "train_bytes_lean": own[0]["train_bytes_lean"],
            "gradient_ratio_fresh": over([ratio(r["init"]) for r in own]),
            "gradient_ratio_trained": over([ratio(r["trained"]) for r in own]),
            "skip_share_fresh": over([mean_share(r["init"]) for r in own]),
            "loss_first": over([r["losses"][0] if r["losses"] else None for r in own]),
            "loss_late": over([late(r) for r in own]),
            "accuracy": over([r["accuracy"] for r in own]),
        }  # fmt: skip
    pairs = {}
    for depth in dict.fromkeys(r["depth"] for r in rows):
        sides = [{r["seed"]: r for r in kept.get(f"{depth} {v}", []) if r["steps"]} for v in ("v1", "v2")]
        both = sorted(set(sides[0]) & set(sides[1]))
        if both:
            losses = [(late(sides[0][s]), late(sides[1][s])) for s in both]
            scores = [(sides[0][s]["accuracy"], sides[1][s]["accuracy"]) for s in both]
            pairs[str(depth)] = {
                "seeds": len(both),
                "loss_v1_minus_v2": over([a - b for a, b in losses if a is not None and b is not None]),
                "accuracy_v2_minus_v1": over([b - a for a, b in scores if a is not None and b is not None]),
            }
    one = rows[0]
    identities = [stretch for r in rows for stretch in r["stretches"]]
    return {
        "data": "CIFAR-10" if one["data"] == "folder" else one["data"], "steps": max(r["steps"] for r in rows),
        "batch": one["batch"], "lr": one["lr"], "test_images": max(r["test_images"] for r in rows),
        "runs": len(rows), "minutes": round(sum(r["seconds"] for r in rows) / 60, 1),
        "stretches": len(identities), "largest_residual": max((max(s[2], s[3]) for s in identities), default=0.0),
        "designs": table, "pairs": pairs,
    }  # fmt: skip


def pictures(rows: Sequence[dict[str, Any]], folder: Path) -> list[str]:
    """Gradient profiles of fresh networks and losses, as PNG and SVG."""
    kept = designs(rows)
    groups = {
        "depth": [
            [name for name in kept if name in (f"{d} v1", f"{d} v2")] for d in sorted({r["depth"] for r in rows})
        ],
        "orderings": [[name for name in kept if name in {f"110 {v}" for v in ORDERINGS}]],
        "shortcuts": [[name for name in kept if name in {f"110 {v}" for v in SHORTCUTS}]],
    }
    falls = {name: [tens(r["losses"]) for r in rows if not r["problem"]] for name, rows in kept.items()}
    written = []
    for group, panels in groups.items():
        profiles = [
            Panel(f"Gradient norm at the block's input, fresh networks\n{_depth(names)} layers", "block",
                  tuple(spread_over(_name(n), [r["init"]["grad_in"] for r in kept[n]]) for n in names), log=True)
            for names in panels if len(names) > 1
        ]  # fmt: skip
        trained = [[n for n in names if any(r["losses"] for r in kept[n])] for names in panels]
        losses = [
            Panel(f"Loss, mean of 10 steps\n{_depth(names)} layers", "steps, in tens",
                  tuple(spread_over(_name(n), falls[n]) for n in names), log=True)
            for names in trained if len(names) > 1
        ]  # fmt: skip
        for what, drawn in (("gradient", profiles), ("loss", losses)):
            if drawn:
                curves_plot(drawn, folder, f"{what}_by_{group}")
                written.append(f"{what}_by_{group}")
    return written


def tens(losses: Sequence[float]) -> list[float]:
    return [statistics.fmean(losses[i : i + 10]) for i in range(0, len(losses) - 9, 10)]


def _depth(names: Sequence[str]) -> str:
    return names[0].split()[0]


def _name(design: str) -> str:
    return design.split()[1].replace("_", " ")


def record(found: dict[str, Any], pictures: Sequence[str], folder: Path, arguments: Sequence[str]) -> None:
    """The evidence that the documentation reads, and the pictures it shows."""
    keep("pre_or_post", ["python", "recipes/pre_or_post.py", *arguments], found, EVIDENCE)
    for stem in pictures:
        write_text(IMAGES / f"pre_or_post-{stem}.svg", (folder / f"{stem}.svg").read_text(encoding="utf-8"))


def unpack(archive: Path, folder: Path) -> None:
    """Fill an empty or absent folder; a filled one stays as it is."""
    if (folder / "train").is_dir():
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="CIFAR-10 as train|test/<class>/*; without it, digits")
    parser.add_argument("--unpack", type=Path, help="a tar archive of that folder, to fill --data with first")
    parser.add_argument("--out", type=Path, default=Path("out/pre_or_post"))
    parser.add_argument("--minutes", type=float, default=25.0, help="no run begins after so many")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--depths", type=int, nargs="+", default=[20, 56, 110, 164, 1001])
    parser.add_argument("--lr", type=float, help="by default the paper's 0.1 for 128 images, in proportion")
    parser.add_argument("--test-images", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--record", action="store_true", help="write docs/evidence/pre_or_post.json and its pictures")
    given = parser.parse_args(arguments)
    if given.unpack and not given.data:
        parser.error("--unpack needs --data, the folder to fill")
    torch.set_num_threads(given.threads)
    lr = given.lr or 0.1 * given.batch / 128
    given.out.mkdir(parents=True, exist_ok=True)
    if given.unpack:
        unpack(given.unpack, given.data)
    jobs = list(plan(given.steps, given.batch, given.seeds, given.depths))
    try:
        source = open_source(str(given.data) if given.data else "digits", otoyol.parse("cifar_resnet20"), "skip")
        run_jobs(jobs, given.out / "runs.jsonl", source, given.minutes, lr, given.test_images)
    except OtoyolError as error:
        print(f"pre_or_post: {error}", file=sys.stderr)
        return 2
    rows = [kept for key, kept in done(given.out / "runs.jsonl").items() if key in {job.key for job in jobs}]
    if rows:
        found, drawn = figures(rows), pictures(rows, given.out)
        write_text(given.out / "summary.json", json.dumps(found, indent=2) + "\n")
        if given.record:
            record(found, drawn, given.out, arguments if arguments is not None else sys.argv[1:])
        print(f"{len(rows)} of {len(jobs)} runs; {given.out / 'summary.json'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
