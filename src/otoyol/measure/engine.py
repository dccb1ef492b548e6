"""What measuring asks of an engine, and the engines by name. Each loads its library only when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, get_args

from otoyol.errors import SpecError
from otoyol.measure.fused import Rules
from otoyol.measure.layout import block_here
from otoyol.spec import Spec

EngineName = Literal["ort", "eager", "eager-nhwc", "compile"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)
# What each engine runs as one operator, known without loading it. ORT: ConvActivationFusion and
# ConvAddActivationFusion, then NchwcTransformer. Inductor: convolutions stay calls, what stands between becomes a loop.
RULES: dict[str, Rules] = {
    "ort": Rules(
        conv_norm=True,
        conv_acts=frozenset({"relu", "relu6", "leaky_relu", "sigmoid"}),
        conv_add=True,
        blocked=block_here(),
    ),
    "eager": Rules(),
    "eager-nhwc": Rules(),
    "compile": Rules(pointwise=True),
}
PACKAGES = {"ort": "onnxruntime", "eager": "torch", "eager-nhwc": "torch", "compile": "torch"}
MAX_THREADS = 1024
MAX_BATCH = 1 << 12


class Running(Protocol):
    """One network, loaded. Traced runs come first: after :meth:`traces` only :meth:`whole` may be called."""

    def traced(self) -> float:
        """Run once with every operator timed; the seconds it took."""
        ...

    def traces(self) -> list[Sequence[float]]:
        """For every traced run, the seconds of each fused operator in the order of ``fuse(ops, engine.rules)``."""
        ...

    def whole(self) -> float:
        """Seconds of one run as a user would run it."""
        ...


class Engine(Protocol):
    """Runs networks with fixed threads, batch and dtype. ``versions``: of the libraries that the timings depend on."""

    name: str
    threads: int
    batch: int
    dtype: str
    rules: Rules

    @property
    def versions(self) -> Mapping[str, str]: ...

    def load(self, spec: Spec) -> Running:
        """The network of ``spec``, ready to run; its weights are of no consequence."""
        ...


def find_engine(name: str, *, threads: int = 1, batch: int = 1, dtype: str = "float32") -> Engine:
    """The engine of that name: ``ort`` (ONNX Runtime on the CPU), ``eager`` and ``eager-nhwc`` (torch, channels last),
    ``compile`` (torch.compile). Raises SpecError for what it cannot do, MissingExtraError where it is not installed."""
    for field, value, most in (("threads", threads, MAX_THREADS), ("batch", batch, MAX_BATCH)):
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise SpecError(field, value, f"a whole number from 1 to {most}")
    if name not in ENGINES:
        raise SpecError("engine", name, ", ".join(ENGINES))
    made: Any
    if name == "ort":
        from otoyol.measure.onnx_runtime import OnnxRuntime

        made = OnnxRuntime(threads, batch, dtype)
    elif name == "compile":
        from otoyol.measure.torch_compiled import TorchCompiled

        made = TorchCompiled(threads, batch, dtype)
    else:
        from otoyol.measure.torch_eager import TorchEager

        made = TorchEager(threads, batch, dtype, channels_last=name == "eager-nhwc")
    return made
