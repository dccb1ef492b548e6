"""Batches: the same from any number of processes, whole whatever cannot be read."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from otoyol.data import load
from otoyol.errors import OtoyolError, SpecError
from otoyol.spec import Input
from otoyol.train.augment import Augment, make_augment
from otoyol.train.classification import ClassificationConfig, ImageSource
from otoyol.train.loader import Batches, Reader
from otoyol.train.order import Key, TrainingKeys

SPEC = "custom@input=1x8x8,stem=cifar,stem.widths=4,block=basic,depths=1,widths=4,head=10"
EVERYTHING: dict[str, Any] = {
    "crop": {"kind": "resized", "scale": [0.5, 1.0]}, "flip": 0.5,
    "affine": {"degrees": 20.0, "translate": 0.2, "scale": [0.8, 1.2], "shear": 10.0},
    "elastic": {"smooth": 1.0}, "policy": {"name": "rand"}, "jitter": {"brightness": 0.4, "contrast": 0.4},
    "erase": 0.5,
}  # fmt: skip


def source(augment: dict[str, Any] | None) -> ImageSource:
    given = {"spec": SPEC, "recipe": {"steps": 1}} | ({"augment": augment} if augment else {})
    images = load("digits", Input(channels=1, height=8, width=8), "train").take(range(40))
    return ImageSource(images, ClassificationConfig(**given))


def collate(samples: Sequence[tuple[torch.Tensor, int]]) -> tuple[torch.Tensor, list[int]]:
    return torch.stack([x for x, _ in samples]), [label for _, label in samples]


def read(keys: Any, workers: int, augment: dict[str, Any] | None = EVERYTHING, seed: int = 3) -> list[Any]:
    reader = Reader(source(augment), collate, seed, skip=False, replace=True)
    batches = Batches(reader, keys, workers=workers)
    try:
        return [fetched.batch for fetched in batches]
    finally:
        batches.close()


def test_augmentation_does_not_know_of_processes() -> None:
    keys = TrainingKeys(40, 3, batch=9, accumulate=1, world=1, rank=0, first=0, steps=6)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    alone = read(keys, 0)
    assert torch.equal(torch.get_rng_state(), before)
    for (x, labels), (y, others) in zip(alone, read(keys, 2), strict=True):
        assert torch.equal(x, y) and labels == others


def test_augmentation_does_not_know_of_order_and_company() -> None:
    keys = [Key(epoch, sample) for epoch in (0, 1) for sample in (5, 17, 8)]
    together = read([keys], 0)[0][0]
    apart = torch.cat([batch for batch, _ in read([[key] for key in reversed(keys)], 0)]).flip(0)
    assert torch.equal(together, apart)
    for one, other in ((0, 3), (1, 4), (2, 5)):  # another epoch, another picture
        assert not torch.equal(together[one], together[other])
    assert not torch.equal(together, read([keys], 0, seed=4)[0][0])


@pytest.mark.parametrize("name", ["rand", "trivial", "auto"])
def test_policies_change_pixels_and_keep_shapes(name: str) -> None:
    keys = [[Key(0, sample) for sample in range(20)]]
    plain, changed = (read(keys, 0, augment)[0][0] for augment in (None, {"policy": {"name": name}}))
    assert changed.shape == plain.shape and changed.dtype == torch.uint8
    assert sum(not torch.equal(a, b) for a, b in zip(plain, changed, strict=True)) >= 10


def test_a_padded_crop_is_a_window_of_the_padded_image() -> None:
    images = read([[Key(0, sample) for sample in range(40)]], 0, None)[0][0]
    crops = read([[Key(0, sample) for sample in range(40)]], 0, {"crop": {"padding": 2}, "flip": 0.5})[0][0]
    seen = set()
    for image, crop in zip(images, crops, strict=True):
        padded = torch.nn.functional.pad(image, [2] * 4)
        found = {(top, left, flipped) for top in range(5) for left in range(5) for flipped in (False, True)
                 if torch.equal(_window(padded, top, left, flipped), crop)}  # fmt: skip
        assert found
        seen |= found
    assert {top for top, _, _ in seen} == {left for _, left, _ in seen} == set(range(5))
    assert {flipped for _, _, flipped in seen} == {False, True}


def test_elastic_displacements_are_so_many_pixels() -> None:
    """On a ramp of 4 levels a pixel, a change of 4 levels is a displacement of one pixel."""
    ramp = (4 * torch.arange(48, dtype=torch.uint8)).expand(1, 48, 48)
    change = make_augment(Augment(elastic={"strength": 0.8, "smooth": 3.0}), Input(channels=1, height=48, width=48))
    torch.manual_seed(0)
    moved = torch.stack([change(ramp) for _ in range(30)]).double() - ramp.double()
    inside = moved[..., 8:-8, 8:-8] / 4
    assert 0.6 < inside.std() < 1.0 and abs(inside.mean()) < 0.1
    with pytest.raises(SpecError, match="less than a quarter"):
        make_augment(Augment(elastic={"smooth": 2.0}), Input(channels=1, height=8, width=8))


def _window(padded: torch.Tensor, top: int, left: int, flipped: bool) -> torch.Tensor:
    window = padded[:, top : top + 8, left : left + 8]
    return window.flip(-1) if flipped else window


class Broken:
    """Twelve samples, each its own number, of which some cannot be read."""

    def __init__(self, bad: Sequence[int]) -> None:
        self.bad = set(bad)
        self.names = [f"sample {number}" for number in range(12)]

    def __len__(self) -> int:
        return 12

    def sample(self, index: int) -> int:
        if index in self.bad:
            raise OtoyolError(f"image: cannot read {self.names[index]}")
        return index

    def fingerprint(self) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize("workers", [0, 1])
def test_a_sample_that_cannot_be_read(workers: int) -> None:
    keys = [[Key(0, 1), Key(0, 2), Key(0, 11)], [Key(0, 5)], [Key(0, 3)]]

    def batches(**how: bool) -> list[Any]:
        loader = Batches(Reader(Broken([2, 3, 11, 5]), list, 0, **how), keys, workers=workers)
        try:
            return list(loader)
        finally:
            loader.close()

    with pytest.raises(OtoyolError, match=r"^image: cannot read sample 2$"):
        batches(skip=False, replace=True)
    replaced = batches(skip=True, replace=True)
    assert [fetched.batch for fetched in replaced] == [[1, 4, 0], [6], [4]]
    assert replaced[0].skipped == ("sample 2", "sample 3", "sample 11")
    left_out = batches(skip=True, replace=False)
    assert [(fetched.batch, fetched.samples) for fetched in left_out] == [([1], 1), (None, 0), (None, 0)]
    assert left_out[1].skipped == ("sample 5",)


def test_nothing_that_can_be_read() -> None:
    with pytest.raises(OtoyolError, match="no sample can be read"):
        list(Batches(Reader(Broken(range(12)), list, 0, skip=True, replace=True), [[Key(0, 1)]], workers=0))


def test_a_reading_process_that_dies_is_told() -> None:
    class Deadly(Broken):
        def sample(self, index: int) -> int:
            import os

            os._exit(9)

    loader = Batches(Reader(Deadly([]), list, 0, skip=False, replace=True), [[Key(0, 1)]], workers=1)
    with pytest.raises(OtoyolError, match="reading process died"):
        list(loader)


def test_what_goes_wrong_in_a_reading_process_keeps_its_words() -> None:
    class Wrong(Broken):
        def sample(self, index: int) -> int:
            raise RuntimeError("uniform_ expects to return a [from, to) range")

    loader = Batches(Reader(Wrong([]), list, 0, skip=False, replace=True), [[Key(0, 1)]], workers=1)
    with pytest.raises(RuntimeError, match="uniform_ expects"):
        list(loader)


def test_a_fingerprint_knows_the_images_and_not_their_folder(tmp_path: Path) -> None:
    for kind in ("cat", "dog"):
        (tmp_path / "a" / kind).mkdir(parents=True)
        for number in range(4):
            Image.new("L", (4 + number, 4), number).save(tmp_path / "a" / kind / f"{number}.png")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    config = ClassificationConfig(spec=SPEC, recipe={"steps": 1})

    def digest(folder: str) -> dict[str, Any]:
        images = load(str(tmp_path / folder), Input(channels=1, height=8, width=8), "train")
        return ImageSource(images, config).fingerprint()

    assert digest("a") == digest("b") and digest("a")["samples"] == 6
    victim = load(str(tmp_path / "b"), Input(channels=1, height=8, width=8), "train").names[0]
    Image.new("RGB", (40, 40), "red").save(victim)
    assert digest("a") != digest("b")
