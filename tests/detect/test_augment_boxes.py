"""Augmentation: boxes follow their pixels, and a generator's seed decides everything."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors

from otoyol.detect import Augment
from otoyol.detect.augment import Sample, augmenter, fit
from otoyol.errors import SpecError

EVERYTHING = {"hflip": 0.5, "vflip": 0.5, "iou_crop": 0.5, "canvas": (48, 64), "scale": (0.5, 1.5), "photometric": 0.5}


def sample(boxes: list[list[float]], height: int = 60, width: int = 80) -> Sample:
    """A black image with a white rectangle in each box."""
    pixels = torch.zeros(3, height, width, dtype=torch.uint8)
    for x1, y1, x2, y2 in boxes:
        pixels[:, int(y1) : int(y2), int(x1) : int(x2)] = 255
    count = len(boxes)
    target: dict[str, Any] = {
        "boxes": tv_tensors.BoundingBoxes(torch.tensor(boxes).view(-1, 4), format="XYXY", canvas_size=(height, width)),  # type: ignore[call-overload]
        "labels": torch.arange(1, count + 1), "iscrowd": torch.zeros(count, dtype=torch.bool),
        "difficult": torch.zeros(count, dtype=torch.bool), "area": torch.ones(count), "image_id": 5,
    }  # fmt: skip
    return tv_tensors.Image(pixels), target


def white(image: Tensor) -> list[int]:
    """The box around what is not background; the padding is black here."""
    rows, columns = (image[0] > 127).any(1).nonzero().flatten(), (image[0] > 127).any(0).nonzero().flatten()
    return [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]


@pytest.mark.parametrize("name", ["hflip", "vflip"])
def test_mirroring_by_hand(name: str) -> None:
    image, target = augmenter(Augment(**{"hflip": 0.0, name: 1.0}))(sample([[10, 5, 30, 20]]))
    assert target["boxes"].tolist() == [[50, 5, 70, 20] if name == "hflip" else [10, 40, 30, 55]]
    assert white(image) == [int(value) for value in target["boxes"][0]]


@pytest.mark.parametrize("seed", range(12))
def test_boxes_stay_on_their_pixels(seed: int) -> None:
    torch.manual_seed(seed)
    transform = augmenter(Augment(**{**EVERYTHING, "photometric": 0.0}), fill=(0, 0, 0))
    image, target = transform(sample([[16, 12, 60, 48]]))
    assert image.shape == (3, 48, 64) and image.dtype == torch.uint8
    if len(target["boxes"]):
        assert target["boxes"][0].tolist() == pytest.approx(white(image), abs=1.5)  # interpolation softens edges


def test_a_seed_decides_and_nothing_else_does() -> None:
    transform = augmenter(Augment(**EVERYTHING))
    found = []
    for seed in (3, 4, 3):
        torch.manual_seed(seed)
        found.append(transform(sample([[16, 12, 60, 48], [0, 0, 9, 9]])))
        torch.rand(7)
    assert torch.equal(found[0][0], found[2][0]) and torch.equal(found[0][1]["boxes"], found[2][1]["boxes"])
    assert not torch.equal(found[0][0], found[1][0])


def test_slivers_go_together_with_their_labels() -> None:
    transform = augmenter(Augment(hflip=0.0))
    _, target = transform(sample([[0, 0, 1.5, 30], [10, 10, 30, 30], [5, 5, 20, 6]]))
    assert target["labels"].tolist() == [2] and target["boxes"].tolist() == [[10, 10, 30, 30]]
    assert len(target["area"]) == len(target["iscrowd"]) == len(target["difficult"]) == 1
    _, empty = transform(sample([]))
    assert empty["boxes"].shape == (0, 4) and empty["labels"].shape == (0,)


def test_fit_leaves_the_detector_nothing_to_resize() -> None:
    from torchvision.models.detection.transform import GeneralizedRCNNTransform

    for height, width, low, high in ((60, 80, 48, 64), (480, 640, 288, 384), (100, 37, 64, 96), (30, 200, 64, 96)):
        image = torch.rand(3, height, width)
        resize = GeneralizedRCNNTransform(low, high, [0.0] * 3, [1.0] * 3, size_divisible=1).eval()
        fitted = fit(tv_tensors.Image(image), low, high)
        theirs = resize([image])[0].tensors[0]
        assert abs(theirs.shape[1] - fitted.shape[1]) <= 1 and abs(theirs.shape[2] - fitted.shape[2]) <= 1
    exact = fit(tv_tensors.Image(torch.rand(3, 480, 640)), 288, 384)
    resize = GeneralizedRCNNTransform(288, 384, [0.0] * 3, [1.0] * 3, size_divisible=1).eval()
    assert torch.equal(resize([exact.as_subclass(Tensor)])[0].tensors[0], exact)


@pytest.mark.parametrize(
    ("choices", "field"),
    [({"scale": (1.5, 0.5), "canvas": (64, 64)}, "augment.scale"), ({"scale": (0.5, 2.0)}, "augment.scale")],
)
def test_what_is_refused(choices: dict[str, Any], field: str) -> None:
    with pytest.raises(SpecError) as refused:
        Augment(**choices)
    assert refused.value.field == field
