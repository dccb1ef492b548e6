"""otoyol export: a folded network as one ONNX file that says what it is, checked before it appears."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

import torch
from torch import nn

from otoyol.deploy.fold import fold, remaining
from otoyol.deploy.metadata import MEAN, STD, Layout, Metadata, Task
from otoyol.deploy.onnx_file import OPSET, checked_bytes, to_onnx, versions
from otoyol.deploy.ort import OrtSession
from otoyol.deploy.twin import aliases, has_twin
from otoyol.deploy.verify import Agreement, agreement
from otoyol.deploy.wrap import Deployed, Mean
from otoyol.errors import SpecError
from otoyol.nn import Backbone
from otoyol.nn.trunk import Trunk
from otoyol.spec.files import check_place, write_bytes
from otoyol.weights.files import text_of


class Exported(NamedTuple):
    """``agreement`` with the module as it was given, unfolded; ``norms`` those that could not fold."""

    path: Path
    metadata: Metadata
    agreement: Agreement
    norms: tuple[str, ...]
    size_bytes: int


def export_onnx(
    model: Trunk, path: str | os.PathLike[str], *, taps: Sequence[str] = (), classes: Sequence[str] = (),
    layout: Layout = "nchw", dynamic_size: bool = False, mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None, crop_share: float = 1.0, source: str = "", opset: int = OPSET,
) -> Exported:  # fmt: skip
    """Write ``model``, a :func:`otoyol.nn.build` network, as an artifact (:mod:`otoyol.deploy.metadata`).

    ``taps``: the feature maps to put out (``C2`` …) in place of logits. ``classes``: names, one for each logit.
    ``crop_share``: told to whoever prepares images. ``layout`` ``nhwc`` takes uint8 images and normalises in the graph
    by ``mean`` and ``std``, by default ImageNet's. Batches of any size fit, and images of any with ``dynamic_size``.
    The file appears once ONNX's checker has passed it and ONNX Runtime agrees with the unfolded module to 1e-4 at
    several batches and sizes, or not at all.

    Raises SpecError for what cannot be exported, OtoyolError where a check fails or the file cannot be written.
    """
    check_place(path)
    spec = model.spec
    known = spec.head.classes
    if taps and (unknown := [tap for tap in taps if tap not in model.tap_channels]):
        raise SpecError("taps", unknown[0], f"some of {', '.join(model.tap_channels)}")
    if not taps and spec.head.pool == "none":
        raise SpecError("taps", "nothing", f"some of {', '.join(model.tap_channels)}: the design has no head")
    if classes and len(classes) != known:
        raise SpecError("classes", f"{len(classes)} names", f"{known}, one for each class")
    task: Task = "classification" if known and not taps else "features"
    outputs = [tap.lower() for tap in taps] or ["logits" if known else "features"]
    image = spec.input
    repeat = [i % 3 for i in range(image.channels)]
    metadata = Metadata(
        task=task, spec=text_of(spec), classes=tuple(classes) if not taps else (), outputs=tuple(outputs),
        layout=layout,
        channels=image.channels, height=image.height, width=image.width, dynamic_size=dynamic_size,
        mean=tuple(mean or (MEAN[i] for i in repeat)), std=tuple(std or (STD[i] for i in repeat)),
        crop_share=crop_share, opset=opset, versions=versions(), source=source,
    )  # fmt: skip
    model = model.eval()
    folded = fold(model, taps)
    if spec.head.pool == "avg":
        cast(Backbone, folded).head.pool = Mean()
    return write_artifact(path, metadata, model, folded, taps)


def write_artifact(
    path: str | os.PathLike[str], metadata: Metadata, plain: nn.Module, folded: nn.Module, taps: Sequence[str]
) -> Exported:
    """Export ``folded``, check it against ``plain``, write it."""
    original, module = (
        Deployed(network, taps, metadata.layout, metadata.mean, metadata.std).eval() for network in (plain, folded)
    )
    free: tuple[int, ...] = () if metadata.one_image else (0,)
    if metadata.dynamic_size:
        free += (2, 3) if metadata.layout == "nchw" else (1, 2)
    dtype = torch.float32 if metadata.layout == "nchw" else torch.uint8
    example = torch.zeros(metadata.image_shape(1 if metadata.one_image else 2), dtype=dtype)
    proto = to_onnx(module, example, metadata.outputs, free, metadata.opset)
    if has_twin(metadata):
        metadata = metadata.replaced(aliases=aliases(module, proto))
    data = checked_bytes(proto, metadata)
    found = agreement(OrtSession(data).run, original, metadata)
    write_bytes(path, data)
    return Exported(Path(path), metadata, found, tuple(remaining(folded)), len(data))
