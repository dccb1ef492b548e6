"""int8: what the quantisers put out, and what is kept."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

from otoyol.cli.main import run as command
from otoyol.data import Images, load
from otoyol.deploy import Artifact, candidates, choose
from otoyol.deploy import best as keeping
from otoyol.deploy import quantise as quantising
from otoyol.deploy.ort import OrtSession
from otoyol.deploy.quantise import accuracy, batches, quantise
from otoyol.errors import SpecError
from otoyol.measure.table import Timing

DIGITS = tuple(f"digit {i}" for i in range(10))  # the artifact's


@pytest.fixture(scope="module")
def digits(classifier) -> tuple[Images, Images]:
    """Images for calibration, and images of which float32 is right on three in four; the others are called 0."""
    artifact = Artifact(classifier.exported.path)
    train = load("digits", artifact.metadata.design.input, "train").take(range(24))
    test = load("digits", artifact.metadata.design.input, "test").take(range(40))
    run = OrtSession(artifact.path, 1).run
    said = [int(run(x)[0].argmax()) for x, _ in batches(test, artifact.metadata, 1)]
    assert 0 not in said
    labels = [0 if i % 4 == 0 else label for i, label in enumerate(said)]
    return named(train, DIGITS), Images(test.names, labels, DIGITS, test.image, test._open)


def named(images: Images, classes: Sequence[str]) -> Images:
    return Images(images.names, images.labels, classes, images.image, images._open)


@pytest.mark.parametrize("name", list(candidates.CANDIDATES))
def test_quantisers_stay_near_float32(name: str, classifier, digits) -> None:
    artifact = Artifact(classifier.exported.path)
    images = [x for x, _ in batches(digits[0], artifact.metadata, 1)]
    model = candidates.CANDIDATES[name](artifact.path, images)
    onnx.checker.check_model(model)
    kinds = Counter(node.op_type for node in model.graph.node)
    assert kinds["QuantizeLinear"] > 20 and kinds["DequantizeLinear"] > 40
    ours, plain = OrtSession(model.SerializeToString(), 1), OrtSession(artifact.path, 1)
    near, exact = (np.stack([session.run(x)[0] for x in images]) for session in (ours, plain))
    assert 1e-6 < np.linalg.norm(near - exact) / np.linalg.norm(exact) < 0.3
    if name == "u8s8":  # seven bits: pairs of products fit into sixteen
        weights = [numpy_helper.to_array(t) for t in model.graph.initializer if t.data_type == onnx.TensorProto.INT8]
        assert weights and max(int(np.abs(w.astype(int)).max()) for w in weights if w.ndim == 4) <= 64


def broken(path: Path, images: object) -> onnx.ModelProto:
    """Always the first class."""
    model = onnx.load(str(path))
    for tensor in model.graph.initializer:
        if tensor.name == "network.head.fc.bias":
            tensor.CopyFrom(numpy_helper.from_array(np.eye(10, dtype=np.float32)[0] * 1e6, tensor.name))
    return model


def same(path: Path, images: object) -> onnx.ModelProto:
    return onnx.load(str(path))


def failing(path: Path, images: object) -> onnx.ModelProto:
    raise RuntimeError("no such operator")


@pytest.mark.parametrize(
    ("ways", "seconds", "max_drop", "accepted"),
    [
        ({"same": same}, {"float32": 2.0, "same": 1.0}, 0.0, "same"),
        ({"same": same}, {"float32": 1.0, "same": 1.0}, 0.9, None),  # not faster
        ({"broken": broken}, {"float32": 2.0, "broken": 1.0}, 0.005, None),  # not accurate
        ({"broken": broken}, {"float32": 2.0, "broken": 1.0}, 0.5, "broken"),  # 0.75 - 0.25: just allowed
        ({"broken": broken, "same": same}, {"float32": 3.0, "broken": 1.0, "same": 2.0}, 0.005, "same"),
        ({"failing": failing, "same": same}, {"float32": 3.0, "same": 2.0}, 0.005, "same"),
    ],
)
def test_what_is_kept(
    ways: dict, seconds: dict, max_drop: float, accepted: str | None, classifier, digits, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(quantising, "CANDIDATES", ways)
    monkeypatch.setattr(
        quantising, "race", lambda runs, *_: {key: Timing(seconds[key.split("\n")[0]], 0.0, 9) for key in runs}
    )
    out = tmp_path / "int8.onnx"
    found = quantise(Artifact(classifier.exported.path), out, *digits, max_drop=max_drop, threads=1, batch=3,
                     engines=("ort",), candidates=tuple(ways))  # fmt: skip
    assert (found.accepted.name if found.accepted else None) == accepted
    assert found.float32.accuracy == 0.75
    assert out.exists() == (accepted is not None)
    if accepted:
        assert Artifact(out).metadata.precision == "int8"
        assert not Artifact(out).has_module
        assert choose(out, 3) == ("ort", 1, "") and found.best == keeping.place_of(out)
    else:
        assert found.best is None and list(tmp_path.iterdir()) == []
    if "failing" in ways:
        assert "no such operator" in found.tried[0].problem
    assert found.to_mapping()["images"] == 40


@pytest.mark.parametrize(("engine", "lang"), [("openvino", "en"), ("ort", "en"), ("openvino", "tr")])
def test_otoyol_run_takes_the_engine_that_was_accepted(
    engine: str, lang: str, unnamed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    plain, out = unnamed.exported.path, tmp_path / "model.int8.onnx"
    fast = f"u8u8\n{engine}"
    monkeypatch.setattr(quantising, "CANDIDATES", dict.fromkeys(candidates.CANDIDATES, same))
    monkeypatch.setattr(
        quantising, "race", lambda runs, *_: {key: Timing(1.0 if key == fast else 2.0, 0.25, 9) for key in runs}
    )
    words = ["--data", "digits", "--out", str(out), "--calibrate", "2", "--batch", "3", "--lang", lang]
    assert command(["quantise", str(plain), *words]) == 0
    said = capsys.readouterr().out
    assert "model.int8.best.json" in said
    assert ("otoyol serve" in said) == (engine != "ort")  # which runs on ONNX Runtime, whatever was accepted
    kept = keeping.load(out)
    assert kept is not None and kept.sha256 == Artifact(out).digest
    assert [(w.batch, w.engine, w.latency_ms, w.spread) for w in kept.winners] == [(3, engine, 1000.0, 0.25)]
    assert choose(out) == (engine, 0, "")
    assert "nobody has raced" in choose(plain).why
    Image.fromarray(np.zeros((32, 32), dtype=np.uint8)).save(tmp_path / "black.png")
    assert command(["run", str(out), str(tmp_path / "black.png"), "--json"]) == 0
    told, err = capsys.readouterr()
    assert (json.loads(told)["engine"], err) == (engine, "")


def test_accuracy_counts_each_image_once(classifier, digits) -> None:
    metadata = Artifact(classifier.exported.path).metadata
    first = lambda x: [np.eye(10)[np.zeros(len(x), dtype=int)]]  # noqa: E731
    assert {accuracy(first, digits[1], metadata, batch) for batch in (1, 3, 7, 64)} == {0.25}


def test_what_cannot_be_quantised_is_refused(classifier, taps, digits, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="float32 classifier"):
        quantise(Artifact(taps.exported.path), tmp_path / "x.onnx", *digits)
    other = Images(digits[1].names, digits[1].labels, ["a", "b"], digits[1].image, digits[1]._open)
    with pytest.raises(SpecError, match="classes"):
        quantise(Artifact(classifier.exported.path), tmp_path / "x.onnx", digits[0], other)
    swapped = (DIGITS[1], DIGITS[0], *DIGITS[2:])
    for train, test in ((digits[0], named(digits[1], swapped)), (named(digits[0], swapped), digits[1])):
        with pytest.raises(SpecError, match=r"data\.classes: got digit 1; allowed: 'digit 0' in its place"):
            quantise(Artifact(classifier.exported.path), tmp_path / "x.onnx", train, test)
    with pytest.raises(SpecError, match="max_drop"):
        quantise(Artifact(classifier.exported.path), tmp_path / "x.onnx", *digits, max_drop=-0.1)
    with pytest.raises(SpecError, match=r"out: .*ends in \.onnx"):  # model.int8 and model.onnx would share a record
        quantise(Artifact(classifier.exported.path), tmp_path / "model.int8", *digits)
    assert list(tmp_path.iterdir()) == []
