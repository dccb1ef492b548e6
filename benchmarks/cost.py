"""How fast is exact cost? One design against torch's FlopCounterMode, and designs a second in batch.

    python benchmarks/cost.py [--rounds 15] [--designs 1000000]

One design: numbers to spec to costs, against torchvision's ResNet-50 built on the meta device and counted by
FlopCounterMode; building is in both, rounds alternate, the figure is the ratio of medians. Every spec is made afresh
from depths and widths not seen before, so that nothing but the structure is known. ``cold`` is the first design of a
fresh process, imports aside. Times are of the processor, so that other work on the machine does not favour the side
whose passes are short; ``wall`` gives the ratio by the clock on the wall. Batch: one core, params, MACs, activations,
training and peak bytes of random designs. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

import otoyol
from otoyol.cost import count, count_batch
from otoyol.spec.families import imagenet

WANTED = ("params", "macs", "activations", "train_bytes", "peak_inference_bytes")
COLD = """
import time
from otoyol.cost import count
from otoyol.spec.families import imagenet
start = time.process_time()
count(imagenet("resnet50", (3, 4, 6, 3)))
print(time.process_time() - start)
"""


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Time of the processor, and by the clock on the wall."""
    start, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - start, time.perf_counter() - wall


def median(times: list[tuple[float, float]], which: int = 0) -> float:
    return statistics.median(pair[which] for pair in times)


def designs() -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Depths and widths, none twice."""
    for i in itertools.count(1):
        yield (3, 4, 6 + i % 4000, 3), tuple(w + 8 * (i // 4000) for w in (64, 128, 256, 512))


def one_design(rounds: int, singles: int) -> dict[str, float]:
    import torch
    import torchvision
    from torch.utils.flop_counter import FlopCounterMode

    torch.set_num_threads(1)

    def flop_counter_mode() -> int:
        with torch.device("meta"):
            model, x = torchvision.models.resnet50(), torch.empty(1, 3, 224, 224)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(x)
        return counter.get_total_flops()

    assert flop_counter_mode() == 2 * count(otoyol.family("resnet50")).macs
    numbers = designs()
    made = imagenet("resnet50", next(numbers)[0])
    theirs, ours, counted = [], [], []
    for _ in range(rounds):
        theirs.append(seconds(flop_counter_mode))
        for _ in range(singles):
            depths, widths = next(numbers)
            ours.append(seconds(lambda d=depths, w=widths: count(imagenet("resnet50", d, widths=w))))
            counted.append(seconds(lambda: count(made)))
    cold = statistics.median(
        float(subprocess.run([sys.executable, "-c", COLD], capture_output=True, text=True, check=True).stdout)
        for _ in range(7)
    )
    return {
        "flop_counter_mode_ms": median(theirs) * 1e3,
        "spec_and_count_us": median(ours) * 1e6,
        "spec_and_count_p90_us": statistics.quantiles((pair[0] for pair in ours), n=10)[-1] * 1e6,
        "count_us": median(counted) * 1e6,
        "cold_spec_and_count_ms": cold * 1e3,
        "ratio": median(theirs) / median(ours),
        "ratio_wall": median(theirs, 1) / median(ours, 1),
        "ratio_without_spec": median(theirs) / median(counted),
        "ratio_cold": median(theirs) / cold,
    }


def batch(n: int, rounds: int = 5) -> dict[str, float]:
    """Designs a second on one core: the median of the rounds."""
    rng = np.random.default_rng(0)
    depths, widths = rng.integers(1, 17, (n, 4)), 8 * rng.integers(1, 129, (n, 4))
    spaces = {
        "depths_widths": ("resnet50", {"depths": depths, "widths": widths}),
        "preactivation": ("resnetv2_50", {"depths": depths, "widths": widths}),
        "squeeze_excitation": ("seresnet50", {"depths": depths, "widths": widths}),
        "sizes": ("resnet50", {"depths": depths, "widths": widths, "heights": rng.integers(32, 512, n)}),
        "groups_expansions": (
            "resnext50_32x4d",
            {"depths": depths, "widths": widths, "group_widths": 2 ** rng.integers(0, 4, (n, 4)),
             "expansions": rng.integers(1, 5, (n, 4))},
        ),
    }  # fmt: skip
    figures = {}
    for name, (family, arrays) in spaces.items():
        spec = otoyol.family(family)
        assert count_batch(spec, **{key: array[:1000] for key, array in arrays.items()}, only=WANTED).valid.all()
        times = [seconds(lambda s=spec, a=arrays: count_batch(s, **a, only=WANTED)) for _ in range(rounds)]
        figures[f"designs_per_second_{name}"] = n / median(times)
        figures[f"designs_per_second_{name}_wall"] = n / median(times, 1)
    return figures


def cpu() -> str:
    info = Path("/proc/cpuinfo")
    names = (
        [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        if info.exists()
        else []
    )
    return names[0] if names else platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="passes of FlopCounterMode")
    parser.add_argument("--singles", type=int, default=200, help="designs between two passes")
    parser.add_argument("--designs", type=int, default=1_000_000, help="designs in a batch")
    asked = parser.parse_args()
    import torch
    import torchvision

    figures: dict[str, object] = {**one_design(asked.rounds, asked.singles), **batch(asked.designs)}
    for name, value in figures.items():
        print(f"{name:>36} {value:14,.1f}")
    figures |= {
        "benchmark": "cost", "cpu": cpu(), "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(), "otoyol": otoyol.__version__, "numpy": np.__version__,
        "torch": torch.__version__, "torchvision": torchvision.__version__,
    }  # fmt: skip
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
