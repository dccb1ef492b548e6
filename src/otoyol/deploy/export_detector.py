"""A whole detector as an artifact: backbone, pyramid, head, decoding and suppression in one graph."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from otoyol.deploy.detector import DenseDetections, dense
from otoyol.deploy.export import Exported
from otoyol.deploy.fitted import brought_back, fitted, size_of
from otoyol.deploy.fold import fold, remaining
from otoyol.deploy.matched import BOX_TOLERANCE, matched_error, opened, reach
from otoyol.deploy.metadata import DETECTIONS, Layout, Metadata
from otoyol.deploy.onnx_file import OPSET, checked_bytes, to_onnx, versions
from otoyol.deploy.ort import OrtSession
from otoyol.deploy.predict import laid_out
from otoyol.deploy.verify import Agreement, images
from otoyol.deploy.wrap import Deployed
from otoyol.errors import SpecError
from otoyol.spec import Spec
from otoyol.spec.files import check_place, write_bytes
from otoyol.weights.files import text_of

TRIED = 2  # random images

Array = np.ndarray[Any, Any]


def export_detector(
    model: nn.Module, path: str | os.PathLike[str], *, spec: Spec, classes: Sequence[str], mean: Sequence[float],
    std: Sequence[float], size: Sequence[int] | None = None, layout: Layout = "nchw", source: str = "",
    opset: int = OPSET, **described: str,
) -> Exported:  # fmt: skip
    """Write a RetinaNet or FCOS of :func:`otoyol.detect.build_detector` for images of its own ``size``.

    ``size``: (height, width), by default ``min_size`` × ``max_size`` of the detector; the input of ``spec``, its
    backbone's, says nothing about it. ``classes``: names of labels 1, 2, …; label 0 is torchvision's background.
    ``detector`` among the keywords: its description, as text. Before the file appears ONNX's checker has passed it,
    and with the score threshold at 0, so that there is something to compare, ONNX Runtime finds the same boxes as the
    unfolded torch module and no others: labels equal, scores to 1e-3, boxes to 1e-3 of the longer side. An image of
    twice the size, resized by the detector itself and by :func:`otoyol.deploy.fitted.fitted`, gives the same boxes too.

    Raises SpecError for another detector or size, OtoyolError where a check fails or the file cannot be written.
    """
    check_place(path)
    kinds = int(dense(model).head.classification_head.num_classes) - 1  # without the background
    if len(classes) != kinds:
        raise SpecError("classes", f"{len(classes)} names", f"{kinds}, one for each class but the background")
    height, width = size_of(model, size)
    metadata = Metadata(
        task="detection", spec=text_of(spec), classes=("background", *classes), outputs=DETECTIONS, layout=layout,
        channels=spec.input.channels, height=height, width=width, mean=tuple(mean), std=tuple(std), opset=opset,
        versions=versions(), source=source, **described,
    )  # fmt: skip
    folded = DenseDetections(fold(model.eval()), height, width)
    module = Deployed(folded, (), layout, metadata.mean, metadata.std).eval()
    proto = to_onnx(module, torch.from_numpy(images(metadata, metadata.image_shape(1))), DETECTIONS, (), opset)
    data = checked_bytes(proto, metadata)
    agreement = check_detections(proto, metadata, model)
    write_bytes(path, data)
    return Exported(Path(path), metadata, agreement, tuple(remaining(folded)), len(data))


def check_detections(proto: onnx.ModelProto, metadata: Metadata, model: nn.Module) -> Agreement:
    """How far a detector's graph is from the detector: from its module at the file's size, and from the detector itself
    on an image of another. Raises SpecError for another size than the detector's, OtoyolError where a box is missing.
    """
    height, width = size_of(dense(model), (metadata.height, metadata.width))
    plain = DenseDetections(model.eval(), height, width)
    original = Deployed(plain, (), metadata.layout, metadata.mean, metadata.std).eval()
    plain.score.zero_()
    session = OrtSession(opened(proto))
    errors = [_error(session, original, metadata, seed) for seed in range(TRIED)]
    errors.append(_own_error(session, model, metadata))
    shapes = [metadata.image_shape(1)] * TRIED + [metadata.image_shape(1, 2 * height, 2 * width)]
    return Agreement(max(errors), tuple(shapes))


def _error(session: OrtSession, module: nn.Module, metadata: Metadata, seed: int) -> float:
    """The largest difference of scores. Raises OtoyolError where a box is not found, in the file or in torch."""
    x = images(metadata, metadata.image_shape(1), seed)
    with torch.inference_mode():
        boxes, labels, scores = (y.numpy() for y in module(torch.from_numpy(x)))
    ours = session.run(x)
    return matched_error((boxes, labels, scores), ours, reach(metadata))


def _own_error(session: OrtSession, model: nn.Module, metadata: Metadata) -> float:
    """The same between the file and the detector itself, each resizing one larger image in its own way."""
    height, width = 2 * metadata.height, 2 * metadata.width
    # Halved, pixels become means of four neighbours: of multiples of 4 whole numbers, so that no rounding differs.
    picture = torch.from_numpy(np.random.default_rng(TRIED).integers(0, 64, (metadata.channels, height, width)) * 4)
    own: Any = copy.deepcopy(model)
    own.score_thresh = 0.0
    with torch.inference_mode():
        found = own([picture.float() / 255])[0]
    x, scale = fitted(picture.to(torch.uint8), metadata)
    boxes, labels, scores = session.run(laid_out(x, metadata)[None])
    theirs = [found[name].numpy() for name in DETECTIONS]
    ours = (brought_back(boxes, scale, height, width), labels, scores)
    return matched_error(theirs, ours, BOX_TOLERANCE * max(height, width))
