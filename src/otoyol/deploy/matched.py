"""Whether two runs of a detector find the same boxes, in whatever order: every box of each in the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from otoyol.deploy.metadata import Metadata
from otoyol.errors import OtoyolError

SCORE_TOLERANCE = 1e-3
BOX_TOLERANCE = 1e-3  # of the image's longer side
LEAST = 0.5  # of the boxes have to be found: the last few of a limited number may be others, but not most

Array = np.ndarray[Any, Any]


def opened(proto: onnx.ModelProto) -> bytes:
    """A detector's graph with the score threshold at 0, so that there is something to compare. Raises OtoyolError."""
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    found = [tensor for tensor in copy.graph.initializer if tensor.name == "network.score"]
    if not found:
        raise OtoyolError("detector: the score threshold is not in the graph")
    found[0].CopyFrom(numpy_helper.from_array(np.zeros((), dtype=np.float32), found[0].name))
    return bytes(copy.SerializeToString())


def reach(metadata: Metadata) -> float:
    """How far a corner may be from another that is the same, in pixels of the file's image."""
    return BOX_TOLERANCE * max(metadata.height, metadata.width)


def matched_error(theirs: Sequence[Array], ours: Sequence[Array], pixels: float) -> float:
    """The largest difference of scores between boxes that match: equal labels, corners within ``pixels``.

    ``theirs``, ``ours``: boxes (D, 4), labels (D,), scores (D,). Every box of each has to be found in the other, and
    both have to have as many. Equal scores may change places, and the last few of a limited number of boxes may be
    others; where fewer than half of them match, or there are none, nothing has been compared. Raises OtoyolError.
    """
    if not all(np.isfinite(part).all() for part in (*theirs, *ours)):
        raise OtoyolError("detector: an output is not finite")
    error, pairs = _found(theirs, ours, pixels, "the graph misses a box of the reference")
    back, _ = _found(ours, theirs, pixels, "the graph has a box that the reference has not")
    count = len(theirs[2])
    if len(ours[2]) != count:
        raise OtoyolError(f"detector: the graph has {len(ours[2])} boxes, the reference {count}")
    if not count or pairs < LEAST * count:
        raise OtoyolError(f"detector: of {count} boxes {pairs} could be compared; that shows nothing")
    return max(error, back)


def _found(theirs: Sequence[Array], ours: Sequence[Array], pixels: float, told: str) -> tuple[float, int]:
    """The largest difference to the best match of each of ``theirs``, and how many have one."""
    boxes, labels, scores = theirs
    last = scores.min(initial=np.inf) + SCORE_TOLERANCE
    worst, pairs = 0.0, 0
    for box, label, score in zip(boxes, labels, scores, strict=True):
        same = (ours[1] == label) & (np.abs(ours[0] - box).max(1, initial=0.0) <= pixels)
        error = float(np.abs(ours[2][same] - score).min(initial=np.inf))
        if error <= SCORE_TOLERANCE:
            worst, pairs = max(worst, error), pairs + 1
        elif score > last:
            raise OtoyolError(f"detector: {told} (label {label}, score {score:.3f})")
    return worst, pairs
