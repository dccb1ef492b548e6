"""torch.compile. Nobody can look inside a compiled network, so its operators are compiled and timed one at a time, in
the order in which the network runs them; the whole network is compiled for whole runs."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from types import FunctionType

import torch
from torch import Tensor

from otoyol.errors import OtoyolError
from otoyol.measure.engine import RULES
from otoyol.measure.fused import FusedOp, fuse
from otoyol.measure.torch_eager import DTYPES, Call, Step, TorchEager, calls, program
from otoyol.ops import INPUT, Op, lower
from otoyol.spec import Spec


class TorchCompiled(TorchEager):
    """Inductor at its default mode: convolutions stay calls into oneDNN, what stands between them becomes one loop."""

    rules = RULES["compile"]

    def __init__(self, threads: int, batch: int, dtype: str) -> None:
        super().__init__(threads, batch, dtype)
        if not any(map(shutil.which, ("g++", "clang++", "c++"))):
            raise OtoyolError("torch.compile needs a C++ compiler, and there is none on the path")
        self.name = "compile"
        self.pieces: dict[FusedOp, tuple[Call, list[Tensor]]] = {}

    def load(self, spec: Spec) -> CompiledNetwork:  # type: ignore[override]
        return CompiledNetwork(spec, self)


class CompiledNetwork:
    """Compiled pieces for traces; pieces of equal shape are compiled once an engine."""

    def __init__(self, spec: Spec, engine: TorchCompiled) -> None:
        ops = lower(spec).ops
        groups = fuse(ops, engine.rules)
        torch.set_num_threads(engine.threads)
        made = calls(ops, spec, engine)
        for group, (steps, _) in zip(groups, program(ops, groups, made), strict=True):
            if group.op not in engine.pieces:
                engine.pieces[group.op] = _piece(steps, ops, engine)
        self._pieces = [engine.pieces[group.op] for group in groups]
        self._engine, self._image = engine, engine.image(spec)
        self._model = torch.compile(engine.module(spec), dynamic=False)
        self._traces: list[Sequence[float]] = []
        self.whole()

    def traced(self) -> float:
        torch.set_num_threads(self._engine.threads)
        with torch.inference_mode():
            seconds = []
            for call, inputs in self._pieces:
                began = time.perf_counter()
                call(*inputs)
                seconds.append(time.perf_counter() - began)
        self._traces.append(seconds)
        return sum(seconds)

    def traces(self) -> list[Sequence[float]]:
        return self._traces

    def whole(self) -> float:
        torch.set_num_threads(self._engine.threads)
        with torch.inference_mode():
            began = time.perf_counter()
            self._model(self._image)
            return time.perf_counter() - began


def _piece(steps: list[Step], ops: Sequence[Op], engine: TorchCompiled) -> tuple[Call, list[Tensor]]:
    """The steps as one compiled function of the tensors that come from outside, and such tensors."""
    inside = {index for index, _, _ in steps}
    outside = list(dict.fromkeys(i for _, _, inputs in steps for i in inputs if i not in inside))

    def run(*tensors: Tensor) -> Tensor:
        values = dict(zip(outside, tensors, strict=True))
        for index, call, inputs in steps:
            values[index] = call(*[values[i] for i in inputs])
        return values[steps[-1][0]]

    first = ops[steps[0][0]]
    shapes = [
        (first.c_in, first.h_in, first.w_in) if i == INPUT else (ops[i].c_out, ops[i].h_out, ops[i].w_out)
        for i in outside
    ]
    tensors = [torch.rand(engine.batch, *shape).to(DTYPES[engine.dtype]) for shape in shapes]
    if first.kind == "linear":  # behind the head's pool there are no positions
        tensors = [t.flatten(1) for t in tensors]
    # torch keeps what it compiled by code object and gives up after eight variants of one: each piece gets its own.
    own = FunctionType(run.__code__.replace(co_name="piece"), run.__globals__, "piece", None, run.__closure__)
    compiled = torch.compile(own, dynamic=False)
    with torch.inference_mode():
        compiled(*tensors)
    return compiled, tensors
