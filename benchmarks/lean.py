"""What training holds for backward and how long a step takes, by memory mode, against torch's and timm's checkpointing.

Held bytes are measured, not predicted: the storages alive when the forward pass is done, weights, buffers and the
output aside. A step is forward, cross-entropy and backward. Each network is measured in a process of its own, with
one set of weights for all of Otoyol's modes and for torch's checkpoint around each block; timm's models are their
own. A round times standard, lean and one other in turn, so that what else the machine does meets all of them.
Ratios are to standard, medians of rounds: of processor time (which others on the machine disturb less) and of
wall time. The bar, for pre-activation networks: lean holds at most 0.51 of the bytes in at most 1.08 of the time.

    python benchmarks/lean.py                    # about 4 minutes
    python benchmarks/lean.py --seconds 60       # a quick look
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import statistics
import time
import weakref
from collections.abc import Callable
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.checkpoint import checkpoint

import otoyol
from otoyol.ops.recompute import MODES

BYTES_BAR, TIME_BAR = 0.51, 1.08
# Name: input size, images a step, timm's name, whether the bar is for it.
NETWORKS: dict[str, tuple[int, int, str | None, bool]] = {
    "resnetv2_50": (160, 4, "resnetv2_50", True),
    "resnet50": (160, 4, "resnet50", False),
    "cifar_resnetv2_164": (32, 16, None, True),
}
Forward = Callable[[Tensor], Tensor]


class Alive(TorchDispatchMode):
    """Bytes of the storages that operators have made and nobody has dropped."""

    def __init__(self, ignored: set[int]) -> None:
        super().__init__()
        self.ignored, self.bytes = ignored, {}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        for tensor in tree_iter(out):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                key = storage._cdata
                if key not in self.ignored and key not in self.bytes:
                    self.bytes[key] = storage.nbytes()
                    weakref.finalize(storage, self.bytes.pop, key, None)
        return out


def held_bytes(model: nn.Module, forward: Forward, x: Tensor) -> int:
    """Bytes that the graph of one training forward keeps alive, the images included."""
    ignored = {tensor.untyped_storage()._cdata for tensor in [*model.parameters(), *model.buffers(), x]}
    with Alive(ignored) as alive:
        node = forward(x).grad_fn
    gc.collect()
    found = sum(alive.bytes.values()) + x.untyped_storage().nbytes()
    del node
    return found


def torch_checkpoint(model: otoyol.nn.Backbone) -> Forward:
    """The network with torch's checkpoint around each of its blocks, as anybody would write it."""

    def forward(x: Tensor) -> Tensor:
        x = model.stem(x)
        for stage in model.stages:
            for block in stage:
                x = checkpoint(block, x, use_reentrant=False)
        return model.head(x if model.final is None else model.final(x))

    return forward


def subjects(name: str, peer: str | None) -> dict[str, tuple[nn.Module, Callable[[], Forward]]]:
    """By name: the model, and what makes it ready for its turn."""
    model = otoyol.nn.build(name)

    def ours(mode: str) -> Callable[[], Forward]:
        def ready() -> Forward:
            otoyol.nn.memory_mode(model, mode)
            return model

        return ready

    def by_hand() -> Forward:
        otoyol.nn.memory_mode(model, "standard")
        return torch_checkpoint(model)

    found: dict[str, tuple[nn.Module, Callable[[], Forward]]] = {mode: (model, ours(mode)) for mode in MODES}
    found["torch checkpoint"] = (model, by_hand)
    if peer:
        plain, saving = timm.create_model(peer), timm.create_model(peer)
        saving.set_grad_checkpointing(True)
        found["timm"] = (plain, lambda: plain)
        found["timm checkpoint"] = (saving, lambda: saving)
    return found


def step(model: nn.Module, forward: Forward, x: Tensor, labels: Tensor) -> tuple[float, float]:
    """(processor, wall) seconds of one step."""
    model.zero_grad(set_to_none=True)
    wall, processor = time.perf_counter(), time.process_time()
    cross_entropy(forward(x), labels).backward()
    return time.process_time() - processor, time.perf_counter() - wall


def measure(name: str, seconds: float, threads: int) -> list[dict[str, Any]]:
    """One network, all subjects."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    size, batch, peer, _ = NETWORKS[name]
    x, labels = torch.randn(batch, 3, size, size), torch.arange(batch) % 10
    those = subjects(name, peer)
    held, times = {}, {who: [] for who in those}
    for who, (model, ready) in those.items():
        forward = ready()
        model.train()
        held[who] = held_bytes(model, forward, x)
        step(model, forward, x, labels)  # warm
    others = [who for who in those if who not in ("standard", "lean")]
    end, turn = time.perf_counter() + seconds, 0
    while time.perf_counter() < end or turn < len(others):
        trio = ["standard", "lean", others[turn % len(others)]]
        for who in trio if turn % 2 else [trio[1], trio[0], trio[2]]:
            times[who].append(step(those[who][0], those[who][1](), x, labels))
        turn += 1
    usual = [statistics.median(value[i] for value in times["standard"]) for i in (0, 1)]
    rows = []
    for who, found in times.items():
        processor, wall = (statistics.median(value[i] for value in found) for i in (0, 1))
        rows.append(
            {
                "network": name, "mode": who, "size": size, "batch": batch, "held_bytes": held[who],
                "held_ratio": round(held[who] / held["standard"], 4),
                "processor_ms": round(1000 * processor, 1), "wall_ms": round(1000 * wall, 1),
                "processor_ratio": round(processor / usual[0], 4), "wall_ratio": round(wall / usual[1], 4),
                "rounds": len(found),
            }
        )  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure held bytes and step time of every memory mode.")
    parser.add_argument("--seconds", type=float, default=225, help="measuring time for all networks together")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name in given.networks:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found = pool.apply(measure, (name, given.seconds / len(given.networks), given.threads))
        for row in found:
            print(
                f"{name:20} {row['mode']:17} held {row['held_bytes'] / 2**20:7.1f} MiB {row['held_ratio']:.3f}   "
                f"time {row['processor_ms']:8.1f} ms {row['processor_ratio']:.3f} (wall {row['wall_ratio']:.3f})",
                flush=True,
            )
        rows += found
    barred = [row for row in rows if row["mode"] == "lean" and NETWORKS[row["network"]][3]]
    worst = {key: max((row[key] for row in barred), default=None) for key in ("held_ratio", "processor_ratio")}
    met = all(row["held_ratio"] <= BYTES_BAR and row["processor_ratio"] <= TIME_BAR for row in barred)
    print(
        json.dumps(
            {
                "bar": {"held_ratio": BYTES_BAR, "processor_ratio": TIME_BAR}, "worst": worst, "bar_met": met,
                "threads": given.threads, "cases": rows,
            }
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
