"""Our ResNet-50 and ResNetV2-50 as artifacts against torchvision's and timm's, in every way that people run those.

Peers run in torch eager, torch.compile, and their plain exports (torch.onnx, dynamo) in ONNX Runtime and OpenVINO; all
sessions have the same settings and threads. `otoyol bench` first chooses our engine, huge pages among its choices, on
runs of its own. Then all run in turns, in a new order each round and in bursts of which the first run is not counted;
then our artifact and the best peer alone, which decides. Two sessions of one file differ by up to 3 percent, by where
their memory happens to lie: each is therefore loaded three times for this. A ratio is the median of our three medians
over that of theirs; below 1 ours is faster.

The bars: at batch 1 and 8 our artifact takes at most 1.00 of the best peer of the same network (for ResNet-50 of both
peers), and ResNetV2-50 at most 0.95 of its plain export in the same engine. ``of_limit`` is the distance to the limit:
the artifact's float32 operations a second over those of a 2048 × 2048 matrix multiplication on the same cores, by
torch, NumPy or ONNX Runtime, whichever is fastest: their libraries do not use the same instructions everywhere.

    python benchmarks/deploy.py                    # about 6 minutes
    python benchmarks/deploy.py --seconds 40       # a look: about 4 minutes
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
import timm
import torch
import torchvision
from onnx import TensorProto, helper, numpy_helper
from threadpoolctl import threadpool_limits
from torch import nn

import otoyol
from otoyol.deploy.artifact import Artifact
from otoyol.deploy.bench import bench, race
from otoyol.deploy.engines import HUGE_PAGES, load_engine, obstacle
from otoyol.deploy.export import export_onnx
from otoyol.deploy.openvino_engine import OpenVinoSession
from otoyol.deploy.ort import OrtSession
from otoyol.deploy.torch_engines import TorchSession

LATENCY_BAR, V2_BAR = 1.00, 0.95
ENGINES = ("eager", "compile", "ort", "openvino")
OURS = ("ort", "openvino", *HUGE_PAGES)
LOADED = 3  # times, for what decides
PEERS: dict[str, dict[str, Callable[[], nn.Module]]] = {
    "resnet50": {"torchvision": torchvision.models.resnet50, "timm": lambda: timm.create_model("resnet50")},
    "resnetv2_50": {"timm": lambda: timm.create_model("resnetv2_50")},
}
Run = Callable[[np.ndarray], Any]


def same_start(model: nn.Module) -> nn.Module:
    """Weights and statistics with which activations neither vanish nor grow, whoever made the model."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)
            elif isinstance(module, nn.BatchNorm2d):
                for tensor, low in ((module.weight, 0.5), (module.running_var, 0.5), (module.bias, -0.5)):
                    tensor.copy_(torch.rand(tensor.shape, generator=generator) + low)
    return model.eval()


