"""Detection as the engine sees it: samples, losses, figures that do not depend on batches or ranks, predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from _detect_small import NORMED, SMALL, V1, V2, voc
from PIL import Image, ImageDraw
from torch import nn

from otoyol.detect import coco_scores
from otoyol.errors import OtoyolError, SpecError
from otoyol.train.detection import Batch, BoxMetric, Detection, DetectionConfig

NAMES = [f"t{number}" for number in range(4)] + [f"v{number}" for number in range(3)]
PLACES = [(5, 5, 24, 20), (12, 8, 36, 26), (2, 10, 20, 28)]


def data(root: Path) -> Path:
    """White squares are cats, grey ones dogs."""
    places = {name: (PLACES[i % 3], PLACES[(i + 1) % 3]) for i, name in enumerate(NAMES)}
    objects = {name: [("cat", one), ("dog", two)][: 1 + i % 2] for i, (name, (one, two)) in enumerate(places.items())}
    voc(root, {"train": NAMES[:4], "val": NAMES[4:]}, objects)
    for name, rows in objects.items():
        picture = Image.new("RGB", (40, 30), "black")
        for kind, (x1, y1, x2, y2) in rows:
            shade = "white" if kind == "cat" else "grey"
            ImageDraw.Draw(picture).rectangle((x1 - 1, y1 - 1, x2 - 1, y2 - 1), fill=shade)
        picture.save(root / "JPEGImages" / f"{name}.png")
    return root


def config(root: Path, **more: Any) -> DetectionConfig:
    detector = {**SMALL, **NORMED, "kind": "fcos", "min_size": 60, "max_size": 80, "extra": "none", "score": 0.0}
    fields: dict[str, Any] = {
        "spec": V2, "data": {"source": str(root)}, "detector": detector, "recipe": {"epochs": 1.0, "batch": 2},
    }  # fmt: skip
    return DetectionConfig(**{**fields, **more})


@pytest.fixture
def task(tmp_path: Path) -> Detection:
    return config(data(tmp_path)).open()


def built(task: Detection) -> nn.Module:
    torch.manual_seed(0)
    return task.build().model


def test_the_configuration_survives_a_round_trip(tmp_path: Path) -> None:
    for kind in ("retinanet", "fcos", "fasterrcnn"):
        given = config(tmp_path, detector=kind, augment={"canvas": [32, 32]})
        again = DetectionConfig(**json.loads(json.dumps(given.model_dump(mode="json"))))
        assert again == given and again.detector.kind == kind


@pytest.mark.parametrize("kind", ["retinanet", "fcos", "fasterrcnn"])
def test_the_total_is_the_sum_of_the_detector_s_losses(tmp_path: Path, kind: str) -> None:
    normed = {} if kind == "fasterrcnn" else NORMED
    more = {"box_width": 8} if kind == "fasterrcnn" else {}
    task = config(data(tmp_path), detector={**SMALL, **normed, **more, "kind": kind}, spec=V1).open()
    model = built(task)
    batch = task.collate([task.train.sample(index) for index in range(3)])
    torch.manual_seed(1)
    loss = task.loss(model, batch)
    torch.manual_seed(1)
    expected = model([image / 255 for image in batch.images], batch.targets)
    assert set(loss.parts) == set(task.parts) == set(expected)
    assert float(loss.total.detach()) == pytest.approx(sum(float(part.detach()) for part in expected.values()))
    assert not any(part.requires_grad for part in loss.parts.values())
    loss.total.backward()


def test_samples_follow_the_generator(tmp_path: Path) -> None:
    task = config(data(tmp_path), augment={"canvas": [32, 48], "scale": [0.5, 1.5], "photometric": 1.0}).open()
    seen = []
    for seed in (1, 2, 1):
        torch.manual_seed(seed)
        seen.append(task.train.sample(1))
    assert torch.equal(seen[0][0], seen[2][0]) and not torch.equal(seen[0][0], seen[1][0])
    assert seen[0][0].shape == (3, 32, 48) and type(seen[0][1]["boxes"]) is torch.Tensor
    batch = task.collate(seen)
    assert isinstance(batch.images, torch.Tensor) and batch.images.shape == (3, 3, 32, 48)
    assert built(task).transform._skip_resize
    mixed = task.collate([seen[0], (torch.zeros(3, 8, 8, dtype=torch.uint8), seen[0][1])])
    assert isinstance(mixed.images, tuple)


def test_judging_does_not_depend_on_batches_or_ranks(task: Detection) -> None:
    model = built(task).eval()
    samples = [task.validation.sample(index) for index in range(len(task.validation))]
    whole = task.metric()
    ranks = [task.metric() for _ in range(2)]
    with torch.no_grad():
        whole.update(model, task.collate(samples))
        ranks[0].update(model, task.collate(samples[:2]))
        ranks[1].update(model, task.collate(samples[2:]))
        ranks[1].update(model, task.collate(samples[:1]))  # what a sampler adds so that all ranks have as many
    states = [rank.state() for rank in ranks]
    for rank in ranks:
        rank.merge(states)
        assert rank.compute() == pytest.approx(whole.compute(), nan_ok=True)
    assert list(whole.compute()) == list(task.metrics)


def test_boxes_come_back_in_the_image_s_own_pixels(task: Detection) -> None:
    """A model that finds each truth, in the fitted image's pixels (60x80 for 30x40), is right about everything."""
    samples = [task.validation.sample(index) for index in range(len(task.validation))]
    assert all(image.shape == (3, 60, 80) for image, _ in samples)

    class Oracle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, images: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
            assert all(float(image.min()) >= 0 and float(image.max()) <= 1 for image in images)
            return [
                {"boxes": 2 * target["boxes"], "labels": target["labels"], "scores": torch.ones(len(target["labels"]))}
                for _, target in samples
            ]

    metric = task.metric()
    assert isinstance(metric, BoxMetric)
    metric.update(Oracle().eval(), task.collate(samples))
    assert metric.compute() == pytest.approx({"ap": 1.0, "ap50": 1.0, "ap75": 1.0, "ar_100": 1.0})
    assert metric.scores().to_mapping() == coco_scores(metric.judged(), task.classes).to_mapping()


