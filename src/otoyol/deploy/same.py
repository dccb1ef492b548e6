"""Whether an artifact is an export of a network at hand: by what it says, and by what it puts out."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
from torch import nn

from otoyol.deploy.export_detector import check_detections
from otoyol.deploy.metadata import Metadata
from otoyol.deploy.ort import OrtSession
from otoyol.deploy.verify import agreement
from otoyol.deploy.wrap import Deployed
from otoyol.errors import OtoyolError, SpecError


def check_same(
    data: bytes, metadata: Metadata, model: nn.Module, *, classes: Sequence[str], mean: Sequence[float],
    std: Sequence[float], detector: str = "",
) -> None:  # fmt: skip
    """Hold the artifact ``data`` to ``model`` in evaluation mode, of the same design, and to what is known of it.

    Outputs may differ by as much as an export's may. Raises SpecError where they differ by more, where a name of a
    class, the normalisation or the detector is another, and for int8, which cannot be told from other weights.
    """
    if metadata.precision != "fp32":
        raise SpecError("artifact.precision", metadata.precision, "fp32, whose outputs can be held to the weights")
    names = metadata.classes[1:] if metadata.task == "detection" else metadata.classes  # without the background
    told: tuple[tuple[str, Sequence[object], Sequence[object]], ...] = (
        ("classes", names, classes), ("detector", metadata.detector, detector), ("mean", metadata.mean, mean),
        ("std", metadata.std, std),
    )  # fmt: skip
    for field, theirs, ours in told:
        if theirs and ours and list(theirs) != list(ours):  # what nobody has named contradicts nothing
            raise SpecError(f"artifact.{field}", _short(theirs), f"the network's, {_short(ours)}")
    try:
        if metadata.task == "detection":
            check_detections(onnx.load_model_from_string(data), metadata, model)
        else:
            taps = [name.upper() for name in metadata.outputs if name not in ("logits", "features")]
            module = Deployed(model, taps, metadata.layout, metadata.mean, metadata.std).eval()
            agreement(OrtSession(data).run, module, metadata)
    except SpecError:
        raise
    except OtoyolError as error:
        given = f"a file with other outputs ({str(error).removeprefix('export: ').removeprefix('detector: ')})"
        raise SpecError("artifact", given, "an export of the network with these weights") from None


def _short(value: Sequence[object]) -> str:
    text = value if isinstance(value, str) else ", ".join(map(str, value))
    return text if len(text) <= 80 else f"{text[:79]}…"
