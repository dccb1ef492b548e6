"""Images by source: what is in a split, what a sample looks like, what an unreadable file does."""

from __future__ import annotations

import itertools
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from otoyol.data import batches, load
from otoyol.errors import OtoyolError, SpecError
from otoyol.spec import Input

SMALL = Input(channels=3, height=8, width=8)


def write(path: Path, colour: tuple[int, ...] | int, size: tuple[int, int] = (8, 8)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L" if isinstance(colour, int) else "RGB", size, colour).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("cat", "dog"):
        for index in range(10):
            write(tmp_path / name / f"{index}.png", index * 20)
    return tmp_path


def test_digits_are_those_of_scikit_learn() -> None:
    known = load_digits()
    train, test = load("digits", SMALL, "train"), load("digits", SMALL, "test")
    assert len(train) + len(test) == 1797 and len(test) == 360
    assert [*train.labels, *test.labels] == known.target.tolist()
    assert train.classes == tuple("0123456789") and test.names[0] == "digits[1437]"
    x, label = test[0]
    assert (x.dtype, x.shape, label) == (torch.float32, (3, 8, 8), known.target[1437])
    pixels = torch.tensor(known.images[1437] / 16, dtype=torch.float32)
    torch.testing.assert_close(x[0], (pixels - 0.485) / 0.229, atol=0.5 / 255 / 0.229, rtol=0)  # rounded to a byte
    torch.testing.assert_close(x[2], (pixels - 0.406) / 0.225, atol=0.5 / 255 / 0.225, rtol=0)


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_grey_images_take_the_spec_s_channels(channels: int) -> None:
    assert load("digits", Input(channels=channels, height=12, width=20), "train")[3][0].shape == (channels, 12, 20)


def test_a_folder_is_split_by_names_alone(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    train, test = load(str(folder), SMALL, "train"), load(str(folder), SMALL, "test")
    assert (len(train), len(test)) == (16, 4) and test.labels == (0, 0, 1, 1) and train.classes == ("cat", "dog")
    assert not set(train.names) & set(test.names)
    moved = tmp_path_factory.mktemp("elsewhere") / "pets"
    folder.rename(moved)
    again = load(str(moved), SMALL, "test")
    assert [Path(n).relative_to(moved) for n in again.names] == [Path(n).relative_to(folder) for n in test.names]


@pytest.mark.parametrize("name", ["test", "val"])
def test_a_folder_s_own_split_is_kept(tmp_path: Path, name: str) -> None:
    for split, count in (("train", 3), (name, 2)):
        for kind, colour in (("a", (255, 0, 0)), ("b", (0, 0, 255))):
            for index in range(count):
                write(tmp_path / split / kind / f"{index}.png", colour)
    test = load(str(tmp_path), SMALL, "test")
    assert len(load(str(tmp_path), SMALL, "train")) == 6 and test.labels == (0, 0, 1, 1)
    red = test[0][0]
    assert red[:, 0, 0].tolist() == pytest.approx([(1 - 0.485) / 0.229, -0.456 / 0.224, -0.406 / 0.225])


def test_an_image_is_scaled_to_cover_and_cropped_at_the_centre(tmp_path: Path) -> None:
    """16×8, black but for its white middle half: the centre crop to 8×8 is all white."""
    pixels = np.zeros((8, 16), dtype=np.uint8)
    pixels[:, 4:12] = 255
    for name in ("a/1.png", "a/2.png", "b/1.png", "b/2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / name)
    x, _ = load(str(tmp_path), Input(channels=1, height=8, width=8), "train")[0]
    torch.testing.assert_close(x, torch.full((1, 8, 8), (1 - 0.485) / 0.229))


@pytest.mark.parametrize("suffix", ["png", "pgm", "tiff"])
def test_sixteen_bits_are_not_cut(suffix: str, tmp_path: Path) -> None:
    for name in ("a/1", "a/2", "b/1", "b/2"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((8, 8), 0x8000, dtype=np.uint16)).save(tmp_path / f"{name}.{suffix}")
    x, _ = load(str(tmp_path), Input(channels=1, height=8, width=8), "train")[0]
    torch.testing.assert_close(x, torch.full((1, 8, 8), (128 / 255 - 0.485) / 0.229))


def test_an_unreadable_image_stops_or_is_skipped(folder: Path) -> None:
    whole = (folder / "cat" / "0.png").read_bytes()
    train = load(str(folder), SMALL, "train")
    Path(train.names[2]).write_bytes(whole[: len(whole) // 2])
    Path(train.names[5]).write_text("no image")
    for index in (2, 5):
        with pytest.raises(OtoyolError, match=Path(train.names[index]).name):
            train[index]
    with pytest.raises(OtoyolError, match="cannot read"):
        next(batches(train, 16))
    skipping = load(str(folder), SMALL, "train", unreadable="skip")
    x, labels = next(batches(skipping, 16))
    assert len(x) == len(labels) == 14 and sorted(skipping.skipped) == sorted([train.names[2], train.names[5]])
    with pytest.raises(OtoyolError, match="cannot read"):
        skipping.__getitems__([2, 5])


def test_batches_come_by_seed_and_epoch() -> None:
    images = load("digits", SMALL, "test")

    def labels(seed: int, first: int, last: int) -> list[list[int]]:
        return [y.tolist() for _, y in itertools.islice(batches(images, 100, seed=seed), first, last)]

    torch.manual_seed(1)
    before = torch.get_rng_state()
    assert labels(7, 0, 6) == labels(7, 0, 6)
    assert torch.equal(torch.get_rng_state(), before)
    assert labels(7, 0, 3) != labels(8, 0, 3) and labels(7, 0, 3) != labels(7, 3, 6)
    whole = [label for batch in itertools.islice(batches(images, 90, seed=3), 4) for label in batch[1].tolist()]
    assert sorted(whole) == sorted(images.labels)  # 360 = 4 × 90: each sample once an epoch


def test_samples_cross_to_other_processes(folder: Path) -> None:
    for source in ("digits", str(folder)):
        images = load(source, SMALL, "train")
        assert torch.equal(pickle.loads(pickle.dumps(images))[0][0], images[0][0])


@pytest.mark.parametrize(
    ("source", "words"),
    [("nowhere", "digits, or a folder"), ("flat", "0 folders"), ("single", "has one image"), ("untested", "beside it"),
     ("strange", "none for training"), ("empty", "has no image")],
)  # fmt: skip
def test_sources_that_cannot_be_used(tmp_path: Path, source: str, words: str) -> None:
    write(tmp_path / "flat" / "1.png", 0)
    for name in ("single/a", "single/b", "untested/train/a", "untested/train/b"):
        write(tmp_path / name / "1.png", 0)
    for name in ("train/a", "train/b", "test/a", "test/c"):
        write(tmp_path / "strange" / name / "1.png", 0)
    (tmp_path / "empty" / "a").mkdir(parents=True)
    with pytest.raises(OtoyolError, match=words):
        load(str(tmp_path / source), SMALL, "test")


def test_choices_that_do_not_exist(folder: Path) -> None:
    with pytest.raises(SpecError, match="train or test"):
        load("digits", SMALL, "val")  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="stop or skip"):
        load("digits", SMALL, "test", unreadable="ignore")  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="from 1 to 360"):
        batches(load("digits", SMALL, "test"), 361)
    write(folder / "cat" / "blue.png", (0, 0, 255))
    write(folder / "dog" / "blue.png", (0, 0, 255))
    wide = Input(channels=4, height=8, width=8)
    images = [load(str(folder), wide, split) for split in ("train", "test")]
    blue = [(of, of.names.index(name)) for of in images for name in of.names if "blue" in name]
    with pytest.raises(SpecError, match="1 or 3 for coloured images"):
        blue[0][0][blue[0][1]]
