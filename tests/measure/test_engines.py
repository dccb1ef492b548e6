"""Real engines, briefly: what they load, run and refuse. No assertion is about how long anything takes."""

from __future__ import annotations

import pytest

import otoyol
from otoyol.errors import SpecError
from otoyol.measure import Predictor, build_table, find_engine, fingerprint, fuse, random_designs

TINY = "resnet18@input=3x16x16,widths=8-8-16-16,depths=1-1-1-1,head=4"
SORTS = (
    TINY, f"{TINY},attention=se", f"{TINY},attention=eca", f"{TINY},attention=cbam", f"{TINY},shortcut=A,stem.widths=8",
    f"{TINY},shortcut=D", f"{TINY},block=basic-v2,stem.activated=false", f"{TINY},block=inverted,act=relu6",
    f"{TINY},norm=group,norm.groups=4", f"{TINY},norm=frozen", f"{TINY},act=silu,drop_path=0.1,head.dropout=0.1",
    f"{TINY},groups=2", f"{TINY},strides=1-2-2-1,dilations=1-1-1-2,shortcut=D", f"{TINY},act=gelu",
    f"{TINY},shortcut.gate=exclusive", f"{TINY},shortcut.gate=scale", f"{TINY},act=hardswish",
)  # fmt: skip


@pytest.mark.parametrize("name", ["eager", "eager-nhwc", "ort"])
@pytest.mark.parametrize("text", SORTS)
def test_every_sort_of_network_runs_operator_by_operator(name, text):
    pytest.importorskip("torch" if name != "ort" else "onnxruntime")
    engine = find_engine(name, batch=2)
    spec = otoyol.parse(text)
    running = engine.load(spec)
    assert all(running.traced() > 0 for _ in range(2))
    groups = fuse(otoyol.lower(spec).ops, engine.rules)
    traces = running.traces()
    assert len(traces) == 2 and all(len(trace) == len(groups) for trace in traces)
    assert all(seconds >= 0 for trace in traces for seconds in trace)
    assert sum(traces[0]) > 0 and running.whole() > 0


def test_the_onnx_graph_has_the_operators_shapes():
    """onnx's own shape inference, on every operator of every sort."""
    onnx = pytest.importorskip("onnx")
    from otoyol.measure.onnx_graph import onnx_model

    for text in SORTS:
        spec = otoyol.parse(text)
        data, owner = onnx_model(spec, 2)
        model = onnx.shape_inference.infer_shapes(onnx.load_from_string(data), check_type=True, strict_mode=True)
        onnx.checker.check_model(model, full_check=True)
        shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in model.graph.value_info}
        ops = otoyol.lower(spec).ops
        seen = 0
        for name, index in owner.items():
            op = ops[index]
            if name.rstrip("~") == op.name and name in shapes and op.kind != "mean":
                vector = op.slot == "head"
                assert shapes[name] == ([2, op.c_out] if vector else [2, op.c_out, op.h_out, op.w_out]), name
                seen += 1
        assert seen > 15
        assert {ops[i].kind for i in owner.values()} >= {op.kind for op in ops} - {"dropout", "drop_path"}


def test_onnx_runtime_computes_what_torch_computes():
    """Weights of the module in the graph's initialisers: the same logits."""
    ort, onnx, torch = (pytest.importorskip(name) for name in ("onnxruntime", "onnx", "torch"))
    from otoyol.measure.onnx_graph import onnx_model

    for text in (TINY, f"{TINY},attention=se,shortcut=D", f"{TINY},attention=cbam", f"{TINY},attention=eca"):
        spec = otoyol.parse(text)
        torch.manual_seed(0)
        module = otoyol.nn.build(spec).eval()
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        names = {"gain": "weight", "shift": "bias", "mean": "running_mean", "variance": "running_var"}
        state = module.state_dict()
        model = onnx.load_from_string(onnx_model(spec, 1)[0])
        filled = 0
        for constant in model.graph.initializer:
            path, _, leaf = constant.name.rpartition(".")
            key = f"{path}.{names.get(leaf, leaf)}"
            if key in state:
                array = state[key].numpy().reshape(tuple(constant.dims))
                constant.CopyFrom(onnx.numpy_helper.from_array(array, constant.name))
                filled += 1
        assert filled >= len(list(module.parameters()))
        image = torch.rand(1, 3, 16, 16)
        session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        theirs = torch.from_numpy(session.run(None, {"image": image.numpy()})[0])
        with torch.no_grad():
            torch.testing.assert_close(theirs, module(image), rtol=1e-3, atol=1e-4)


def test_a_table_of_torch_eager_from_end_to_end(tmp_path):
    pytest.importorskip("torch")
    engine = find_engine("eager")
    designs = random_designs(9, inputs=("3x24x24",), max_macs=2e7, min_macs=1e5)
    table = build_table(engine, designs, path=tmp_path / "t.json", seconds=60, rounds=3)
    assert len(table.networks) == 9 and table.fingerprint == fingerprint(engine)
    latency = Predictor(table, engine.rules, folds=3).predict(designs[0])
    assert 0 < latency.low_ms < latency.ms < latency.high_ms or latency.low_ms <= latency.ms
    assert latency.ms == pytest.approx(1e3 * table.networks[0].whole.seconds, rel=100)  # milliseconds, not seconds


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"name": "tensorrt"}, "engine"), ({"name": "eager", "threads": 0}, "threads"),
        ({"name": "eager", "batch": -1}, "batch"), ({"name": "eager", "dtype": "int8"}, "dtype"),
        ({"name": "ort", "dtype": "float16"}, "dtype"),
    ],
)  # fmt: skip
def test_what_is_refused(arguments, field):
    with pytest.raises(SpecError) as caught:
        find_engine(**arguments)
    assert caught.value.field == field


def test_a_module_that_nobody_knows_is_not_timed():
    pytest.importorskip("torch")
    with pytest.raises(SpecError, match="attention"):
        find_engine("eager").load(otoyol.parse(f"{TINY},attention=external"))
