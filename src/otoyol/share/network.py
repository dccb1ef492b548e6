"""From a checked folder to its torch module."""

from __future__ import annotations

from typing import Any

from otoyol.errors import MissingExtraError, WeightsError
from otoyol.share.folder import WEIGHTS, Folder

try:
    import torch
except ModuleNotFoundError as error:
    raise MissingExtraError("torch", "torch") from error

from otoyol.nn import build
from otoyol.weights import load, read
from otoyol.weights.files import text_of


def network(folder: Folder) -> Any:
    """The folder's torch module, its weights loaded strictly, in evaluation mode. Raises SpecError, WeightsError."""
    checkpoint = read(folder.weights)
    if checkpoint.spec is None or text_of(checkpoint.spec) != text_of(folder.spec):
        raise WeightsError(f"{WEIGHTS} was saved from another design than spec.json says")
    with torch.random.fork_rng(devices=[]):  # weights are drawn only to be replaced
        if folder.about.task != "detection":
            model: Any = build(folder.spec)
            load(model, checkpoint.tensors, of=folder.spec)
            return model.eval()
        from otoyol.detect import Detector, build_detector, load_detector

        about = folder.about
        model = build_detector(folder.spec, Detector(**(about.detector or {})), classes=len(about.classes))
        load_detector(model, checkpoint.tensors)
        return model.eval()
