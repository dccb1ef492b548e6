"""COCO's figures, held to pycocotools on the same predictions."""

from __future__ import annotations

import contextlib
import io
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from otoyol.detect import Judged, coco_scores, draw_boxes
from otoyol.detect.pictures import precision_recall_plot
from otoyol.errors import OtoyolError

CLASSES = ("a", "b", "never", "c")


def random_boxes(rng: np.random.Generator, count: int, side: float) -> np.ndarray:
    corner = rng.uniform(0, 200, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(2, side, (count, 2))], axis=1).astype(np.float32)


def judged(seed: int, count: int = 12) -> list[Judged]:
    """Truth with crowds and an image without boxes; predictions near it, elsewhere, and on an image with none."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        boxes = random_boxes(rng, int(rng.integers(0, 12)) * (number != 3), [20.0, 80.0, 200.0][number % 3])
        labels = rng.choice([1, 2, 4], len(boxes))
        near = boxes + rng.normal(0, 4, boxes.shape).astype(np.float32)
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
        guesses = np.concatenate([near, near[: len(near) // 2] + 1, random_boxes(rng, int(rng.integers(0, 9)), 90.0)])
        named = np.concatenate([labels, labels[: len(near) // 2], rng.integers(1, 5, len(guesses))])[: len(guesses)]
        guesses, named = (guesses[:0], named[:0]) if number == 5 else (guesses, named)
        scores = rng.uniform(0, 1, len(guesses)).round(2).astype(np.float32)  # ties occur
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) * 0.8
        found.append(Judged(10 + number, 400, 400, boxes, labels, rng.uniform(size=len(boxes)) < 0.15, areas, guesses,
                            named, scores))  # fmt: skip
    return found


def reference(images: list[Judged]) -> tuple[np.ndarray, np.ndarray]:
    """pycocotools' twelve figures and its table of precisions."""
    coco, rows, guesses = COCO(), [], []
    for image in images:
        for box, label, crowd, area in zip(image.boxes, image.labels, image.crowd, image.areas, strict=True):
            x1, y1, x2, y2 = box.astype(np.float64)
            rows.append({"id": 1 + len(rows), "image_id": image.image_id, "category_id": int(label),
                         "bbox": [x1, y1, x2 - x1, y2 - y1], "area": float(area), "iscrowd": int(crowd)})  # fmt: skip
        for box, label, score in zip(image.found_boxes, image.found_labels, image.scores, strict=True):
            x1, y1, x2, y2 = box.astype(np.float64)
            guesses.append({"image_id": image.image_id, "category_id": int(label), "score": float(score),
                            "bbox": [x1, y1, x2 - x1, y2 - y1]})  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        names = [{"id": label, "name": name} for label, name in enumerate(CLASSES, 1)]
        sizes = [{"id": image.image_id, "width": 400, "height": 400} for image in images]
        coco.dataset = {"info": {}, "images": sizes, "annotations": rows, "categories": names}
        coco.createIndex()
        judge = COCOeval(coco, coco.loadRes(guesses), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return judge.stats, judge.eval["precision"]


@pytest.mark.parametrize("seed", range(4))
def test_the_figures_are_those_of_pycocotools(seed: int) -> None:
    images = judged(seed)
    stats, precision = reference(images)
    ours = coco_scores(images, CLASSES)
    assert [-1.0 if math.isnan(v) else v for v in ours[:12]] == pytest.approx(stats.tolist(), abs=1e-6)
    assert 0.05 < ours.ap < 0.95
    for k, row in enumerate(ours.classes):
        known = precision[:, :, k, 0, 2]
        if row.name == "never":
            assert math.isnan(row.ap) and row.boxes == 0
            continue
        assert row.ap == pytest.approx(known[known > -1].mean(), abs=1e-6)
        assert row.ap50 == pytest.approx(known[0].mean(), abs=1e-6)
        assert list(row.precision) == pytest.approx(known[0].tolist(), abs=1e-6)
        assert row.boxes == sum(int((i.labels[~i.crowd] == k + 1).sum()) for i in images)


def test_figures_by_hand() -> None:
    """Two boxes; the best guess hits one, the second misses: precision 1 up to recall 0.5, then nothing."""
    boxes = np.array([[0, 0, 10, 10], [20, 20, 30, 30]], np.float32)
    guesses = np.array([[0, 0, 10, 10], [50, 50, 60, 60]], np.float32)
    one = Judged(1, 100, 100, boxes, np.array([1, 1]), np.zeros(2, bool), np.array([100.0, 100.0]), guesses,
                 np.array([1, 1]), np.array([0.9, 0.8]))  # fmt: skip
    scores = coco_scores([one], ("a",))
    assert scores.ap50 == pytest.approx(51 / 101)  # recalls 0 to 0.5 of the 101
    assert scores.ar_1 == scores.ar_100 == 0.5 and scores.ap_small == scores.ap
    nothing = coco_scores(
        [one._replace(found_boxes=guesses[:0], found_labels=np.zeros(0, int), scores=np.zeros(0))], ("a",)
    )
    assert nothing.ap == nothing.ar_100 == 0
    plain = scores.to_mapping()
    assert plain["ap_large"] is None and len(plain["classes"][0]["precision"]) == 101
    with pytest.raises(OtoyolError, match="no image"):
        coco_scores([], ("a",))


def test_pictures(tmp_path: Path) -> None:
    boxes = np.array([[10, 20, 60, 70], [30, 30, 200, 200]], np.float32)
    blank = Image.new("RGB", (100, 100), "white")
    drawn = draw_boxes(blank, boxes, [1, 2], ("a", "b"), scores=[0.9, 0.5], truth=boxes[:1] + 3)
    assert drawn.size == (100, 100) and blank.getpixel((10, 45)) == (255, 255, 255)
    assert drawn.getpixel((10, 45)) not in ((255, 255, 255), drawn.getpixel((30, 65)))  # a colour a class
    assert draw_boxes(blank, boxes[:0], [], ("a",)).tobytes() == blank.tobytes()
    precision_recall_plot(coco_scores(judged(0), CLASSES), tmp_path, lang="tr")
    text = (tmp_path / "precision_recall.svg").read_text()
    assert (tmp_path / "precision_recall.png").stat().st_size > 5000 and text.startswith("<?xml")