def plain_export(model: nn.Module, path: Path) -> None:
    """What anybody would write: batches of any size, the exporter's own optimisation."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model, (torch.zeros(2, 3, 224, 224),), dynamo=True, dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )  # fmt: skip
    assert program is not None
    program.save(str(path))


def peer_run(engine: str, model: nn.Module, path: Path, shape: tuple[int, ...], threads: int) -> Run:
    if engine == "ort":
        return OrtSession(path, threads).run
    if engine == "openvino":
        return OpenVinoSession(path, shape, threads).run
    call = model if engine == "eager" else torch.compile(model, dynamic=False)
    return TorchSession(lambda x: [call(x)], threads).run


def matmul_gflops(folder: Path, threads: int, size: int = 2048, seconds: float = 2.0) -> dict[str, float]:
    """The limit, by library: the fastest of repeated float32 matrix multiplications."""
    torch.set_num_threads(threads)
    a, b = torch.rand(size, size), torch.rand(size, size)
    left, right = a.numpy(), b.numpy()
    path = folder / "product.onnx"
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [size, size]) for name in ("x", "y")]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "b"], ["y"])], "product", values[:1], values[1:],
        [numpy_helper.from_array(right, "b")],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    session = OrtSession(path, threads)
    with threadpool_limits(threads):
        return {
            name: round(2 * size**3 / fastest(product, seconds) / 1e9, 1)
            for name, product in (
                ("torch", lambda: a @ b), ("numpy", lambda: left @ right), ("ort", lambda: session.run(left))
            )
        }  # fmt: skip


def fastest(call: Callable[[], Any], seconds: float) -> float:
    """Seconds of the fastest call."""
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - began)
    return best


def milliseconds(runs: Mapping[str, Run], image: np.ndarray, seconds: float) -> dict[str, float]:
    return {name: 1e3 * found.seconds for name, found in race(runs, image, seconds).items()}


def case(
    network: str, batch: int, ours: Artifact, peers: Mapping[str, nn.Module], folder: Path, given: argparse.Namespace
) -> dict[str, Any]:
    shape = (batch, 3, 224, 224)
    image = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    share = given.seconds / (len(PEERS) * len(given.batches))
    able = [engine for engine in OURS if not obstacle(engine, ours)]
    chosen = bench(ours, able, threads=given.threads, batches=(batch,), seconds=share / 4).best(batch)
    assert chosen is not None
    engine = HUGE_PAGES.get(chosen.engine, chosen.engine)

    def peer(name: str) -> Run:
        model, engine = name.split()
        return peer_run(engine, peers[model], folder / f"{network}-{model}.onnx", shape, given.threads)

    def my(engine: str) -> Run:
        return load_engine(engine, ours, batch, given.threads).run

    theirs = {f"{model} {engine}": peer(f"{model} {engine}") for model in peers for engine in ENGINES}
    mine = {f"otoyol {engine}": my(engine) for engine in dict.fromkeys((*ENGINES, *able))}
    times = milliseconds({**mine, **theirs}, image, share / 4)
    best = min(theirs, key=lambda name: times[name])
    del mine, theirs
    final = duel(lambda: my(chosen.engine), lambda: peer(best), image, share / 4)
    macs = otoyol.cost.count(otoyol.parse(network)).macs
    row: dict[str, Any] = {
        "network": network, "batch": batch, "chosen": chosen.engine, "best_peer": best,
        "ratio": round(final[0] / final[1], 4), "ms": {k: round(v, 3) for k, v in times.items()},
        "final_ms": [round(ms, 3) for ms in final],
        "gflops": round(2 * macs * batch / final[0] / 1e6, 1),
        "of_plain_export": {e: round(times[f"otoyol {e}"] / times[f"timm {e}"], 4) for e in ENGINES},
    }  # fmt: skip
    if network == "resnetv2_50":
        plain = f"timm {engine}"
        found = final if plain == best else duel(lambda: my(chosen.engine), lambda: peer(plain), image, share / 4)
        row["of_plain_export"][engine] = round(found[0] / found[1], 4)
    return row


def duel(ours: Callable[[], Run], theirs: Callable[[], Run], image: np.ndarray, seconds: float) -> tuple[float, float]:
    """Milliseconds of each side, the median of several sessions', loaded and run in turns."""
    runs: dict[str, Run] = {}
    for number in range(LOADED):
        runs[f"ours {number}"], runs[f"theirs {number}"] = ours(), theirs()
    found = milliseconds(runs, image, seconds)
    mine, other = (median(found[f"{side} {n}"] for n in range(LOADED)) for side in ("ours", "theirs"))
    return mine, other


def main() -> None:
    parser = argparse.ArgumentParser(description="Time our artifacts against torchvision's and timm's networks.")
    parser.add_argument("--seconds", type=float, default=180, help="measuring time for all cases together")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    cases: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        limits = matmul_gflops(folder, given.threads)
        for network, makers in PEERS.items():
            peers = {peer: same_start(make()) for peer, make in makers.items()}
            for peer, model in peers.items():
                plain_export(model, folder / f"{network}-{peer}.onnx")
            made = export_onnx(same_start(otoyol.nn.build(network)), folder / f"{network}.onnx")
            for batch in given.batches:
                torch.compiler.reset()
                row = case(network, batch, Artifact(made.path), peers, folder, given)
                row["agreement"] = made.agreement.error
                cases.append(row)
                print(f"{network:12} batch {batch}: {row['chosen']} / {row['best_peer']} {row['ratio']:.3f}, "
                      f"of its plain exports {row['of_plain_export']}", flush=True)  # fmt: skip
        limits = {name: max(limits[name], again) for name, again in matmul_gflops(folder, given.threads).items()}
    for row in cases:
        row["of_limit"] = round(row["gflops"] / max(limits.values()), 3)
    worst = max(row["ratio"] for row in cases)
    v2 = [
        row["of_plain_export"][HUGE_PAGES.get(row["chosen"], row["chosen"])]
        for row in cases
        if row["network"] == "resnetv2_50"
    ]
    print(
        json.dumps(
            {"bar": LATENCY_BAR, "worst_ratio": worst, "bar_met": worst <= LATENCY_BAR, "v2_bar": V2_BAR,
             "v2_of_plain_export": max(v2), "v2_bar_met": max(v2) <= V2_BAR, "matmul_gflops": limits,
             "threads": given.threads, "cases": cases}
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
