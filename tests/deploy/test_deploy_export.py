"""Exported graphs against the module they come from, in ONNX Runtime called directly; what files say."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

import otoyol
from otoyol.deploy import Artifact, Metadata, export_onnx
from otoyol.deploy import export as exporting
from otoyol.deploy.metadata import MEAN, STD
from otoyol.deploy.verify import agreement, difference
from otoyol.errors import OtoyolError, SpecError


def through_ort(path: Path, image: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": image})


def relative(ours: np.ndarray, theirs: torch.Tensor) -> float:
    assert ours.shape == tuple(theirs.shape)
    return float(np.abs(ours - theirs.numpy()).max() / theirs.abs().max())


@pytest.mark.parametrize("batch", [1, 4])
def test_logits_are_the_modules(classifier, batch: int) -> None:
    x = np.random.default_rng(7).standard_normal((batch, 1, 32, 32), dtype=np.float32)
    with torch.no_grad():
        assert relative(through_ort(classifier.exported.path, x)[0], classifier.model(torch.from_numpy(x))) < 1e-4


@pytest.mark.parametrize("size", [(48, 40), (67, 51)])
def test_uint8_images_are_normalised_in_the_graph(uint8, size: tuple[int, int]) -> None:
    x = np.random.default_rng(7).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    by_hand = (torch.from_numpy(x).permute(0, 3, 1, 2) / 255.0 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[
        :, None, None
    ]
    with torch.no_grad():
        assert relative(through_ort(uint8.exported.path, x)[0], uint8.model(by_hand)) < 1e-4


@pytest.mark.parametrize("shape", [(1, 3, 48, 48), (2, 3, 65, 80)])
def test_taps_are_the_modules(taps, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(7).standard_normal(shape, dtype=np.float32)
    found = through_ort(taps.exported.path, x)
    with torch.no_grad():
        expected = taps.model.forward_taps(torch.from_numpy(x), ["C2", "C4"])
    assert [relative(ours, expected[name]) < 1e-4 for ours, name in zip(found, ("C2", "C4"), strict=True)] == [True] * 2


def test_graphs_are_clean(classifier, uint8) -> None:
    graph = onnx.load(classifier.exported.path).graph
    # The stem's, 2 in each of 8 blocks, 4 projections (the stem is 64 wide); nothing stands between them any more.
    assert Counter(node.op_type for node in graph.node) == {
        "Conv": 21, "Relu": 17, "Add": 8, "MaxPool": 1, "ReduceMean": 1, "Gemm": 1
    }  # fmt: skip
    assert [d.dim_param or d.dim_value for d in graph.input[0].type.tensor_type.shape.dim] == ["batch", 1, 32, 32]
    kinds = Counter(node.op_type for node in onnx.load(uint8.exported.path).graph.node)
    assert (kinds["Cast"], kinds["Transpose"], kinds["Shape"], kinds["Identity"]) == (1, 1, 0, 0)
    assert kinds["BatchNormalization"] == len(uint8.exported.norms) > 0


def test_files_tell_nothing_of_this_machine(classifier) -> None:
    data = classifier.exported.path.read_bytes()
    assert str(Path(otoyol.__file__).parent).encode() not in data
    assert b".py" not in data


def test_a_file_says_what_it_is(classifier, uint8, taps) -> None:
    said = [Artifact(made.exported.path).metadata for made in (classifier, uint8, taps)]
    assert said == [made.exported.metadata for made in (classifier, uint8, taps)]
    assert [(m.task, m.layout, m.outputs, m.dynamic_size) for m in said] == [
        ("classification", "nchw", ("logits",), False),
        ("classification", "nhwc", ("logits",), True),
        ("features", "nchw", ("c2", "c4"), True),
    ]
    assert said[0].classes[3] == "digit 3"
    assert said[1].design == uint8.model.spec
    session = onnxruntime.InferenceSession(str(taps.exported.path), providers=["CPUExecutionProvider"])
    assert Metadata.from_props(session.get_modelmeta().custom_metadata_map) == said[2]


def test_a_file_becomes_a_module_again(classifier, uint8, taps) -> None:
    for made in (classifier, uint8, taps):
        artifact = Artifact(made.exported.path)
        found = agreement(lambda x, path=made.exported.path: through_ort(path, x), artifact.module(), artifact.metadata)
        assert found.error < 1e-5
        assert len(found.shapes) == (6 if artifact.metadata.dynamic_size else 3)


def test_a_graph_that_disagrees_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = otoyol.nn.build("resnet18@widths=8-8-8-8,depths=1-1-1-1,head=3,input=3x32x32")

    def wrong(network: nn.Module, *_: object) -> nn.Module:
        folded = exporting_fold(network)
        with torch.no_grad():
            folded.head.fc.bias[0] += 0.1
        return folded

    exporting_fold = exporting.fold
    monkeypatch.setattr(exporting, "fold", wrong)
    with pytest.raises(OtoyolError, match="logits differs"):
        export_onnx(model, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_difference_is_relative_and_hard_on_shapes_and_nan() -> None:
    one = np.array([1.0, -4.0])
    assert difference(np.array([1.0, -3.5]), one) == 0.125
    assert difference(one[:1], one) == difference(np.array([1.0, np.nan]), one) == float("inf")
    assert difference(one, np.array([1.0, np.nan])) == difference(one[:0], one[:0]) == float("inf")


@pytest.mark.parametrize(
    ("choices", "field"),
    [
        ({"taps": ("C9",)}, "taps"),
        ({"classes": ("one",)}, "classes"),
        ({"mean": (0.5, 0.5)}, r"artifact\.mean"),
        ({"std": (0.5, 0.0, 0.5)}, r"artifact\.std"),
    ],
)
def test_what_cannot_be_exported_is_refused(tmp_path: Path, choices: dict, field: str) -> None:
    model = otoyol.nn.build("resnet18@widths=8-8-8-8,depths=1-1-1-1,head=3,input=3x32x32")
    with pytest.raises(SpecError, match=field):
        export_onnx(model, tmp_path / "model.onnx", **choices)
    assert list(tmp_path.iterdir()) == []


def test_files_of_strangers_are_refused(tmp_path: Path, classifier) -> None:
    good = onnx.load(classifier.exported.path)
    cases: dict[str, object] = {}
    for name, value in (("otoyol.height", "-4"), ("otoyol.task", "spying"), ("otoyol.mean", "[1e999]"),
                        ("otoyol.classes", "[" * 10**5), ("otoyol.format", "2"), ("otoyol.surprise", "1")):  # fmt: skip
        model = onnx.ModelProto()
        model.CopyFrom(good)
        kept = {prop.key: prop.value for prop in model.metadata_props} | {name: value}
        del model.metadata_props[:]
        for key, text in kept.items():
            model.metadata_props.add(key=key, value=text)
        cases[name] = model.SerializeToString()
    cases["half"] = classifier.exported.path.read_bytes()[:5000]
    cases["empty"] = b""
    for name, data in cases.items():
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(data)
        with pytest.raises(SpecError, match="artifact"):
            Artifact(path)


def test_metadata_comes_back_through_text() -> None:
    given = Metadata(task="detection", spec="resnet50", classes=("background", "kırmızı"), height=4, width=5,
                     outputs=("boxes", "labels", "scores"), opset=20, detector='{"kind": "fcos"}')  # fmt: skip
    props = given.to_props()
    assert json.loads(props["otoyol.classes"]) == ["background", "kırmızı"]
    assert Metadata.from_props(props) == given
    assert given.one_image and given.image_shape(1) == (1, 3, 4, 5)