def test_it_learns(task: Detection) -> None:
    torch.manual_seed(0)
    model = built(task)
    batch = task.collate([task.train.sample(index) for index in range(4)])
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    losses = []
    for _ in range(12):
        loss = task.loss(model, batch).total
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]


def test_report_and_prediction(task: Detection, tmp_path: Path) -> None:
    model = built(task).eval()
    folder = tmp_path / "report"
    folder.mkdir()
    metric = task.metric()
    with torch.no_grad():
        metric.update(model, task.collate([task.validation.sample(index) for index in range(3)]))
        told = task.report(metric, model, folder)
        pictures = [Image.open(name) for name in task.validation.names]
        found = task.predict(model, pictures)
    json.dumps(told, allow_nan=False)
    assert {row["name"] for row in told["scores"]["classes"]} == {"cat", "dog"} and told["clipped_boxes"] == 0
    assert {path.name for path in folder.iterdir()} >= {"precision_recall.png", "predicted-v0.png"}
    json.dumps(found, allow_nan=False)
    judged = metric.judged()  # type: ignore[attr-defined]
    for one, row in zip(judged, found, strict=True):
        assert np.array(row["boxes"]).reshape(-1, 4) == pytest.approx(one.found_boxes, abs=0.006)
        assert row["labels"] == [task.classes[label - 1] for label in one.found_labels]
    drawn = task.picture(pictures[0], {"boxes": [[1, 1, 20, 20]], "labels": ["cat"], "scores": [0.9]})
    assert drawn.tobytes() != pictures[0].convert("RGB").tobytes()
    silent = task.picture(pictures[0], {"boxes": [[1, 1, 20, 20]], "labels": ["cat"], "scores": [0.1]})
    assert silent.tobytes() == pictures[0].convert("RGB").tobytes()


