"""One convolution for two that read the same tensor: does it pay? python benchmarks/merge.py [--seconds 60]

A stage's first block reads its input twice: the branch's first 1×1 and the projection. Where both have stride 1, as in
a ResNet-50's first stage, one convolution with the weights of both, split behind, computes the same. The block runs
both ways in ONNX Runtime and OpenVINO, in turns; a ratio is the merged block's median over the plain one's. In later
stages the projection has stride 2 and the 1×1 has not (v1.5), so that merged it would compute four times what is asked
of it: that is arithmetic, and not measured. The last line is one JSON object; ``pays``: a ratio below 0.98 somewhere.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from otoyol.deploy.bench import race
from otoyol.deploy.engines import load_graph

C_IN, MID, OUT, SIDE = 64, 64, 256, 56  # ResNet-50's first block
PAYS = 0.98


def block(merged: bool) -> bytes:
    """The block as ONNX, its norms folded; weights of noise, the same both ways."""
    rng = np.random.default_rng(0)
    shapes = {"w1": (MID, C_IN, 1, 1), "wp": (OUT, C_IN, 1, 1), "w2": (MID, MID, 3, 3), "w3": (OUT, MID, 1, 1)}
    weights = {
        name: (rng.standard_normal(shape) * (2 / np.prod(shape[1:])) ** 0.5).astype(np.float32)
        for name, shape in shapes.items()
    }
    if merged:
        weights["both"] = np.concatenate([weights.pop("w1"), weights.pop("wp")])
        weights["parts"] = np.array([MID, OUT])
        first = [
            helper.make_node("Conv", ["x", "both"], ["xy"]),
            helper.make_node("Split", ["xy", "parts"], ["a0", "p"], axis=1),
        ]
    else:
        first = [helper.make_node("Conv", ["x", "w1"], ["a0"]), helper.make_node("Conv", ["x", "wp"], ["p"])]
    nodes = [
        *first,
        helper.make_node("Relu", ["a0"], ["a"]),
        helper.make_node("Conv", ["a", "w2"], ["b0"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["b0"], ["b"]),
        helper.make_node("Conv", ["b", "w3"], ["c"]),
        helper.make_node("Add", ["c", "p"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["y"]),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", channels, SIDE, SIDE])
        for name, channels in (("x", C_IN), ("y", OUT))
    ]
    held = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "block", ends[:1], ends[1:], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60, help="for all cases together")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    models = {name: block(name == "merged") for name in ("plain", "merged")}
    cases = []
    for batch in (1, 8):
        image = np.random.default_rng(1).standard_normal((batch, C_IN, SIDE, SIDE), dtype=np.float32)
        for engine in ("ort", "openvino"):
            sessions = {k: load_graph(engine, model, image.shape, given.threads) for k, model in models.items()}
            plain, merged = (sessions[name].run(image)[0] for name in ("plain", "merged"))
            error = float(np.abs(plain - merged).max() / np.abs(plain).max())
            if error > 1e-5:
                raise SystemExit(f"{engine}: the merged block differs by {error:.1e}")
            found = race({name: session.run for name, session in sessions.items()}, image, given.seconds / 4)
            ms = {name: round(1e3 * timing.seconds, 4) for name, timing in found.items()}
            cases.append({"engine": engine, "batch": batch, "ms": ms, "ratio": round(ms["merged"] / ms["plain"], 4)})
            print(cases[-1], flush=True)
    block_macs = SIDE**2 * (C_IN * MID + C_IN * OUT + 9 * MID**2 + MID * OUT)
    pays = any(case["ratio"] < PAYS for case in cases)
    print(json.dumps({"block_macs": block_macs, "threads": given.threads, "cases": cases, "pays": pays}))


if __name__ == "__main__":
    main()
