"""A detector's file against torchvision's own postprocessing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import PIL.Image
import pytest
import torch

import otoyol
from otoyol.deploy import Artifact, load_engine
from otoyol.deploy import bench as benching
from otoyol.deploy.engines import HUGE_PAGES, load_graph, obstacle
from otoyol.deploy.export_detector import export_detector, matched_error
from otoyol.deploy.ort import OrtSession
from otoyol.deploy.predict import answer, run
from otoyol.deploy.verify import images
from otoyol.detect import Detector, build_detector
from otoyol.errors import OtoyolError, SpecError

SPEC = "resnet18@widths=8-8-8-8,depths=1-1-1-1,input=3x192x192"


def detector(kind: str, short: int = 192, long: int = 192, score: float = 0.02) -> torch.nn.Module:
    torch.manual_seed(0)
    made = build_detector(
        SPEC, Detector(kind=kind, channels=32, head_convs=1, min_size=short, max_size=long, score=score), classes=3
    ).eval()
    with torch.no_grad():
        for weight in made.head.parameters() if hasattr(made, "head") else ():
            if weight.dim() > 1:  # as initialised, scores differ by nothing
                torch.nn.init.normal_(weight, 0, 0.1)
    return made


@pytest.mark.parametrize("kind", ["retinanet", "fcos"])
def test_boxes_are_torchvisions(kind: str, tmp_path: Path) -> None:
    model = detector(kind)
    mean, std = model.transform.image_mean, model.transform.image_std
    path = tmp_path / "model.onnx"
    made = export_detector(model, path, spec=otoyol.parse(SPEC), classes=("a", "b", "c"), mean=mean, std=std,
                           detector="tiny")  # fmt: skip
    assert made.agreement.error < 1e-4
    picture = torch.rand(3, 192, 192, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        theirs = model([picture])[0]  # resizing nothing, normalising, and torchvision's own suppression
    image = ((picture - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None])[None].numpy()
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    ours = session.run(["boxes", "labels", "scores"], {"image": image})
    expected = [theirs[name].numpy() for name in ("boxes", "labels", "scores")]
    assert len(expected[0]) == len(ours[0]) > 20
    assert matched_error(expected, ours, 0.05) < 1e-4
    assert (np.diff(ours[2]) <= 0).all()
    said = Artifact(path).metadata
    assert (said.task, said.classes[0], said.one_image, said.detector) == ("detection", "background", True, "tiny")
    if kind == "fcos":
        again = load_engine("openvino", Artifact(path), 1, 1).run(image)
        assert matched_error(expected, again, 0.05) < 1e-3


@pytest.mark.parametrize(("layout", "size", "sides"), [("nchw", None, (161, 205)), ("nhwc", (205, 161), (205, 161))])
def test_the_size_is_the_detectors_own(tmp_path: Path, layout: str, size, sides: tuple[int, int]) -> None:
    model, spec = detector("fcos", 161, 205), otoyol.parse(SPEC)  # the design's input is 192 × 192
    path = tmp_path / "model.onnx"
    export_detector(model, path, spec=spec, classes=("a", "b", "c"), mean=model.transform.image_mean,
                    std=model.transform.image_std, size=size, layout=layout)  # fmt: skip
    artifact = Artifact(path)
    assert (artifact.metadata.height, artifact.metadata.width) == sides
    # Halved twice over, a picture of values that are multiples of 4 stays whole: torchvision's floats, our uint8.
    values = np.random.default_rng(5).integers(0, 64, (2 * sides[0], 2 * sides[1], 3)).astype(np.uint8) * 4
    PIL.Image.fromarray(values).save(tmp_path / "picture.png")
    with torch.no_grad():
        theirs = model([torch.from_numpy(values).permute(2, 0, 1).float() / 255])[0]
    expected = [theirs[name].numpy() for name in ("boxes", "labels", "scores")]
    told = answer(next(run(artifact, [tmp_path / "picture.png"])), artifact.metadata)["boxes"]
    labels = [("background", *"abc").index(row["class"]) for row in told]
    ours = [np.array([row["box"] for row in told]), np.array(labels), np.array([row["score"] for row in told])]
    assert len(expected[0]) == len(told) > 20
    assert matched_error(expected, ours, 0.05) < 1e-4


@pytest.mark.parametrize("size", [(192, 192), (150, 204), (161, 206), (0, 161)])
def test_another_size_than_the_detectors_is_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    with pytest.raises(SpecError, match=r"size: got .*shorter side of 161 and a longer of at most 205"):
        export_detector(detector("fcos", 161, 205), tmp_path / "x.onnx", spec=otoyol.parse(SPEC), size=size,
                        classes=("a", "b", "c"), mean=(0.5,) * 3, std=(0.2,) * 3)  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_disagrees_with_the_detector_is_not_written(tmp_path: Path) -> None:
    model = detector("fcos")
    with pytest.raises(OtoyolError, match="misses a box"):  # the detector's own mean is another
        export_detector(model, tmp_path / "x.onnx", spec=otoyol.parse(SPEC), classes=("a", "b", "c"), mean=(0.1,) * 3,
                        std=model.transform.image_std)  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_a_missing_box_is_told() -> None:
    boxes, labels, scores = np.array([[0, 0, 9, 9], [20, 20, 30, 30.0]]), np.array([1, 2]), np.array([0.9, 0.4])
    assert matched_error((boxes, labels, scores), (boxes[::-1], labels[::-1], scores[::-1] + 2e-4), 0.1) < 3e-4
    with pytest.raises(OtoyolError, match="label 1"):
        matched_error((boxes, labels, scores), (boxes + np.array([[3.0], [0]]), labels, scores), 0.1)
    with pytest.raises(OtoyolError, match="label 1"):
        matched_error((boxes, labels, scores), (boxes, labels[::-1], scores), 0.1)


BOXES = np.array([[0, 0, 9, 9], [20, 20, 30, 30.0], [50, 0, 60, 9], [0, 50, 9, 60]])
FOUND = (BOXES, np.array([1, 2, 1, 2]), np.array([0.9, 0.8, 0.7, 0.4]))
NONE = (np.zeros((0, 4)), np.zeros(0, dtype=int), np.zeros(0))


@pytest.mark.parametrize(
    ("ours", "told"),
    [
        ([part[[0, 1, 3]] for part in FOUND], "misses a box of the reference .*label 1, score 0.700"),
        ([np.concatenate([part, more]) for part, more in zip(FOUND, ([[70, 70, 80, 80.0]], [2], [0.5]), strict=True)],
         "has a box that the reference has not .*label 2, score 0.500"),
        ([part[:3] for part in FOUND], "has 3 boxes, the reference 4"),
        ([FOUND[0], FOUND[1], np.array([0.9, 0.8, np.nan, 0.4])], "not finite"),
    ],
    ids=["missing", "one more", "the last is missing", "nan"],
)  # fmt: skip
def test_boxes_are_compared_both_ways(ours, told: str) -> None:
    assert matched_error(FOUND, FOUND, 0.1) == 0.0
    with pytest.raises(OtoyolError, match=told):
        matched_error(FOUND, ours, 0.1)


def test_nothing_compared_is_no_agreement() -> None:
    with pytest.raises(OtoyolError, match="of 0 boxes 0 could be compared"):
        matched_error(NONE, NONE, 0.1)
    level = (*FOUND[:2], np.full(4, 0.5))  # no box is before the last few
    with pytest.raises(OtoyolError, match="of 4 boxes 1 could be compared"):
        matched_error(level, (np.concatenate([BOXES[:1], BOXES[1:] + 100]), *level[1:]), 0.1)


@pytest.mark.parametrize("kind", ["retinanet", "fcos"])
def test_a_bench_compares_boxes_that_are_not_put_out(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, path = detector(kind, score=1.0), tmp_path / "model.onnx"
    export_detector(model, path, spec=otoyol.parse(SPEC), classes=("a", "b", "c"), mean=model.transform.image_mean,
                    std=model.transform.image_std)  # fmt: skip
    artifact = Artifact(path)
    image = images(artifact.metadata, artifact.shape(1))
    assert len(load_engine("ort", artifact, 1, 1).run(image)[2]) == 0
    assert len(benching.expected_outputs(artifact, image, 1, 1)[2]) > 20
    engines = ["ort", "openvino", *(name for name in HUGE_PAGES if not obstacle(name, artifact))]
    found = benching.bench(artifact, engines, threads=1, batches=(1,), seconds=0.01)
    assert [(row.engine, row.problem) for row in found.rows] == [(name, "") for name in engines]
    assert all(row.error < 1e-4 and row.timing for row in found.rows)
    assert isinstance(load_graph("ort-hugepages", path, artifact.shape(1), 1), OrtSession)

    class Blind:
        def run(self, image: np.ndarray) -> list[np.ndarray]:
            return [np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32)]

    monkeypatch.setattr(benching, "load_graph", lambda *_: Blind())
    found = benching.bench(artifact, ("ort",), threads=1, batches=(1,), seconds=0.01)
    assert "misses a box" in found.rows[0].problem and found.best(1) is None
    assert json.loads(json.dumps(found.to_mapping(), allow_nan=False))["rows"][0]["error"] is None


def test_other_detectors_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="RetinaNet or FCOS"):
        export_detector(detector("fasterrcnn"), tmp_path / "x.onnx", spec=otoyol.parse(SPEC), classes=("a", "b", "c"),
                        mean=(0.5,) * 3, std=(0.2,) * 3)  # fmt: skip
    assert list(tmp_path.iterdir()) == []
