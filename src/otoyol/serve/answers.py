"""What is answered: classes with probabilities, or boxes; as models for the OpenAPI document and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, Field

from otoyol.deploy.fitted import brought_back
from otoyol.serve.prepare import Prepared


class ClassScore(BaseModel):
    """One class. ``index``: from 0. ``label``: its name; the index as text where the artifact names none."""

    index: int
    label: str
    probability: float = Field(ge=0.0, le=1.0)


class Classes(BaseModel):
    """The most probable classes, best first."""

    model: str
    classes: list[ClassScore]


class Box(BaseModel):
    """One object. ``box``: x1, y1, x2, y2 in pixels of the image that was sent."""

    index: int
    label: str
    score: float = Field(ge=0.0, le=1.0)
    box: list[float] = Field(min_length=4, max_length=4)


class Boxes(BaseModel):
    """The objects that were found, best first. ``width``, ``height``: of the image that was sent."""

    model: str
    width: int
    height: int
    boxes: list[Box]


class Fault(BaseModel):
    """Which field, what was given, what is allowed; the same as one sentence."""

    field: str
    given: str | int | float
    allowed: str
    message: str


class Problem(BaseModel):
    """Why there is no answer."""

    error: Fault


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax along the last axis, in float64."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    found: np.ndarray = shifted / shifted.sum(axis=-1, keepdims=True)
    return found


def classes_json(model: str, logits: np.ndarray, names: Sequence[str], top: int) -> bytes:
    """:class:`Classes` of one image's logits, (classes,)."""
    scores = probabilities(logits)
    best = np.argsort(-scores, kind="stable")[:top].tolist()
    rows = [{"index": i, "label": _label(names, i), "probability": float(scores[i])} for i in best]
    return json.dumps({"model": model, "classes": rows}, ensure_ascii=False).encode()


def boxes_json(
    model: str, found: Sequence[np.ndarray], names: Sequence[str], image: Prepared, min_score: float
) -> bytes:
    """:class:`Boxes` of one image's boxes (D, 4), labels (D,) and scores (D,), best first."""
    boxes, labels, scores = found
    placed = brought_back(boxes, image.scale, image.height, image.width)
    rows = [
        {"index": int(label), "label": _label(names, int(label)), "score": float(score), "box": box}
        for box, label, score in zip(placed.tolist(), labels, scores, strict=True)
        if score >= min_score
    ]
    page = {"model": model, "width": image.width, "height": image.height, "boxes": rows}
    return json.dumps(page, ensure_ascii=False).encode()


def _label(names: Sequence[str], index: int) -> str:
    return names[index] if index < len(names) else str(index)
