"""Training speed: our loop against one written by hand, and two processes against one: python benchmarks/train.py

*loop*: steps of `otoyol train`'s engine (its order, its loader, its seeds, its log) with one of our networks, and of a
plain loop over a torch DataLoader with torchvision's network of the same cost, the same images in memory, the same
optimiser. They take turns of a few steps in one process; the ratio is of the medians of their steps' times. *copy* is
the same with our network in the plain loop: what the engine alone costs.

*ranks*: torchrun starts one process with one thread and two processes with one thread each, in turns; images a second
are read from their logs, without the first tenth. *apart* are two trainings of one process each at the same time, which
know nothing of one another: more than they reach together, two processes cannot reach on these cores. *in step* is
twice the slower of those two, for processes that share a gradient wait for one another at every step. *ranks_narrow* is
the same with ResNet-20's own 16 to 64 channels, whose time goes to memory more than to arithmetic: the cores share it,
and processes in step want it at the same moments.

The bars: the loop at least 0.97 of the hand-written one's steps a second, two processes at least 1.8 times the
throughput of one (*ranks*). The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # for every thread: torch's own setting holds for the one that sets it

import torch
import torchvision
import yaml
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import otoyol
from otoyol.train.classification import ClassificationConfig
from otoyol.train.engine import Trainer
from otoyol.train.run import prepare
from otoyol.train.signals import Stop

LOOP_BAR, RANKS_BAR = 0.97, 1.8
SIZE, BATCH, TURN = 64, 32, 4
EACH = 64  # images of a process in a step
RANKS = {"ranks": "cifar_resnet20@widths=32-64-128", "ranks_narrow": "cifar_resnet20"}
LR, MOMENTUM, DECAY = 0.01, 0.9, 1e-4


def config(spec: str, batch: int, steps: int, log_every: int) -> dict[str, Any]:
    return {
        "task": "classification", "spec": spec, "data": {"source": "digits", "cache": True},
        "recipe": {
            "steps": steps, "batch": batch,
            "optimiser": {"name": "sgd", "lr": LR, "momentum": MOMENTUM, "weight_decay": DECAY, "decay_norms": True},
            "schedule": {"name": "constant", "warmup": 0.0},
        },
        "run": {"threads": 1, "log_every": log_every, "evaluate_every": steps, "tensorboard": False,
                "checkpoints": {"every_seconds": None}},
    }  # fmt: skip


class Paced:
    """A training loop in a thread of its own, a step at a time: ``work`` is given what it must call before each step.
    All loops run so, for a thread's memory is not managed as the main one's is."""

    def __init__(self, work: Callable[[Callable[[], None]], None]) -> None:
        self._go, self._done = threading.Semaphore(0), threading.Semaphore(0)
        threading.Thread(target=work, args=(self._gate,), daemon=True).start()
        self._done.acquire()

    def _gate(self) -> None:
        self._done.release()
        self._go.acquire()

    def step(self) -> float:
        """Seconds of the next step, and of what stands between it and the one after (rows, checks, signals)."""
        began = time.perf_counter()
        self._go.release()
        self._done.acquire()
        return time.perf_counter() - began


def ours(folder: Path) -> Callable[[Callable[[], None]], None]:
    """The engine's own loop, which calls _step."""
    given = ClassificationConfig(**config(f"resnet18@input=3x{SIZE}x{SIZE}", BATCH, 10**6, 10))
    trainer, content = prepare(given, folder / "run", Stop())
    step = Trainer._step

    def work(gate: Callable[[], None]) -> None:
        def paced(self: Trainer, batches: Iterator[Any]) -> None:
            gate()
            step(self, batches)

        torch.set_num_threads(1)
        trainer._step = paced.__get__(trainer)  # type: ignore[method-assign]
        trainer.train(content)

    return work


