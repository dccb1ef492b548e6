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
from otoyol.deploy.fitted import brought_back, fitted
from otoyol.deploy.metadata import Metadata
from otoyol.errors import OtoyolError
from otoyol.spec import Input

Array = np.ndarray[Any, Any]


class Seen(NamedTuple):
    """One image's outputs by name, without N. ``scale``: pixels of the network's image for one of the file's, along x
    and y; ``height``, ``width``: of the file's, 0 where nothing is brought back."""

    path: Path
    outputs: dict[str, Array]
    scale: tuple[float, float] = (1.0, 1.0)
    height: int = 0
    width: int = 0


class Image(NamedTuple):
    """``array``: one image as the artifact takes it, with N. The others as in :class:`Seen`."""

    array: Array
    scale: tuple[float, float]
    height: int
    width: int


def run(
    artifact: Artifact, paths: Sequence[str | Path], engine: EngineName = "ort", threads: int = 0
) -> Iterator[Seen]:  # fmt: skip
    """The outputs of each image, one image at a time. Raises OtoyolError naming a file that is no image."""
    session = load_engine(engine, artifact, 1, threads)
    for path in map(Path, paths):
        image = prepare(path, artifact.metadata)
        found = [np.array(output) for output in session.run(image.array)]
        if not artifact.metadata.one_image:
            found = [output[0] for output in found]
        yield Seen(path, dict(zip(artifact.metadata.outputs, found, strict=True)), *image[1:])


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
        boxes = brought_back(outputs["boxes"], seen.scale, seen.height, seen.width)
        rows = zip(boxes.tolist(), outputs["labels"], outputs["scores"], strict=True)
        told["boxes"] = [{"class": name(int(label)), "score": float(score), "box": box} for box, label, score in rows]
    else:
        told["features"] = {key: list(value.shape) for key, value in outputs.items()}
    return told


def prepare(path: Path, metadata: Metadata) -> Image:
    """A file as ``image`` of one (:mod:`otoyol.deploy.metadata` says how). Raises OtoyolError naming it."""
    from PIL import Image as Pictures

    try:
        with Pictures.open(path) as picture:
            x = pixels(picture, metadata.channels, path.name)
    except unreadable_errors() as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise OtoyolError(f"image: cannot read {path} ({reason})") from None
    height, width = x.shape[-2:]
    size = Input(channels=metadata.channels, height=metadata.height, width=metadata.width)
    scale = (1.0, 1.0)
    if metadata.task == "detection":
        x, scale = fitted(x, metadata)
    else:
        x = covered(x, size, metadata.crop_share)
    return Image(laid_out(x, metadata)[None], scale, height, width)


def laid_out(x: torch.Tensor, metadata: Metadata) -> Array:
    """uint8 (1 or C, H, W) as the artifact takes one image; one channel is repeated."""
    x = x.expand(metadata.channels, -1, -1)
    found: Array = (x.permute(1, 2, 0).contiguous() if metadata.layout == "nhwc" else normalised(x, metadata)).numpy()
    return found


def normalised(x: torch.Tensor, metadata: Metadata) -> torch.Tensor:
    """uint8 (…, C, H, W) as the artifact's float32."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (metadata.mean, metadata.std))
    return (x.float() / 255 - mean) / std
