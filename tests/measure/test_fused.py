"""What is fused: one block of each sort by hand, ONNX Runtime's own optimised graph for whole networks."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import pytest

import otoyol
from otoyol.measure import RULES, Rules, fuse

ORT = RULES["ort"]._replace(blocked=8)  # by hand for one size of blocks; the oracle below has this processor's
STEM = "stem.kernels=3,stem.widths=64,stem.strides=1,stem.pool=none,input=3x8x8,head=10,depths=1,widths=64"


def labels(text: str, rules: Rules) -> list[str]:
    return [group.op.label for group in fuse(otoyol.lower(otoyol.parse(text)).ops, rules)]


def test_a_bottleneck_of_torch_is_operator_by_operator():
    bn, relu = "norm:batch", "act:relu"
    assert labels(f"custom@{STEM}", Rules()) == [
        "conv", bn, relu,  # stem
        "conv", bn,  # the projection, lowered before the branch
        "conv", bn, relu, "conv", bn, relu, "conv", bn, "add", relu,
        "mean", "linear:vector",
    ]  # fmt: skip


def test_a_bottleneck_of_onnx_runtime_is_five_convolutions():
    assert labels(f"custom@{STEM}", ORT) == [
        "conv+norm+relu", "conv+norm", "conv+norm+relu", "conv+norm+relu", "conv+norm+add+relu",
        "mean", "reorder_out", "linear:vector",
    ]  # fmt: skip


def test_a_preactivation_block():
    text = f"custom@{STEM},block=basic-v2,stem.activated=false"
    assert labels(text, ORT) == [
        "conv", "norm:batch+relu", "conv+norm+relu", "conv+add", "norm:batch+relu", "mean", "reorder_out",
        "linear:vector",
    ]  # fmt: skip
    assert labels(text, Rules(pointwise=True)) == [
        "conv", "norm:batch+relu", "conv", "norm:batch+relu", "conv", "add+norm+relu", "mean", "linear:vector",
    ]  # fmt: skip


def test_squeeze_and_excitation_leaves_the_blocked_layout():
    found = labels(f"custom@{STEM},block=basic,attention=se", ORT)
    assert found == [
        "conv+norm+relu", "conv+norm+relu", "conv+norm", "reorder_out", "mean", "reorder_in",
        "conv:vector+relu", "conv:vector+sigmoid", "reorder_out", "mul", "reorder_out", "add", "act:relu",
        "mean", "linear:vector",
    ]  # fmt: skip


def test_every_operator_is_in_one_group_and_shapes_are_the_operators():
    for text in ("resnet50", "cifar_resnet110_exclusive", "resnet18@attention=cbam,drop_path=0.1", "resnetv2_50"):
        ops = otoyol.lower(otoyol.parse(text)).ops
        wanted = [i for i, op in enumerate(ops) if op.kind not in ("drop_path", "dropout") and op.slot != "tap"]
        for rules in (Rules(), Rules(pointwise=True), ORT):
            groups = [group for group in fuse(ops, rules) if not group.op.kind.startswith("reorder")]
            assert sorted(i for group in groups for i in group.members) == wanted
            for group in groups:
                first, last = ops[group.members[0]], ops[group.members[-1]]
                assert (group.op.c_in, group.op.h_in, group.op.w_in) == (first.c_in, first.h_in, first.w_in)
                assert (group.op.c_out, group.op.h_out, group.op.w_out) == (last.c_out, last.h_out, last.w_out)


KINDS = {
    "conv": {"Conv", "FusedConv"}, "maxpool": {"MaxPool"}, "avgpool": {"AveragePool"}, "linear": {"Gemm"},
    "reorder_in": {"ReorderInput"}, "reorder_out": {"ReorderOutput"}, "mul": {"Mul"}, "add": {"Add"},
    "act": {"Relu", "Clip", "QuickGelu"}, "pad": {"Pad"}, "subsample": {"Slice"}, "complement": {"Sub"},
}  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "resnet18", "resnet50@depths=1-1-1-1", "resnetv2_50@depths=2-1-1-1", "seresnet50@depths=2-1-1-1",
        "resnet18@attention=eca", "resnet18@attention=cbam", "resnet18@shortcut=D", "resnet18@shortcut=A",
        "resnet18@groups=4", "resnext50_32x4d@depths=2-1-1-1", "resnet18@act=relu6", "resnet18@act=silu",
        "resnet18@widths=20-36-44-60", "resnet18@widths=61-64-67-70", "resnet18@block=inverted,widths=16-24-32-40",
        "resnet18@block=separable", "resnet18@block=basic-bn-after", "resnet18@block=basic-relu-before",
        "resnet18@block=basic-relu-preact", "cifar_resnet110_exclusive@depths=2-2-2",
    ],
)  # fmt: skip
def test_our_groups_are_the_nodes_that_onnx_runtime_is_left_with(text):
    """The oracle is the graph that ONNX Runtime writes after its own optimisation."""
    ort, onnx = pytest.importorskip("onnxruntime"), pytest.importorskip("onnx")
    from otoyol.measure.onnx_graph import onnx_model

    spec = otoyol.edit(otoyol.parse(text), {"input": "3x64x64"})
    model, _ = onnx_model(spec, 1)
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.optimized_model_filepath = str(Path(folder) / "optimized.onnx")
        options.log_severity_level, options.intra_op_num_threads = 3, 1
        ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        nodes = onnx.load(options.optimized_model_filepath).graph.node
    theirs = Counter((node.op_type, "nchwc" in node.domain) for node in nodes)
    ours = Counter()
    for group in fuse(otoyol.lower(spec).ops, RULES["ort"]):
        absorbed = group.op.kind == "norm" and group.op.blocked  # a norm in blocks is a depthwise 1×1 convolution
        ours["conv" if absorbed else group.op.kind, group.op.blocked or group.op.kind.startswith("reorder")] += 1
    if not any(blocked for _, blocked in theirs):
        pytest.skip("this processor has no blocked layout")
    for kind, names in KINDS.items():
        for blocked in (False, True):
            there = sum(count for (name, b), count in theirs.items() if name in names and b == blocked)
            here = ours[kind, blocked]
            if kind == "conv" and not blocked:
                there -= ours["conv1d", False]  # ECA's is a Conv too
            elif kind in ("add", "act"):  # one node for either layout; the reorders tell them apart
                there = sum(count for (name, _), count in theirs.items() if name in names)
                here = ours[kind, False] + ours[kind, True]
            assert here == there, (kind, blocked, theirs)
