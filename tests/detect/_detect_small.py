"""A small backbone, and images with boxes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

V1 = "resnet18@depths=1-1-1-1,widths=8-8-16-16,stem.widths=8"
V2 = "resnetv2_18@block=basic-v2,depths=1-1-1-1,widths=8-8-16-16,stem.widths=8"
SMALL: dict[str, Any] = {"channels": 8, "min_size": 64, "max_size": 96, "head_convs": 1}
NORMED = {"head_norm": {"kind": "group", "groups": 4}}


def images() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(3, 70, 90, generator=generator), torch.rand(3, 64, 100, generator=generator)]


def targets() -> list[dict[str, Tensor]]:
    """Two boxes on the first image, none on the second."""
    boxes = torch.tensor([[5.0, 5, 40, 40], [20, 10, 80, 60]])
    return [
        {"boxes": boxes, "labels": torch.tensor([1, 3])},
        {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)},
    ]


def picture(path: Path, width: int = 40, height: int = 30, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def voc_xml(objects: list[tuple[str, tuple[float, ...]]], size: tuple[int, int] = (40, 30), difficult: int = 0) -> str:
    rows = "".join(
        f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{b[0]}</xmin><ymin>{b[1]}</ymin>"
        f"<xmax>{b[2]}</xmax><ymax>{b[3]}</ymax></bndbox></object>"
        for name, b in objects
    )
    return f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height></size>{rows}</annotation>"


def voc(root: Path, splits: dict[str, list[str]], objects: dict[str, list[tuple[str, tuple[float, ...]]]]) -> Path:
    """A VOC folder: names by split, objects by name."""
    for folder in ("Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for seed, (name, rows) in enumerate(objects.items()):
        picture(root / "JPEGImages" / f"{name}.png", seed=seed)
        (root / "Annotations" / f"{name}.xml").write_text(voc_xml(rows))
    for split, names in splits.items():
        (root / "ImageSets" / "Main" / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
    return root


def coco(root: Path, split: str, rows: list[dict[str, Any]], count: int = 2) -> Path:
    """A COCO file of images 7, 8, … with the categories 3 (dog) and 1 (cat), and its images."""
    numbers = [{"id": 7 + i, "file_name": f"{i}.png", "width": 40, "height": 30} for i in range(count)]
    for i, row in enumerate(numbers):
        picture(root / split / str(row["file_name"]), seed=i)
    content = {
        "info": {}, "images": numbers, "annotations": rows,
        "categories": [{"id": 3, "name": "dog"}, {"id": 1, "name": "cat"}],
    }  # fmt: skip
    path = root / "annotations" / f"instances_{split}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path
