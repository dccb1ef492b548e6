"""ONNX Runtime on the CPU."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from otoyol.deploy.metadata import Metadata
from otoyol.errors import MissingExtraError, OtoyolError

try:
    import onnxruntime
except ModuleNotFoundError as error:
    raise MissingExtraError("onnxruntime", "deploy") from error

Array = np.ndarray[Any, Any]


class OrtSession:
    """One artifact, loaded: every graph optimisation (or none), ``threads`` within operators (0: its own choice)."""

    def __init__(self, model: bytes | str | os.PathLike[str], threads: int = 0, optimise: bool = True) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        levels = onnxruntime.GraphOptimizationLevel
        options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimise else levels.ORT_DISABLE_ALL
        options.log_severity_level = 3
        # Threads that spin for work between runs would take the cores from whoever runs in turn with this session.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        try:
            self._session = onnxruntime.InferenceSession(
                model if isinstance(model, bytes) else os.fspath(model), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors have no public base
            raise OtoyolError(f"onnxruntime cannot load the model: {str(error)[:300]}") from error
        self._input = self._session.get_inputs()[0].name

    @property
    def metadata(self) -> Metadata:
        """Raises SpecError where the file is no artifact of ours."""
        return Metadata.from_props(self._session.get_modelmeta().custom_metadata_map)

    def run(self, image: Array) -> Sequence[Array]:
        found: Sequence[Array] = self._session.run(None, {self._input: image})
        return found
