"""ONNX Runtime on the CPU. Its own profiler times every node while the network runs, caches as they are in earnest."""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from otoyol.errors import MissingExtraError, SpecError
from otoyol.measure.engine import RULES
from otoyol.measure.fused import FusedOp, Group, fuse
from otoyol.ops import lower
from otoyol.spec import Spec

try:
    import onnxruntime

    from otoyol.measure.onnx_graph import onnx_model
except ModuleNotFoundError as error:
    raise MissingExtraError(error.name or "onnxruntime", "ort") from error

ShapeKey = tuple[str, int, int, int]


class OnnxRuntime:
    """The CPU provider at its default optimisation level, ``threads`` within operators."""

    name = "ort"
    rules = RULES["ort"]

    def __init__(self, threads: int, batch: int, dtype: str) -> None:
        if dtype != "float32":
            raise SpecError("dtype", dtype, "float32 for the engine ort")
        self.threads, self.batch, self.dtype = threads, batch, dtype

    @property
    def versions(self) -> Mapping[str, str]:
        return {"onnxruntime": onnxruntime.__version__}

    def load(self, spec: Spec) -> OrtNetwork:
        return OrtNetwork(spec, self)


class OrtNetwork:
    """One session, profiled until :meth:`traces`."""

    def __init__(self, spec: Spec, engine: OnnxRuntime) -> None:
        model, self._owner = onnx_model(spec, engine.batch)
        self._groups = fuse(lower(spec).ops, engine.rules)
        self._folder = tempfile.TemporaryDirectory(prefix="otoyol-")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = engine.threads, 1
        options.log_severity_level = 3
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(self._folder.name) / "profile")
        # Two networks that spin for work would take the cores from each other between their runs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0" if engine.threads == 1 else "1")
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        image = spec.input
        shape = (engine.batch, image.channels, image.height, image.width)
        self._feed = {"image": np.random.default_rng(1).random(shape, dtype=np.float32)}
        self._traces: list[Sequence[float]] | None = None
        self._run()  # the first run allocates; it is dropped from the profile too

    def _run(self) -> float:
        began = time.perf_counter()
        self._session.run(None, self._feed)
        return time.perf_counter() - began

    def traced(self) -> float:
        return self._run()

    def traces(self) -> list[Sequence[float]]:
        if self._traces is None:
            events = json.loads(Path(self._session.end_profiling()).read_text(encoding="utf-8"))
            self._folder.cleanup()
            self._traces = [attribute(run, self._groups, self._owner) for run in runs(events)[1:]]
        return self._traces

    def whole(self) -> float:
        self.traces()  # ends the profile
        return self._run()


def runs(events: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The profile's node events, run by run; ``model_run`` closes each."""
    found: list[list[Mapping[str, Any]]] = []
    here: list[Mapping[str, Any]] = []
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            here.append(event)
        elif event.get("name") == "model_run":
            found.append(here)
            here = []
    return found


def attribute(run: Sequence[Mapping[str, Any]], groups: Sequence[Group], owner: Mapping[str, int]) -> list[float]:
    """Seconds of each fused operator. A node belongs to the group of the operator that it was made from; reorders are
    matched by shape, and what matches none (a reorder that our rules do not foresee) goes to the group before it."""
    group_of = {member: g for g, group in enumerate(groups) if not _reorders(group.op) for member in group.members}
    waiting: dict[ShapeKey, list[int]] = defaultdict(list)
    for g, group in enumerate(groups):
        if _reorders(group.op):
            waiting[group.op.kind, group.op.c_in, group.op.h_in, group.op.w_in].append(g)
    seconds, shared, current = [0.0] * len(groups), Counter[ShapeKey](), 0
    for event in run:
        took = event["dur"] * 1e-6
        name = event["name"].removesuffix("_kernel_time").removesuffix("_nchwc")
        key = _reorder_key(event)
        if name in owner and owner[name] in group_of:
            current = group_of[owner[name]]
            seconds[current] += took
        elif key is not None and key in waiting:
            shared[key] += took
        else:
            seconds[current] += took
    for key, took in shared.items():
        for g in waiting[key]:
            seconds[g] = took / len(waiting[key])
    return seconds


def _reorders(op: FusedOp) -> bool:
    return op.kind.startswith("reorder")


def _reorder_key(event: Mapping[str, Any]) -> ShapeKey | None:
    """Direction, channels, height and width of a reorder event."""
    kind = event["args"].get("op_name")
    if kind not in ("ReorderInput", "ReorderOutput"):
        return None
    side = "input_type_shape" if kind == "ReorderInput" else "output_type_shape"
    shape = next(iter(event["args"][side][0].values()))
    return ("reorder_in" if kind == "ReorderInput" else "reorder_out", *shape[1:4])
