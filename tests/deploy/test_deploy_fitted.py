"""A detector's image as torchvision's own transform resizes it, and its boxes brought back as that brings them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from otoyol.deploy import Metadata
from otoyol.deploy.fitted import brought_back
from otoyol.deploy.predict import Seen, answer
from otoyol.deploy.predict import prepare as from_file
from otoyol.serve.answers import boxes_json
from otoyol.serve.prepare import prepare as from_bytes

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
ABOUT = Metadata(
    task="detection", spec="resnet18", classes=("background", "cat"), outputs=("boxes", "labels", "scores"),
    height=64, width=64, mean=MEAN, std=STD, opset=20,
)  # fmt: skip
THEIRS = GeneralizedRCNNTransform(64, 64, MEAN, STD).eval()
BOXES = np.array([[2.0, 3.0, 20.0, 11.0], [-3.0, -1.0, 70.0, 90.0]], dtype=np.float32)


@pytest.fixture(params=[(33, 100), (100, 33), (64, 64), (200, 150), (7, 5), (1, 90)])
def picture(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, np.ndarray]:
    values = np.random.default_rng(1).integers(0, 256, (*request.param, 3)).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "picture.png")
    return tmp_path / "picture.png", values


def test_images_are_torchvisions(picture: tuple[Path, np.ndarray]) -> None:
    path, values = picture
    if min(values.shape[:2]) == 1:
        pytest.skip("torchvision cannot resize a side of one pixel to none")
    images, _ = THEIRS([torch.from_numpy(values).permute(2, 0, 1).float() / 255])
    h, w = images.image_sizes[0]
    ours = from_file(path, ABOUT)
    assert ours.array.shape == (1, 3, 64, 64)
    theirs = images.tensors[0, :, :h, :w].numpy()
    level = 1 / 255 / min(STD)  # ours is rounded to half a level of uint8 along either axis
    assert np.abs(ours.array[0, :, :h, :w] - theirs).max() <= level + 1e-5
    assert np.abs(ours.array[0, :, h:]).max(initial=0) <= level + 1e-5  # filled up with the mean
    assert np.abs(ours.array[0, :, :, w:]).max(initial=0) <= level + 1e-5
    back = THEIRS.postprocess([{"boxes": torch.from_numpy(BOXES[:1])}], [(h, w)], [values.shape[:2]])[0]["boxes"]
    limits = np.array([values.shape[1], values.shape[0]] * 2)
    found = brought_back(BOXES[:1], ours.scale, ours.height, ours.width)
    np.testing.assert_allclose(found, np.clip(back.numpy(), 0, limits), rtol=1e-6)


def test_run_and_serve_give_the_same_boxes(picture: tuple[Path, np.ndarray]) -> None:
    path, values = picture
    ours, served = from_file(path, ABOUT), from_bytes(path.read_bytes(), ABOUT, 1 << 20)
    np.testing.assert_allclose(ours.array[0], served.array, atol=1e-6)
    labels, scores = np.array([1, 1]), np.array([0.9, 0.8])
    outputs = {"boxes": BOXES, "labels": labels, "scores": scores}
    told = [row["box"] for row in answer(Seen(path, outputs, *ours[1:]), ABOUT)["boxes"]]
    page = json.loads(boxes_json("x", (BOXES, labels, scores), ABOUT.classes, served, 0.0))
    assert told == [row["box"] for row in page["boxes"]]
    height, width = values.shape[:2]
    assert told[1] == [0.0, 0.0, width, height]  # none beyond the image's edges
