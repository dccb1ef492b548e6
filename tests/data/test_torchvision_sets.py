"""Fashion-MNIST's files as torchvision keeps them: read whole, and refused where they are damaged."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from otoyol.data import load
from otoyol.errors import OtoyolError
from otoyol.spec import Input

COUNT, SIDE = 6, 28


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six images of one shade each, whose labels are 0 to 5, for either split."""
    folder = tmp_path / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    pixels = b"".join(bytes([40 * number]) * SIDE * SIDE for number in range(COUNT))
    for split in ("train", "t10k"):
        (folder / f"{split}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, COUNT, SIDE, SIDE) + pixels)
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, COUNT) + bytes(range(COUNT)))
    return tmp_path


def read(root: Path) -> list[tuple[int, int]]:
    """(shade, label) of each image."""
    images = load(f"fashion-mnist:{root}", Input(channels=1, height=SIDE, width=SIDE), "train")
    return [(int(images.pixels(index)[0, 9, 9]), images.labels[index]) for index in range(len(images))]


def test_whole_files_are_read(root: Path) -> None:
    assert read(root) == [(40 * number, number) for number in range(COUNT)]


HARM: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "images cut": ("images-idx3", lambda data: data[:-100]),
    "images emptied": ("images-idx3", lambda data: b""),
    "images without a body": ("images-idx3", lambda data: data[:16]),
    "images of another kind": ("images-idx3", lambda data: struct.pack(">I", 0x603) + data[4:]),
    "labels cut": ("labels-idx1", lambda data: data[:-1]),
    "labels emptied": ("labels-idx1", lambda data: b""),
    "labels of fewer images": ("labels-idx1", lambda data: struct.pack(">2I", 0x801, 3) + bytes(3)),
    "labels that are none": ("labels-idx1", lambda data: struct.pack(">I", 0xD01) + data[4:]),
}


@pytest.mark.parametrize("harm", HARM)
def test_damaged_files_are_told(harm: str, root: Path) -> None:
    name, change = HARM[harm]
    path = root / "FashionMNIST" / "raw" / f"train-{name}-ubyte"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(OtoyolError, match=r"cannot be read from .* \(a file is damaged\); remove .*FashionMNIST"):
        read(root)


def test_files_that_are_not_there_are_told_apart(root: Path) -> None:
    (root / "FashionMNIST" / "raw" / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(OtoyolError, match=r"\(Dataset not found\.?\); data\.download: true fetches it"):
        read(root)
