"""An ONNX graph straight from the operators, without torch: the nodes that exporting our module gives.

Weights are cheap noise, scaled so that activations neither vanish (denormals are slow) nor overflow.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from otoyol.ops import INPUT, Op, lower
from otoyol.spec import Norm, Spec

OPSET = 21
IR_VERSION = 10


class Graph:
    """Nodes as they are added. ``owner`` maps every node's name to the index of its operator."""

    def __init__(self, spec: Spec, ops: tuple[Op, ...], batch: int) -> None:
        self.ops, self.batch, self.norm = ops, batch, spec.norm
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.known: set[str] = set()
        self.owner: dict[str, int] = {}
        self.noise = np.random.default_rng(0).standard_normal(1 << 16).astype(np.float32)
        self.output: dict[int, str] = {INPUT: "image"}
        shortcut = spec.shortcut
        self.scale = {"shortcut": shortcut.scale, "branch": shortcut.branch_scale}

    def constant(self, name: str, array: Any) -> str:
        if name not in self.known:  # CBAM runs one perceptron twice
            self.known.add(name)
            self.constants.append(numpy_helper.from_array(array, name))
        return name

    def weight(self, name: str, *shape: int) -> str:
        fan_in = int(np.prod(shape[1:])) or 1
        return self.constant(name, np.resize(self.noise, shape) * np.float32(fan_in**-0.5))

    def node(self, index: int, kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        name = self.ops[index].name + name
        name += "~" * (name in self.owner)
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        self.owner[name] = index
        return name

    def add(self, index: int) -> None:
        op = self.ops[index]
        inputs = [self.output[i] for i in op.inputs]
        self.output[index] = self._lowered(index, op, inputs)

    def _lowered(self, index: int, op: Op, x: list[str]) -> str:
        match op.kind:
            case "dropout" | "drop_path":
                return x[0]
            case "conv":
                return self._conv(index, op, x[0])
            case "conv1d":
                return self._conv1d(index, op, x[0])
            case "linear":
                weight = self.weight(op.name + ".weight", op.c_out, op.c_in)
                return self.node(index, "Gemm", x[0], weight, self._zeros(op, op.c_out), transB=1)
            case "norm":
                return self._group_norm(index, op, x[0]) if op.detail == "group" else self._batch_norm(index, op, x[0])
            case "act":
                return self._act(index, op.detail, x[0])
            case "relu" | "sigmoid":
                return self.node(index, op.kind.capitalize(), x[0])
            case "maxpool":
                return self.node(index, "MaxPool", x[0], **_window(op.kernel, op.stride, op.kernel // 2))
            case "avgpool":
                return self._avgpool(index, op, x[0])
            case "mean" if op.slot == "head":
                return self.node(index, "Flatten", self.node(index, "GlobalAveragePool", x[0], name=".pool"))
            case "mean" | "max" | "channel_mean" | "channel_max":
                return self._reduce(index, op, x[0])
            case "cat":
                return self.node(index, "Concat", *x, axis=1)
            case "add" | "mul":
                return self.node(index, op.kind.capitalize(), *x)
            case "scale":
                factor = np.float32(self.scale[op.slot])
                return self.node(index, "Mul", x[0], self.constant(op.name + ".factor", factor))
            case "complement":
                return self.node(index, "Sub", self.constant(op.name + ".one", np.float32(1)), x[0])
            case "subsample":
                return self._subsample(index, op, x[0])
            case "pad":
                pads = np.array([0, 0, 0, 0, 0, op.c_out - op.c_in, 0, 0], dtype=np.int64)
                return self.node(index, "Pad", x[0], self.constant(op.name + ".pads", pads))
        raise ValueError(f"{op.kind} has no ONNX form")

    def _zeros(self, op: Op, count: int) -> str:
        return self.constant(op.name + ".bias", np.zeros(count, dtype=np.float32))

    def _conv(self, index: int, op: Op, x: str) -> str:
        weight = self.weight(op.name + ".weight", op.c_out, op.c_in // op.groups, op.kernel, op.kernel)
        bias = [self._zeros(op, op.c_out)] if op.bias else []
        window = _window(op.kernel, op.stride, op.dilation * (op.kernel // 2))
        return self.node(index, "Conv", x, weight, *bias, **window, dilations=[op.dilation] * 2, group=op.groups)

    def _conv1d(self, index: int, op: Op, x: str) -> str:
        shapes = [np.array(shape, dtype=np.int64) for shape in ((self.batch, 1, op.c_in), (self.batch, op.c_in, 1, 1))]
        row = self.node(index, "Reshape", x, self.constant(op.name + ".row", shapes[0]), name=".in")
        weight = self.weight(op.name + ".weight", 1, 1, op.kernel)
        row = self.node(index, "Conv", row, weight, kernel_shape=[op.kernel], pads=[op.kernel // 2] * 2, name=".conv")
        return self.node(index, "Reshape", row, self.constant(op.name + ".column", shapes[1]))

    def _batch_norm(self, index: int, op: Op, x: str) -> str:
        ones, zeros = np.ones(op.c_in, dtype=np.float32), np.zeros(op.c_in, dtype=np.float32)
        parts = [("gain", ones), ("shift", zeros), ("mean", zeros), ("variance", ones)]
        names = [self.constant(f"{op.name}.{name}", values) for name, values in parts]
        return self.node(index, "BatchNormalization", x, *names, epsilon=self.norm.eps)

    def _group_norm(self, index: int, op: Op, x: str) -> str:
        groups = Norm.model_validate(self.norm).groups
        ones, zeros = np.ones(groups, dtype=np.float32), np.zeros(groups, dtype=np.float32)
        folded = self.constant(op.name + ".folded", np.array([0, groups, -1], dtype=np.int64))
        shape = self.constant(op.name + ".shape", np.array([self.batch, op.c_in, op.h_in, op.w_in], dtype=np.int64))
        y = self.node(index, "Reshape", x, folded, name=".fold")
        gains = self.constant(op.name + ".ones", ones), self.constant(op.name + ".zeros", zeros)
        y = self.node(index, "InstanceNormalization", y, *gains, name=".instance", epsilon=self.norm.eps)
        y = self.node(index, "Reshape", y, shape, name=".unfold")
        per_channel = [np.full((op.c_in, 1, 1), value, dtype=np.float32) for value in (1.0, 0.01)]
        y = self.node(index, "Mul", y, self.constant(op.name + ".gain", per_channel[0]), name=".scaled")
        return self.node(index, "Add", y, self.constant(op.name + ".shift", per_channel[1]))

    def _act(self, index: int, act: str, x: str) -> str:
        match act:
            case "relu":
                return self.node(index, "Relu", x)
            case "relu6":
                name = self.ops[index].name
                bounds = [self.constant(f"{name}.{v}", np.float32(v)) for v in (0, 6)]
                return self.node(index, "Clip", x, *bounds)
            case "leaky_relu":
                return self.node(index, "LeakyRelu", x, alpha=0.01)
            case "silu":
                return self.node(index, "Mul", x, self.node(index, "Sigmoid", x, name=".sigmoid"))
            case "gelu":
                return self.node(index, "Gelu", x)
        return self.node(index, "HardSwish", x)

    def _avgpool(self, index: int, op: Op, x: str) -> str:
        if op.stride > 1:
            window = _window(2, op.stride, 0)
            return self.node(index, "AveragePool", x, **window, ceil_mode=1, count_include_pad=0)
        pads = np.array([0, 0, 0, 0, 0, 0, 1, 1], dtype=np.int64)
        x = self.node(index, "Pad", x, self.constant(op.name + ".pads", pads), name=".pad")
        return self.node(index, "AveragePool", x, **_window(2, 1, 0))

    def _reduce(self, index: int, op: Op, x: str) -> str:
        axes = [1] if op.kind.startswith("channel") else [2, 3]
        kind = "ReduceMean" if op.kind.endswith("mean") else "ReduceMax"
        name = self.constant(op.name + ".axes", np.array(axes, dtype=np.int64))
        return self.node(index, kind, x, name, keepdims=1)

    def _subsample(self, index: int, op: Op, x: str) -> str:
        columns = (("starts", [0, 0]), ("ends", [op.h_in, op.w_in]), ("axes", [2, 3]), ("steps", [op.stride] * 2))
        names = [self.constant(f"{op.name}.{name}", np.array(v, dtype=np.int64)) for name, v in columns]
        return self.node(index, "Slice", x, *names)


def _window(kernel: int, stride: int, padding: int) -> dict[str, Any]:
    return {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [padding] * 4}


def onnx_model(spec: Spec, batch: int) -> tuple[bytes, dict[str, int]]:
    """The model of ``spec`` for ``batch`` images, serialised, and the operator of every node by the node's name.

    Input ``image`` (batch, C, H, W); one output, logits or the last map.
    """
    ops = tuple(op for op in lower(spec).ops if op.slot != "tap")
    graph = Graph(spec, ops, batch)
    for index in range(len(ops)):
        graph.add(index)
    last, image = ops[-1], spec.input
    shape = [batch, last.c_out] if last.slot == "head" else [batch, last.c_out, last.h_out, last.w_out]
    made = helper.make_graph(
        graph.nodes, "network",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, image.channels, image.height, image.width])],
        [helper.make_tensor_value_info(graph.output[len(ops) - 1], TensorProto.FLOAT, shape)],
        graph.constants,
    )  # fmt: skip
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    return model.SerializeToString(), graph.owner
