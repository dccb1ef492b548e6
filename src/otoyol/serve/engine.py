"""ONNX Runtime behind the service: an artifact opened, checked against what it says of itself, and run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from otoyol.deploy.metadata import INPUT_NAME, Metadata
from otoyol.errors import MissingExtraError, OtoyolError, SpecError

try:
    import onnxruntime
except ModuleNotFoundError as error:
    raise MissingExtraError("onnxruntime", "deploy") from error

SERVED = ("classification", "detection")
TYPES = {"nchw": "tensor(float)", "nhwc": "tensor(uint8)"}


class Engine(NamedTuple):
    """A session and its artifact's metadata. ``name``: what the artifact is called in answers."""

    session: Any
    metadata: Metadata
    name: str

    def run(self, images: np.ndarray) -> list[np.ndarray]:
        """``images``: (N, …) as the metadata say. The outputs in the metadata's order."""
        outputs: list[np.ndarray] = self.session.run(list(self.metadata.outputs), {INPUT_NAME: images})
        return outputs

    def warm_up(self, max_batch: int) -> None:
        """Every size of batch once: the first run of a shape plans and allocates. Raises OtoyolError where the
        artifact does not run, or its outputs are not what it says."""
        for batch in range(1, max_batch + 1):
            try:
                outputs = self.run(blank(self.metadata, batch))
            except Exception as error:  # onnxruntime's exceptions have no common base
                raise OtoyolError(f"artifact: {self.name} does not run on {batch} images: {_line(error)}") from None
            if self.metadata.task == "classification" and (outputs[0].ndim != 2 or len(outputs[0]) != batch):
                shape = "×".join(map(str, outputs[0].shape))
                raise SpecError("artifact.outputs", shape, f"logits of {batch} images: ({batch}, classes)")


def blank(metadata: Metadata, batch: int) -> np.ndarray:
    """Images of zeros."""
    return np.zeros(metadata.image_shape(batch), dtype=np.float32 if metadata.layout == "nchw" else np.uint8)


def open_engine(path: str | os.PathLike[str], threads: int) -> Engine:
    """The engine for an ONNX artifact that ``otoyol export`` has written, ``threads`` within a run.

    Raises SpecError for a file that is none, cannot be served or contradicts its metadata.
    """
    path = Path(path)
    if not path.is_file():
        raise SpecError("artifact", str(path), "an ONNX file")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    # Threads that spin while they wait take the cores from decoding, and from the event loop.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no common base
        raise SpecError("artifact", path.name, f"an ONNX file that ONNX Runtime loads ({_line(error)})") from None
    metadata = Metadata.from_props(session.get_modelmeta().custom_metadata_map)
    _check(session, metadata)
    return Engine(session, metadata, path.stem)


def _check(session: Any, metadata: Metadata) -> None:
    """The graph's own inputs and outputs are those that the metadata promise."""
    if metadata.task not in SERVED:
        raise SpecError("artifact.task", metadata.task, " or ".join(SERVED))
    if metadata.task == "classification" and metadata.outputs != ("logits",):
        raise SpecError("artifact.outputs", ", ".join(metadata.outputs), "logits: a network with a classifier")
    inputs = {value.name: (value.type, len(value.shape)) for value in session.get_inputs()}
    wanted = {INPUT_NAME: (TYPES[metadata.layout], 4)}
    if inputs != wanted:
        raise SpecError("artifact.inputs", str(inputs), str(wanted))
    outputs = {value.name: len(value.shape) for value in session.get_outputs()}
    if missing := [name for name in metadata.outputs if name not in outputs]:
        raise SpecError("artifact.outputs", ", ".join(outputs), f"{missing[0]} among them")
    classes = session.get_outputs()[0].shape[-1]
    if metadata.task == "classification" and metadata.classes and classes != len(metadata.classes):
        raise SpecError("artifact.classes", f"{len(metadata.classes)} names", f"{classes}, one for each logit")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
