"""Whole detectors' checkpoints: torchvision's names outside the backbone are ours, inside it they are renamed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from otoyol.errors import WeightsError
from otoyol.weights import export, load
from otoyol.weights.files import read
from otoyol.weights.messages import some
from otoyol.weights.names import Source

BODY = "backbone.body."


def load_detector(
    model: nn.Module, state_dict: Mapping[str, Any] | str | os.PathLike[str], source: Source = "otoyol"
) -> None:
    """Load a detector's checkpoint, torchvision's or our own, into one made by :func:`build_detector`.

    Every key must be accounted for. The detectors' labels count from 1 with both. Raises WeightsError; the model is
    then as it was.
    """
    tensors = read(state_dict).tensors
    before = {key: value.clone() for key, value in model.state_dict().items()}
    outside = {key: value for key, value in tensors.items() if not key.startswith(BODY)}
    try:
        try:
            found = model.load_state_dict(outside, strict=False)
        except RuntimeError as error:  # shapes
            raise WeightsError(" ".join(str(error).split())) from None
        missing = [key for key in found.missing_keys if not key.startswith(BODY)]
        if missing or found.unexpected_keys:
            lacks = f"the checkpoint lacks {some(missing)}" if missing else ""
            more = f"it holds {some(found.unexpected_keys)}, which the model has not" if found.unexpected_keys else ""
            raise WeightsError("; ".join(part for part in (lacks, more) if part))
        load(model.get_submodule(BODY[:-1]), tensors, source, prefix=BODY)
    except WeightsError:
        model.load_state_dict(before)
        raise


def export_detector(model: nn.Module, target: Source = "torchvision") -> dict[str, Tensor]:
    """The detector's state dict under the target's keys; tensors are shared.

    Raises WeightsError where ``target`` has no names for the backbone.
    """
    body = {f"{BODY}{key}": value for key, value in export(model.get_submodule(BODY[:-1]), target).items()}
    return body | {key: value for key, value in model.state_dict().items() if not key.startswith(BODY)}
