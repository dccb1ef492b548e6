"""otoyol run: images through an artifact by the engine that was fastest here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from otoyol.data.images import covered, pixels, unreadable_errors
from otoyol.deploy.artifact import Artifact
from otoyol.deploy.engines import EngineName, load_engine
from otoyol.deploy.metadata import Metadata
from otoyol.errors import OtoyolError
from otoyol.spec import Input

Array = np.ndarray[Any, Any]


class Seen(NamedTuple):
    """One image's outputs by name, without N. ``scale``: pixels of the network's image for one of the file's."""

    path: Path
    outputs: dict[str, Array]
    scale: float = 1.0


def run(
    artifact: Artifact, paths: Sequence[str | Path], engine: EngineName = "ort", threads: int = 0
) -> Iterator[Seen]:  # fmt: skip
    """The outputs of each image, one image at a time. Raises OtoyolError naming a file that is no image."""
    session = load_engine(engine, artifact, 1, threads)
    for path in map(Path, paths):
        image, scale = prepare(path, artifact.metadata)
        found = [np.array(output) for output in session.run(image)]
        if not artifact.metadata.one_image:
            found = [output[0] for output in found]
        yield Seen(path, dict(zip(artifact.metadata.outputs, found, strict=True)), scale)


def answer(seen: Seen, metadata: Metadata, top: int = 3) -> dict[str, Any]:
    """One image's outputs as plain data: the ``top`` classes with probabilities, boxes in the file's own pixels, or the
    features' shapes."""
    names, outputs = metadata.classes, seen.outputs

    def name(index: int) -> str:
        return names[index] if 0 <= index < len(names) else str(index)

    told: dict[str, Any] = {"image": str(seen.path)}
    if metadata.task == "classification":
        logits = outputs["logits"].astype(np.float64)
        chances = np.exp(logits - logits.max())
        chances /= chances.sum()
        order = np.argsort(-chances, kind="stable")[: max(top, 1)]
        told["classes"] = [{"class": name(int(i)), "probability": float(chances[i])} for i in order]
    elif metadata.task == "detection":
        rows = zip(outputs["boxes"], outputs["labels"], outputs["scores"], strict=True)
        told["boxes"] = [
            {"class": name(int(label)), "score": float(score), "box": [float(v) / seen.scale for v in box]}
            for box, label, score in rows
        ]
    else:
        told["features"] = {key: list(value.shape) for key, value in outputs.items()}
    return told


def prepare(path: Path, metadata: Metadata) -> tuple[Array, float]:
    """A file as ``image`` of one (:mod:`otoyol.deploy.metadata` says how), and the scale that was applied."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            x = pixels(picture, metadata.channels, path.name)
    except unreadable_errors() as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise OtoyolError(f"image: cannot read {path} ({reason})") from None
    size = Input(channels=metadata.channels, height=metadata.height, width=metadata.width)
    x, scale = _within(x, metadata) if metadata.task == "detection" else (covered(x, size, metadata.crop_share), 1.0)
    x = x.expand(metadata.channels, -1, -1)
    if metadata.layout == "nhwc":
        return x.permute(1, 2, 0).contiguous()[None].numpy(), scale
    return normalised(x, metadata)[None].numpy(), scale


def normalised(x: torch.Tensor, metadata: Metadata) -> torch.Tensor:
    """uint8 (…, C, H, W) as the artifact's float32."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (metadata.mean, metadata.std))
    return (x.float() / 255 - mean) / std


def _within(x: torch.Tensor, metadata: Metadata) -> tuple[torch.Tensor, float]:
    """(C, h, w) scaled to fit into the input, filled up at the right and below with the mean."""
    from torchvision.transforms.v2 import functional as f

    height, width = x.shape[-2:]
    scale = min(metadata.height / height, metadata.width / width)
    h, w = max(1, round(height * scale)), max(1, round(width * scale))
    filled = torch.tensor([round(255 * mean) for mean in metadata.mean], dtype=torch.uint8)
    filled = filled[:, None, None].repeat(1, metadata.height, metadata.width)
    filled[:, :h, :w] = f.resize(x, [h, w], antialias=True)
    return filled, scale
