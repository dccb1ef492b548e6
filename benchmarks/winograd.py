"""A third fewer products in the 3 × 3 convolutions of ResNetV2-50: does it pay? python benchmarks/winograd.py

Folded, the network computes as fast as the best matrix multiplication (``benchmarks/deploy.py``): only fewer products
could make it faster. Neither ONNX Runtime nor OpenVINO has Winograd's minimal filtering for the CPU, so this writes it
in operators that they run in their own layouts, along the rows: a stage's tensors are two images, of their even and of
their odd rows, until a stride takes half of the rows away. Two rows of outputs y take four rows d of the input and, in
place of six, four products with the rows g of a filter, each a 1 × 3 convolution (F(2, 3) of Lavin & Gray 2015,
arXiv:1509.09308, section 4.1, at the points 0, ½, -½ and ∞, where they take ±1)::

    m0 = (d2 - ¼ d0) · -4 g0              y0 = m0 + (m1 + m2)
    m1 = (d2 + ½ d1) · (2 g0 + g1 + ½ g2)  y1 = m3 + m1 - ½ (m1 + m2)
    m2 = (d2 - ½ d1) · (2 g0 - g1 + ½ g2)
    m3 = (d3 - ¼ d1) · g2

Both graphs run in turns in both engines; a ratio is the rewritten graph's median over the plain one's. The last line is
one JSON object; ``pays``: a ratio below 0.98 somewhere.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from deploy import same_start
from onnx import helper, numpy_helper

import otoyol
from otoyol.deploy.bench import race
from otoyol.deploy.engines import load_graph
from otoyol.deploy.export import export_onnx

NETWORK = "resnetv2_50"
INPUT = ((-1 / 4, 0, 1, 0), (0, 1 / 2, 1, 0), (0, -1 / 2, 1, 0), (0, -1 / 4, 0, 1))  # m0 … m3 of d0 … d3
FILTER = ((-4, 0, 0), (2, 1, 1 / 2), (2, -1, 1 / 2), (0, 0, 1))  # and of g0 … g2
PAYS = 0.98
Rows = tuple[str, str]  # the names of the even and of the odd rows


class Rewritten:
    """An artifact's graph of convolutions, ReLUs and sums, in rows where a 3 × 3 convolution keeps the size."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = onnx.shape_inference.infer_shapes(model)
        graph = self.model.graph
        self.weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self.sizes = {
            value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim][1:]
            for value in (*graph.value_info, *graph.input)
        }
        self.rows: dict[str, Rows] = {}  # beside a whole tensor, or in its place
        self.whole = {graph.input[0].name}
        self.nodes: list[onnx.NodeProto] = []
        self.convolutions = 0
        for node in list(graph.node):
            self.rewrite(node)
        del graph.node[:], graph.value_info[:], graph.initializer[:]
        graph.node.extend(self.nodes)
        used = {name for node in self.nodes for name in node.input}
        graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in self.weights.items() if k in used)

    def rewrite(self, node: onnx.NodeProto) -> None:
        image, output = node.input[0], node.output[0]
        if node.op_type == "Conv" and self.same_size(node):
            self.rows[output] = self.minimal(image, *node.input[1:])
            self.convolutions += 1
        elif all(name in self.whole or name in self.weights for name in node.input):
            self.nodes.append(node)
            self.whole.add(output)
        elif node.op_type in ("Relu", "Add"):
            even, odd = zip(*map(self.in_rows, node.input), strict=True)
            self.rows[output] = (self.op(node.op_type, even), self.op(node.op_type, odd))
        elif node.op_type == "Conv" and self.attribute(node, "strides")[0] == 2:
            self.halved(node)
            self.whole.add(output)
        elif node.op_type == "Conv" and self.weights[node.input[1]].shape[2:] == (1, 1):
            even, odd = (self.conv(half, *node.input[1:]) for half in self.rows[image])
            self.rows[output] = (even, odd)
        else:
            raise SystemExit(f"{node.op_type} reads rows: this is no graph of a residual network without taps")

    @staticmethod
    def attribute(node: onnx.NodeProto, name: str) -> Any:
        return next(helper.get_attribute_value(each) for each in node.attribute if each.name == name)

    def same_size(self, node: onnx.NodeProto) -> bool:
        """A 3 × 3 convolution without a stride, of an even number of rows."""
        three = self.weights[node.input[1]].shape[2:] == (3, 3)
        return three and self.attribute(node, "strides")[0] == 1 and self.sizes[node.input[0]][1] % 2 == 0

    def op(self, kind: str, inputs: Sequence[str], output: str = "", **attributes: object) -> str:
        output = output or f"rows.{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def conv(self, image: str, weight: str | np.ndarray, bias: str = "", output: str = "", **settings: object) -> str:
        if not isinstance(weight, str):
            self.weights[f"rows.weight.{len(self.weights)}"] = np.ascontiguousarray(weight, np.float32)
            weight = next(reversed(self.weights))
        return self.op("Conv", [image, weight, *([bias] if bias else [])], output, **settings)

    def mixed(self, image: str, channels: int, taps: Sequence[float], **settings: object) -> str:
        """Each channel's rows times ``taps``."""
        kernel = np.tile(np.array(taps).reshape(1, 1, -1, 1), (channels, 1, 1, 1))
        return self.conv(image, kernel, group=channels, **settings)

    def in_rows(self, name: str) -> Rows:
        if name not in self.rows:
            channels, step = self.sizes[name][0], {"strides": [2, 1]}
            self.rows[name] = (self.mixed(name, channels, (1,), **step), self.mixed(name, channels, (0, 1), **step))
        return self.rows[name]

    def minimal(self, image: str, weight: str, bias: str = "") -> Rows:
        """The equations above."""
        channels = self.sizes[image][0]
        if image in self.rows:  # d0 … d3: an odd row, the even one below it, its odd one, the even one below
            even, odd = self.rows[image]
            d = [
                self.mixed(odd, channels, (INPUT[0][0], INPUT[0][2]), pads=[1, 0, 0, 0]),
                *(self.op("Add", [self.mixed(even, channels, (row[1],)), odd]) for row in INPUT[1:3]),
                self.mixed(even, channels, (INPUT[3][1], INPUT[3][3]), pads=[0, 0, 1, 0]),
            ]
        else:
            d = [self.mixed(image, channels, row, pads=[1, 0, 1, 0], strides=[2, 1]) for row in INPUT]
        g = np.einsum("ir,ocrx->iocx", np.array(FILTER), self.weights[weight].astype(np.float64))[:, :, :, None]
        pads = {"pads": [0, 1, 0, 1]}
        m1 = self.conv(d[1], g[1], **pads)
        both = self.op("Add", [self.conv(d[2], g[2], **pads), m1])
        rest = self.op("Add", [self.mixed(both, g.shape[1], (-1 / 2,)), m1])
        y0 = self.op("Add", [self.conv(d[0], g[0], bias, **pads), both])
        return y0, self.op("Add", [self.conv(d[3], g[3], bias, **pads), rest])

    def halved(self, node: onnx.NodeProto) -> None:
        """A stride of 2: a row of the output reads the even and the odd rows around it, each without a stride."""
        (even, odd), (weight, *more) = self.rows[node.input[0]], node.input[1:]
        bias = "".join(more)
        kernel, strides = self.weights[weight], {"strides": [1, 2]}
        if kernel.shape[2] == 1:
            self.conv(even, weight, bias, node.output[0], **strides)
            return
        middle = self.conv(even, kernel[:, :, 1:2], bias, pads=[0, 1, 0, 1], **strides)
        self.op("Add", [middle, self.conv(odd, kernel[:, :, ::2], pads=[1, 1, 0, 1], **strides)], node.output[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=80, help="for all cases together")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = export_onnx(same_start(otoyol.nn.build(NETWORK)), Path(folder) / "plain.onnx")
        plain = onnx.load(made.path)
    rewritten = Rewritten(plain)
    graphs = {"plain": plain.SerializeToString(), "rows": rewritten.model.SerializeToString()}
    cases: list[dict[str, Any]] = []
    for batch in (1, 8):
        image = np.random.default_rng(1).standard_normal((batch, 3, 224, 224), dtype=np.float32)
        for engine in ("ort", "openvino"):
            sessions = {k: load_graph(engine, graph, image.shape, given.threads) for k, graph in graphs.items()}
            whole, rows = (sessions[name].run(image)[0] for name in graphs)
            error = float(np.abs(whole - rows).max() / np.abs(whole).max())
            if error > 1e-4:
                raise SystemExit(f"{engine}: the rewritten network differs by {error:.1e}")
            found = race({name: session.run for name, session in sessions.items()}, image, given.seconds / 4)
            ms = {name: round(1e3 * timing.seconds, 3) for name, timing in found.items()}
            cases.append(
                {"engine": engine, "batch": batch, "ms": ms, "error": error,
                 "ratio": round(ms["rows"] / ms["plain"], 4)}
            )  # fmt: skip
            print(cases[-1], flush=True)
    pays = any(case["ratio"] < PAYS for case in cases)
    print(
        json.dumps(
            {"network": NETWORK, "convolutions": rewritten.convolutions, "threads": given.threads, "cases": cases,
             "pays": pays}
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