def test_fingerprints_differ_where_the_data_does(tmp_path: Path) -> None:
    root = data(tmp_path)
    first = config(root).open().train.fingerprint()
    assert first == config(root).open().train.fingerprint() and first["samples"] == 4
    xml = root / "Annotations" / "t0.xml"
    xml.write_text(xml.read_text().replace("<xmax>24", "<xmax>25"))
    assert config(root).open().train.fingerprint() != first


def test_what_cannot_be_trained_on(tmp_path: Path) -> None:
    root = data(tmp_path)
    with pytest.raises(SpecError, match=r"spec\.input\.channels"):
        config(root, spec=f"{V2},input=1x64x64").open()
    with pytest.raises(OtoyolError, match="class cow has no box"):
        config(root, data={"source": str(root), "classes": ["cat", "dog", "cow"]}).open().train  # noqa: B018
    with pytest.raises(SpecError, match=r"data\.source|data: got"):
        config(root, data={"source": str(root / "nowhere")}).open().train  # noqa: B018
    frozen = config(root, freeze=["backbone.body.stem"]).open().build()
    assert frozen.frozen == ("backbone.body.stem",)
    assert not any(p.requires_grad for p in frozen.model.backbone.body.stem.parameters())


def test_crowds_are_not_learnt_from(task: Detection) -> None:
    annotation = task.train.images.annotations[1]
    crowded = annotation._replace(crowd=np.array([True, False]))
    task.train.images.annotations = (task.train.images.annotations[0], crowded)
    _, target = task.train.sample(1)
    assert target["labels"].tolist() == [2]


def test_an_image_without_boxes_is_a_sample_like_any_other(task: Detection) -> None:
    model = built(task)
    image, target = task.train.sample(0)
    empty = {"boxes": target["boxes"][:0], "labels": target["labels"][:0]}
    loss = task.loss(model, Batch(torch.stack([image, image]), [empty, empty]))
    assert bool(loss.total.isfinite())
    loss.total.backward()


def test_taps_that_are_not_there_leave_no_folder(tmp_path: Path) -> None:
    from otoyol.train import fit

    given = config(data(tmp_path / "data"), detector={**SMALL, **NORMED, "kind": "fcos", "taps": ["C2", "C9"]})
    with pytest.raises(SpecError, match="taps"):
        fit(given, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_is_judged_over_any_list(task: Detection, tmp_path: Path) -> None:
    from otoyol.train.folder import load_run, save_weights

    path, model = tmp_path / "run.safetensors", built(task)
    save_weights(path, model.state_dict(), task.config, task, task.config.spec)
    assert [len(load_run(path, split=split).task.validation) for split in (None, "train", "val")] == [3, 4, 3]
    with pytest.raises(SpecError, match="split: got tset; allowed: train, val"):
        len(load_run(path, split="tset").task.validation)
    with pytest.raises(SpecError, match="split: got val; allowed: nothing"):
        load_run(path, data="some.json", split="val")


@pytest.mark.parametrize(("kind", "alike"), [("retinanet", True), ("fcos", False)])
def test_what_passes_change_is_what_the_documentation_says(tmp_path: Path, kind: str, alike: bool) -> None:
    """FCOS divides by the foreground of its pass: images of one box and of two count otherwise alone than together."""
    spec = f"{V2},norm=group,norm.groups=4"
    detector = {**SMALL, **NORMED, "kind": kind, "min_size": 60, "max_size": 80}
    task = config(data(tmp_path), spec=spec, detector=detector).open()
    model = built(task)
    samples = [task.train.sample(index) for index in range(2)]
    with torch.no_grad():
        whole = float(task.loss(model, task.collate(samples)).total)
        passes = [float(task.loss(model, task.collate([sample])).total) for sample in samples]
    assert (sum(passes) / 2 == pytest.approx(whole, rel=1e-4)) is alike
