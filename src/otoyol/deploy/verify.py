"""An exported graph against the torch module it was made from, at several batches and sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from otoyol.deploy.metadata import Metadata
from otoyol.errors import OtoyolError

TOLERANCE = 1e-4  # of the largest value of an output

Array = np.ndarray[Any, Any]
Run = Callable[[Array], Sequence[Array]]


class Agreement(NamedTuple):
    """``error``: the largest difference of any output over that output's largest value; ``shapes`` were tried."""

    error: float
    shapes: tuple[tuple[int, ...], ...]


def shapes_to_try(metadata: Metadata) -> tuple[tuple[int, ...], ...]:
    """Batches 1, 2 and 3 at the artifact's size; where sizes vary, others beside, odd ones too."""
    h, w = metadata.height, metadata.width
    if metadata.one_image:
        return (metadata.image_shape(1),)
    found = [metadata.image_shape(batch) for batch in (1, 2, 3)]
    if metadata.dynamic_size:
        found += [
            metadata.image_shape(b, *size) for b, size in ((1, (h + 19, w)), (2, (h, w + 32)), (1, (2 * h - 3, w + 5)))
        ]
    return tuple(found)


def images(metadata: Metadata, shape: Sequence[int], seed: int = 0) -> Array:
    """Random images as the artifact takes them."""
    random = np.random.default_rng(seed)
    if metadata.layout == "nhwc":
        return random.integers(0, 256, shape, dtype=np.uint8)
    return random.standard_normal(shape, dtype=np.float32)


def difference(ours: Array, theirs: Array) -> float:
    """The largest difference over the largest value; infinite where shapes differ, something is not finite, or there is
    nothing to compare."""
    if ours.shape != theirs.shape or not theirs.size or not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return float("inf")
    scale = float(np.abs(theirs).max())
    return float(np.abs(ours - theirs).max()) / (scale if scale > 0 else 1.0)


def agreement(run: Run, module: nn.Module, metadata: Metadata) -> Agreement:
    """How far ``run`` is from ``module``, a float32 network that takes the same images.

    Raises OtoyolError beyond :data:`TOLERANCE`.
    """
    worst, shapes = 0.0, shapes_to_try(metadata)
    for seed, shape in enumerate(shapes):
        x = images(metadata, shape, seed)
        with torch.inference_mode():
            theirs = [y.numpy() for y in module(torch.from_numpy(x))]
        try:
            ours = run(x)
        except Exception as error:  # engines raise their own kinds
            raise OtoyolError(f"export: the graph does not run on {list(shape)}: {str(error)[:300]}") from error
        errors = [difference(a, b) for a, b in zip(ours, theirs, strict=True)]
        worst = max(worst, *errors)
        if worst > TOLERANCE:
            at = metadata.outputs[errors.index(max(errors))]
            raise OtoyolError(f"export: {at} differs by {max(errors):.1e} on {list(shape)}; at most {TOLERANCE:.0e}")
    return Agreement(worst, shapes)
