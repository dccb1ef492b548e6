"""An ONNX file beside shared weights is of those weights: torchvision's boxes and torch's logits decide."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

import otoyol
from otoyol.deploy import Artifact, export_onnx
from otoyol.deploy.predict import answer, run
from otoyol.detect import Detector, build_detector
from otoyol.errors import SpecError
from otoyol.nn import build
from otoyol.share import pack
from otoyol.share.folder import About
from otoyol.share.pack import Network

TINY = "custom@block=bottleneck-v2,depths=1-2,widths=8-16,strides=1-2,stem=cifar,input=3x16x16,head=3"
NAMES, MEAN, STD = ("a", "b", "c"), (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def network(seed: int, **about) -> Network:
    torch.manual_seed(seed)
    fields = {"task": "classification", "classes": NAMES, "mean": MEAN, "std": STD, **about}
    model = build(TINY).eval()
    return Network(model, model.spec, About(**fields))


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    path = tmp_path_factory.mktemp("artifact") / "model.onnx"
    export_onnx(network(1).model, path, classes=NAMES, mean=MEAN, std=STD)
    return path


def test_the_file_of_the_same_weights_is_taken(artifact, tmp_path):
    ours = network(1)
    pack(ours, tmp_path / "out", artifact=artifact)
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "model.onnx"), providers=["CPUExecutionProvider"])
    x = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        np.testing.assert_allclose(session.run(None, {"image": x.numpy()})[0], ours.model(x), rtol=1e-4, atol=1e-5)


OTHERS = [
    ({}, 2, "a file with other outputs"),
    ({"classes": ("b", "a", "c")}, 1, r"artifact\.classes: got a, b, c"),
    ({"mean": (0.5, 0.5, 0.6)}, 1, r"artifact\.mean"),
]


@pytest.mark.parametrize(("about", "seed", "told"), OTHERS, ids=["weights", "classes", "mean"])
def test_the_file_of_another_network_is_refused(artifact, tmp_path, about, seed, told):
    with pytest.raises(SpecError, match=told):
        pack(network(seed, **about), tmp_path / "out", artifact=artifact)
    assert not (tmp_path / "out").exists()


def detector(seed: int, kind: str = "fcos") -> Network:
    torch.manual_seed(seed)
    choices = Detector(kind=kind, taps=("C2", "C3"), extra="none", channels=16, head_norm=None, head_convs=1,
                       min_size=64, max_size=96, score=0.02)  # fmt: skip
    spec = otoyol.parse("custom@depths=1-1,widths=8-8,input=3x32x32,head=0")  # another size than the detector's
    model = build_detector(spec, choices, classes=2).eval()
    with torch.no_grad():
        for weight in model.head.parameters() if kind == "fcos" else ():
            if weight.dim() > 1:  # as initialised, scores differ by nothing
                torch.nn.init.normal_(weight, 0, 0.1)
    about = About(task="detection", classes=("cat", "dog"), mean=choices.mean, std=choices.std,
                  detector=choices.model_dump(mode="json"))  # fmt: skip
    return Network(model, spec, about)


def test_a_detectors_folder_holds_its_file(tmp_path):
    ours = detector(1)
    pack(ours, tmp_path / "out")
    values = np.random.default_rng(5).integers(0, 64, (128, 192, 3)).astype(np.uint8) * 4
    Image.fromarray(values).save(tmp_path / "picture.png")
    with torch.no_grad():
        theirs = ours.model([torch.from_numpy(values).permute(2, 0, 1).float() / 255])[0]
    given = Artifact(tmp_path / "out" / "model.onnx")
    told = answer(next(run(given, [tmp_path / "picture.png"])), given.metadata)["boxes"]
    assert len(told) == len(theirs["boxes"]) > 20
    np.testing.assert_allclose([row["box"] for row in told], theirs["boxes"], atol=0.05)
    assert [row["class"] for row in told] == [("background", "cat", "dog")[label] for label in theirs["labels"]]
    taken = pack(detector(1), tmp_path / "again", artifact=given.path)
    assert (taken.path / "model.onnx").read_bytes() == given.path.read_bytes()
    with pytest.raises(SpecError, match="a file with other outputs"):
        pack(detector(2), tmp_path / "other", artifact=given.path)
    assert not (tmp_path / "other").exists()


def test_a_detector_that_is_not_dense_has_none(tmp_path):
    assert "model.onnx" not in pack(detector(1, "fasterrcnn"), tmp_path / "out").files
