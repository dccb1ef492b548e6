"""Build a design and hand a photograph's feature maps to whoever asks: python recipes/taps.py SPEC [PHOTOGRAPH].

A few seconds on one core. The weights are fresh, so the maps mean nothing yet; their shapes are what a detector sees.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import otoyol


def photograph(path: str | None) -> Image.Image:
    """The named picture, or the one of a temple that scikit-learn ships."""
    if path:
        return Image.open(path).convert("RGB")
    from sklearn.datasets import load_sample_image

    return Image.fromarray(load_sample_image("china.jpg"))


def main(name: str, path: str | None = None) -> None:
    spec = otoyol.load(name) if Path(name).suffix else otoyol.parse(name)
    torch.manual_seed(0)
    model = otoyol.nn.build(spec).eval()
    picture = photograph(path)
    resized = np.array(picture.resize((spec.input.width, spec.input.height)), dtype=np.float32) / 255
    images = torch.from_numpy(resized).permute(2, 0, 1)[None]
    with torch.inference_mode():
        taps, scores = model.forward_taps(images), model(images)
    print(f"photograph {picture.width}x{picture.height} → input {tuple(images.shape)}")
    for tap, described in zip(taps.items(), otoyol.lower(spec).taps, strict=True):
        key, maps = tap
        expected = (1, described.channels, described.height, described.width)
        if tuple(maps.shape) != expected or not bool(maps.isfinite().all()):
            raise SystemExit(f"{key}: got {tuple(maps.shape)}, described as {expected}")
        print(f"{key}  {tuple(maps.shape)}  stride {described.stride}  sees {described.receptive_field} pixels")
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"scores {tuple(scores.shape)}, highest {scores.max():.3f}; {parameters:,} parameters")


if __name__ == "__main__":
    main(*sys.argv[1:3])
