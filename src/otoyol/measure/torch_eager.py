"""torch without a compiler: every operator is one call, timed where it stands in the network."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from otoyol.errors import MissingExtraError, SpecError
from otoyol.measure.engine import RULES
from otoyol.measure.fused import NOTHING, Group, fuse
from otoyol.ops import INPUT, Op, lower
from otoyol.ops.inplace import in_place
from otoyol.spec import Spec

try:
    import torch
except ModuleNotFoundError as error:
    raise MissingExtraError("torch", "torch") from error

from torch import Tensor

from otoyol.nn import build
from otoyol.nn.layers import Scale, has_layer, layer

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16, "float16": torch.float16}
Call = Callable[..., Tensor]


class TorchEager:
    """Evaluation without gradients; ``channels_last`` for weights and images alike."""

    rules = RULES["eager"]

    def __init__(self, threads: int, batch: int, dtype: str, channels_last: bool = False) -> None:
        if dtype not in DTYPES:
            raise SpecError("dtype", dtype, ", ".join(DTYPES))
        self.threads, self.batch, self.dtype = threads, batch, dtype
        self.name = "eager-nhwc" if channels_last else "eager"
        self.format = torch.channels_last if channels_last else torch.contiguous_format

    @property
    def versions(self) -> Mapping[str, str]:
        return {"torch": torch.__version__}

    def load(self, spec: Spec) -> EagerNetwork:
        return EagerNetwork(spec, self)

    def image(self, spec: Spec) -> Tensor:
        shape = (self.batch, spec.input.channels, spec.input.height, spec.input.width)
        return torch.rand(shape).to(DTYPES[self.dtype], memory_format=self.format)

    def module(self, spec: Spec) -> torch.nn.Module:
        return build(spec).eval().to(DTYPES[self.dtype]).to(memory_format=self.format)


class EagerNetwork:
    """The operators one by one for traces, the module for whole runs."""

    def __init__(self, spec: Spec, engine: TorchEager) -> None:
        ops = lower(spec).ops
        self._engine, self._image, self._model = engine, engine.image(spec), engine.module(spec)
        self._groups = fuse(ops, engine.rules)
        self._program = program(ops, self._groups, calls(ops, spec, engine))
        self._traces: list[Sequence[float]] = []
        torch.set_num_threads(engine.threads)
        self._walk()
        self._forward()

    @torch.inference_mode()
    def _walk(self) -> list[float]:
        """Run the program; every tensor goes when its last reader has run."""
        values: dict[int, Tensor] = {INPUT: self._image}
        seconds = []
        for steps, finished in self._program:
            began = time.perf_counter()
            for index, call, inputs in steps:
                values[index] = call(*[values[i] for i in inputs])
            seconds.append(time.perf_counter() - began)
            for index in finished:
                del values[index]
        return seconds

    @torch.inference_mode()
    def _forward(self) -> float:
        began = time.perf_counter()
        self._model(self._image)
        return time.perf_counter() - began

    def traced(self) -> float:
        torch.set_num_threads(self._engine.threads)
        self._traces.append(self._walk())
        return sum(self._traces[-1])

    def traces(self) -> list[Sequence[float]]:
        return self._traces

    def whole(self) -> float:
        torch.set_num_threads(self._engine.threads)
        return self._forward()


Step = tuple[int, Call, tuple[int, ...]]
Program = list[tuple[list[Step], list[int]]]


def program(ops: Sequence[Op], groups: Sequence[Group], made: Mapping[int, Call]) -> Program:
    """The groups' calls in order, each with the tensors that nobody reads afterwards."""

    def source(index: int) -> int:
        while index != INPUT and ops[index].kind in NOTHING:
            index = ops[index].inputs[0]
        return index

    steps = [[(i, made[i], tuple(source(s) for s in ops[i].inputs)) for i in group.members] for group in groups]
    last = {s: position for position, group in enumerate(steps) for _, _, inputs in group for s in inputs}
    finished: list[list[int]] = [[] for _ in steps]
    for index, position in last.items():
        finished[position].append(index)
    return list(zip(steps, finished, strict=True))


def calls(ops: Sequence[Op], spec: Spec, engine: TorchEager) -> dict[int, Call]:
    """One callable an operator: the module's own layer, or the expression that stands in the module."""
    marked = zip(ops, in_place(ops), strict=True)
    return {i: _call(op, over, spec, engine) for i, (op, over) in enumerate(marked) if op.kind not in NOTHING}


def _call(op: Op, overwrite: bool, spec: Spec, engine: TorchEager) -> Call:
    attends = op.slot == "attention"
    match op.kind:
        case "mean" | "max" if attends:
            return partial(torch.mean if op.kind == "mean" else torch.amax, dim=(2, 3), keepdim=True)
        case "channel_mean" | "channel_max":
            return partial(torch.mean if op.kind == "channel_mean" else torch.amax, dim=1, keepdim=True)
        case "cat":
            return lambda *x: torch.cat(x, 1)
        case "relu":
            return torch.relu_
        case "sigmoid":
            return torch.sigmoid
        case "add":
            return Tensor.add_ if overwrite else torch.add
        case "mul":
            return torch.mul
        case "complement":
            return lambda x: 1 - x
        case "scale":
            return Scale(spec.shortcut.scale if op.slot == "shortcut" else spec.shortcut.branch_scale)
    if not has_layer(op):
        raise SpecError("attention", op.kind, "an attention that Otoyol knows: what a caller supplies is not timed")
    made = layer(op, spec.norm, overwrite).eval().to(DTYPES[engine.dtype])
    if op.kind == "conv":
        made = made.to(memory_format=engine.format)
    if op.kind == "conv1d":
        return lambda x: made(x.flatten(1).unsqueeze(1)).squeeze(1)[:, :, None, None]
    return made
