"""Our ResNet-50 and ResNetV2-50 against torchvision's and timm's: forward, and forward with backward.

Eager mode, contiguous and channels-last, batch 1 and 8, models in turn in one process (the order rotates), from the
same kind of random weights. Where a model's weights lie in memory moves its times by some percent, the same network or
not: so a process holds one network in one layout, and each case runs in two, the models made in either order. A ratio
is the median of our times over the median of the peer's, and its geometric mean over the two; below 1 ours is faster.
``rounds_q1_q3`` are the quartiles of the ratios round by round, and ``control`` is timm's ResNet-50 over torchvision's,
the same network twice: what differs there is noise. The bar is 1.02.

    python benchmarks/blocks.py                    # about 20 minutes
    python benchmarks/blocks.py --seconds 120      # a look: about 8 minutes
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable
from itertools import product
from typing import Any

import timm
import torch
import torchvision
from torch import nn

import otoyol

BAR = 1.02
Times = dict[str, list[float]]
NETWORKS: dict[str, dict[str, Callable[[], nn.Module]]] = {
    "resnet50": {
        "otoyol": lambda: otoyol.nn.build("resnet50"),
        "torchvision": torchvision.models.resnet50,
        "timm": lambda: timm.create_model("resnet50"),
    },
    "resnetv2_50": {
        "otoyol": lambda: otoyol.nn.build("resnetv2_50"),
        "timm": lambda: timm.create_model("resnetv2_50"),
    },
}
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def same_start(model: nn.Module) -> nn.Module:
    """Peers differ in how they start (zero gains make zero activations); time must not depend on it."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    return model


def forward(model: nn.Module, x: torch.Tensor) -> float:
    """Seconds of one inference."""
    with torch.inference_mode():
        start = time.perf_counter()
        model(x)
        return time.perf_counter() - start


def training(model: nn.Module, x: torch.Tensor) -> float:
    """Seconds of one forward and backward."""
    model.zero_grad(set_to_none=True)
    start = time.perf_counter()
    model(x).sum().backward()
    return time.perf_counter() - start


PASSES: dict[str, Callable[[nn.Module, torch.Tensor], float]] = {"forward": forward, "forward_backward": training}


def run_case(models: dict[str, nn.Module], step: Callable[..., float], x: torch.Tensor, seconds: float) -> Times:
    """Times by model, one a round, for ``seconds`` but at least three rounds after one to warm up."""
    times: Times = {name: [] for name in models}
    for name in models:
        step(models[name], x)
    end, order = time.perf_counter() + seconds, list(models)
    while time.perf_counter() < end or len(times[order[0]]) < 3:
        order = order[1:] + order[:1]
        for name in order:
            times[name].append(step(models[name], x))
    return times


def compare(runs: list[Times], mine: str, peer: str) -> dict[str, Any]:
    rounds = [a / b for times in runs for a, b in zip(times[mine], times[peer], strict=True)]
    q1, _, q3 = statistics.quantiles(rounds, n=4)
    ratio = statistics.geometric_mean(statistics.median(t[mine]) / statistics.median(t[peer]) for t in runs)
    return {"ratio": round(ratio, 4), "rounds_q1_q3": [round(q1, 4), round(q3, 4)], "rounds": len(rounds)}


def measure(network: str, layout: str, backwards: bool, given: argparse.Namespace) -> list[Times]:
    """Times by model for both passes and every batch, in a process of its own."""
    torch.set_num_threads(given.threads)
    makers = NETWORKS[network].items()
    models = {
        name: same_start(make()).to(memory_format=FORMATS[layout])
        for name, make in (reversed(makers) if backwards else makers)
    }
    found = []
    for what, batch in product(PASSES, given.batches):
        size = given.size if what == "forward" else given.train_size
        for model in models.values():
            model.train(what != "forward")
        x = torch.randn(batch, 3, size, size).contiguous(memory_format=FORMATS[layout])
        # Single images scatter most from run to run and need the most rounds: all cases get the same time.
        share = given.seconds / (2 * len(NETWORKS) * len(FORMATS) * len(PASSES) * len(given.batches))
        found.append(run_case(models, PASSES[what], x, share))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Time our ResNets against torchvision's and timm's.")
    parser.add_argument("--seconds", type=float, default=900, help="measuring time for all cases together")
    parser.add_argument("--size", type=int, default=224, help="input size of the forward cases")
    parser.add_argument("--train-size", type=int, default=128, help="input size of the cases with backward")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    results, worst = [], 0.0
    fresh = multiprocessing.get_context("spawn")
    for network, layout in product(NETWORKS, FORMATS):
        with fresh.Pool(1, maxtasksperchild=1) as pool:
            runs = [pool.apply(measure, (network, layout, backwards, given)) for backwards in (False, True)]
        for (what, batch), *pair in zip(product(PASSES, given.batches), *runs, strict=True):
            size = given.size if what == "forward" else given.train_size
            row: dict[str, Any] = {"network": network, "layout": layout, "pass": what, "batch": batch, "size": size}
            row["median_ms"] = {
                name: round(1000 * statistics.median(pair[0][name] + pair[1][name]), 2) for name in NETWORKS[network]
            }
            row["against"] = {peer: compare(pair, "otoyol", peer) for peer in NETWORKS[network] if peer != "otoyol"}
            if "torchvision" in NETWORKS[network]:
                row["control"] = compare(pair, "timm", "torchvision")
            worst = max(worst, *(found["ratio"] for found in row["against"].values()))
            ratios = ", ".join(f"{peer} {found['ratio']:.3f}" for peer, found in row["against"].items())
            print(f"{network:12} {layout:14} {what:17} batch {batch}: ours / {ratios}", flush=True)
            results.append(row)
    print(
        json.dumps(
            {"bar": BAR, "worst_ratio": worst, "bar_met": worst <= BAR, "threads": given.threads, "cases": results}
        )
    )


if __name__ == "__main__":
    main()