def by_hand(model: nn.Module, images: Tensor, labels: Tensor) -> Callable[[Callable[[], None]], None]:
    """The loop that anybody would write."""

    def work(gate: Callable[[], None]) -> None:
        torch.set_num_threads(1)
        loader = DataLoader(TensorDataset(images, labels), batch_size=BATCH, shuffle=True, drop_last=True)
        optimiser = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM, weight_decay=DECAY)
        mean, std = (torch.tensor(of).view(3, 1, 1) for of in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        model.train()
        while True:
            batches = iter(loader)
            for _ in range(len(loader)):
                gate()
                x, y = next(batches)
                optimiser.zero_grad(set_to_none=True)
                loss = nn.functional.cross_entropy(model((x.float() / 255 - mean) / std), y)
                loss.backward()
                optimiser.step()
                if not torch.isfinite(loss.detach()):
                    raise SystemExit("the loss is not finite")

    return work


def loop(steps: int, folder: Path) -> dict[str, Any]:
    """The engine, torchvision's network by hand, and our network by hand, a few steps each in turn."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    found = otoyol.data.load("digits", otoyol.parse(f"resnet18@input=3x{SIZE}x{SIZE}").input, "train")
    images = torch.stack([found.pixels(i) for i in range(len(found))])
    images = torchvision.transforms.v2.functional.resize(images, [SIZE, SIZE]).expand(-1, 3, -1, -1).contiguous()
    labels = torch.tensor(found.labels)
    hand = otoyol.nn.build(f"resnet18@input=3x{SIZE}x{SIZE}", num_classes=10)
    those = {
        "engine": Paced(ours(folder)),
        "by hand, torchvision": Paced(by_hand(torchvision.models.resnet18(num_classes=10), images, labels)),
        "by hand, our network": Paced(by_hand(hand, images, labels)),
    }
    times: dict[str, list[float]] = {name: [] for name in those}
    for one in those.values():  # warm
        for _ in range(3):
            one.step()
    names = list(those)
    for turn in range(steps // TURN):
        for name in names[turn % 3 :] + names[: turn % 3]:
            times[name] += [those[name].step() for _ in range(TURN)]
    ms = {name: 1e3 * statistics.median(seconds) for name, seconds in times.items()}
    return {
        "network": f"resnet18 at {SIZE}x{SIZE}", "batch": BATCH, "steps": len(times["engine"]),
        "median_ms": {name: round(value, 2) for name, value in ms.items()},
        "steps_per_second_ratio": round(ms["by hand, torchvision"] / ms["engine"], 4),
        "copy_ratio": round(ms["by hand, our network"] / ms["engine"], 4),
    }  # fmt: skip


def throughput(spec: str, processes: int, steps: int, folder: Path, runs: int = 1) -> list[float]:
    """Images a second of one torchrun, or of each of some at once; the global batch grows with the processes."""
    given = config(spec, EACH * processes, steps, 5)
    path = folder / f"ranks{processes}.yaml"
    path.write_text(yaml.safe_dump(given), encoding="utf-8")
    outs = [folder / f"out{processes}-{time.monotonic_ns()}-{number}" for number in range(runs)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    said = [out.with_suffix(".txt").open("w+", encoding="utf-8") for out in outs]
    begun = [
        subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m",
             "otoyol", "train", str(path), "--out", str(out)],
            env=environment, stdout=file, stderr=file,
        ) for out, file in zip(outs, said, strict=True)
    ]  # fmt: skip
    for process, file in zip(begun, said, strict=True):
        status = process.wait()
        file.seek(0)
        if status:
            raise SystemExit(f"training with {processes} processes left with {status}:\n{file.read()[-3000:]}")
        file.close()
    return [images_a_second(out, EACH * processes) for out in outs]


def images_a_second(out: Path, batch: int) -> float:
    with (out / "metrics.csv").open(newline="", encoding="utf-8") as file:
        rows = [(int(row["step"]), float(row["seconds"])) for row in csv.DictReader(file)]
    begin = rows[len(rows) // 10]
    end = rows[-2]  # the last row's time holds the evaluation
    return (end[0] - begin[0]) * batch / (end[1] - begin[1])


def ranks(spec: str, steps: int, rounds: int, folder: Path) -> dict[str, Any]:
    found: dict[str, list[float]] = {"1": [], "2": [], "apart": [], "in step": []}
    names = ["1", "2", "apart"]
    for turn in range(rounds):
        for name in names[turn % 3 :] + names[: turn % 3]:
            processes, runs = {"1": (1, 1), "2": (2, 1), "apart": (1, 2)}[name]
            told = throughput(spec, processes, steps, folder, runs)
            found[name].append(sum(told))
            if name == "apart":
                found["in step"].append(2 * min(told))
            print(f"{name}: {found[name][-1]:.1f} images/s", file=sys.stderr)
    middle = {name: statistics.median(values) for name, values in found.items()}
    return {
        "network": spec, "images_per_process": EACH, "steps": steps, "rounds": rounds,
        "images_per_second": {name: round(value, 1) for name, value in middle.items()},
        "ratio": round(middle["2"] / middle["1"], 4), "apart_ratio": round(middle["apart"] / middle["1"], 4),
        "of_apart": round(middle["2"] / middle["apart"], 4), "of_in_step": round(middle["2"] / middle["in step"], 4),
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=120, help="of each loop")
    parser.add_argument("--rank-steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3, help="of one and two processes")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="otoyol-") as name:
        folder = Path(name)
        figures = {"loop": loop(given.steps, folder)}
        figures |= {name: ranks(spec, given.rank_steps, given.rounds, folder) for name, spec in RANKS.items()}
    bars = {"loop": LOOP_BAR, "ranks": RANKS_BAR}
    met = {
        "loop": figures["loop"]["steps_per_second_ratio"] >= LOOP_BAR,
        "ranks": figures["ranks"]["ratio"] >= RANKS_BAR,
    }
    print(json.dumps({"bars": bars, "met": met, "cores": os.cpu_count(), **figures}))
    sys.stdout.flush()
    os._exit(0)  # the loops' threads stand before a step that never comes


if __name__ == "__main__":
    main()
