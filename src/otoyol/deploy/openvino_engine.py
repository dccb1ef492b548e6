"""OpenVINO on the CPU."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from otoyol.errors import MissingExtraError, OtoyolError

try:
    import openvino
except ModuleNotFoundError as error:
    raise MissingExtraError("openvino", "deploy") from error

Array = np.ndarray[Any, Any]


class OpenVinoSession:
    """One artifact, compiled for one shape, one image or batch at a time, in float32 where the file is float32.

    Reading a file and compiling it call nothing but the runtime, which has no telemetry; the tools that do are not
    used.
    """

    def __init__(self, model: str | os.PathLike[str] | bytes, shape: Sequence[int], threads: int = 0) -> None:
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1,
        }  # fmt: skip
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads
        try:
            core = openvino.Core()
            read = core.read_model(model if isinstance(model, bytes) else os.fspath(model))
            read.reshape({0: list(shape)})
            compiled = core.compile_model(read, "CPU", settings)
        except Exception as error:  # OpenVINO's errors are RuntimeErrors and others
            raise OtoyolError(f"openvino cannot load the model: {str(error)[:300]}") from error
        self._request = compiled.create_infer_request()

    def run(self, image: Array) -> Sequence[Array]:
        self._request.infer({0: image}, share_inputs=True)
        return [output.data.copy() for output in self._request.output_tensors]
