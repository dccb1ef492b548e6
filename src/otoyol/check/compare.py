"""against(design, "torchvision:resnet50"): the peer's weights in ours, and every figure side by side.

Our parameters and MACs are computed from the description; the peer's are counted on the living module.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from otoyol.check.image import photograph
from otoyol.check.peers import Peer, peer, randomise
from otoyol.check.result import Figure, Result
from otoyol.cost import count
from otoyol.errors import OtoyolError, WeightsError
from otoyol.nn import Backbone, FeatureBackbone, build
from otoyol.ops import lower
from otoyol.spec import Spec, parse
from otoyol.weights import load
from otoyol.weights.files import text_of
from otoyol.weights.load import spec_of_model
from otoyol.weights.names import layout, module_names

BOUNDS = {torch.float32: 1e-5, torch.float64: 1e-12}
_DTYPES = {"float32": torch.float32, "float64": torch.float64}


def against(
    design: Spec | str | Backbone | FeatureBackbone,
    other: str | nn.Module,
    image: str | os.PathLike[str] | None = None,
    dtype: str | torch.dtype = "float32",
    *,
    seed: int = 0,
) -> Result:
    """Compare a design with a network of torchvision or timm: parameters, MACs, outputs, taps, running statistics.

    ``other`` is ``torchvision:<name>``, ``timm:<name>``, or a living module of theirs (say, with dilations); named
    ones are freshly initialised. Norms are randomised, the peer's weights are loaded into ours, and both see the same
    photograph and its mirror image (``image``, or scikit-learn's sample) in eval and in training mode. Relative errors
    may be 1e-5 in float32 and 1e-12 in float64; counts must be equal. Neither argument is changed.

    Raises OtoyolError for an unknown peer, dtype or an unreadable image. Weights that do not fit are a finding:
    ``Result.problem``.
    """
    spec = parse(design) if isinstance(design, str) else design if isinstance(design, Spec) else spec_of_model(design)
    dtype = _dtype(dtype)
    x, image_name = photograph(spec.input, image, seed)
    x = x.to(dtype)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        there = _peer(other, spec)
        ours = build(spec) if isinstance(design, Spec | str) else copy.deepcopy(design)
    randomise(there.module, torch.Generator().manual_seed(seed))
    ours, theirs = ours.to(dtype), there.module.to(dtype)
    figures = [_count("params", count(spec).params, sum(parameter.numel() for parameter in theirs.parameters()))]
    about = (text_of(spec), there.name, str(dtype).removeprefix("torch."), image_name)
    try:
        load(ours, theirs.state_dict(), there.source, of=theirs)
    except WeightsError as error:
        return Result(*about, tuple(figures), str(error))
    notes = _notes(spec)
    figures += _compare(ours, theirs, there.source, x, BOUNDS[dtype], train=not notes)
    return Result(*about, tuple(figures), notes=tuple(notes))


def _dtype(dtype: str | torch.dtype) -> torch.dtype:
    found = _DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if found not in BOUNDS:
        raise OtoyolError(f"dtype: got {dtype}; allowed: {', '.join(_DTYPES)}")
    return found


def _peer(other: str | nn.Module, spec: Spec) -> Peer:
    if isinstance(other, str):
        return peer(other, spec)
    library = type(other).__module__.partition(".")[0]
    if library not in ("torchvision", "timm"):
        raise OtoyolError(f"against: got a {type(other).__name__}; allowed: a network of torchvision or timm")
    return Peer(f"{library}'s {type(other).__name__}", library, copy.deepcopy(other))  # type: ignore[arg-type]


def _notes(spec: Spec) -> list[str]:
    random = [name for name, rate in (("drop_path", spec.drop_path), ("head.dropout", spec.head.dropout)) if rate]
    return [f"training mode is not compared: {' and '.join(random)} make it random"] if random else []


class _Run(NamedTuple):
    output: Tensor | None
    taps: dict[str, Tensor]
    macs: int


def _compare(
    ours: Backbone | FeatureBackbone, theirs: nn.Module, source: Any, x: Tensor, bound: float, train: bool
) -> Iterator[Figure]:
    classifies = isinstance(ours, Backbone) and ours.spec.head.pool != "none"
    places = tap_modules(ours.spec, source)
    for mode in ("eval", "train") if train else ("eval",):
        here = _run(ours.train(mode == "train"), x, ours.forward_taps if not classifies else None, {})
        there = _run(theirs.train(mode == "train"), x, None, places)
        if mode == "eval":
            if classifies:  # a feature extractor has no head to count
                yield _count("macs", count(ours.spec).macs, there.macs // len(x))
            with torch.no_grad():
                taps = ours.forward_taps(x)
            for name, tap in taps.items():
                yield _close(f"{name} eval", tap, there.taps[name], bound)
        if here.output is not None and there.output is not None:
            yield _close(f"output {mode}", here.output, there.output, bound)
        if mode == "train":
            yield from _statistics(ours, theirs, source, bound)


def _run(module: nn.Module, x: Tensor, forward: Callable[[Tensor], Any] | None, places: dict[str, str]) -> _Run:
    taps: dict[str, Tensor] = {}
    with torch.no_grad(), _counting(module) as macs, _tapping(module, places, taps):
        output = (forward or module)(x.clone())
    return _Run(output if isinstance(output, Tensor) else None, taps, sum(macs))


@contextmanager
def _counting(module: nn.Module) -> Iterator[list[int]]:
    """MACs of convolutions and linear layers as they run: outputs × inputs that each one reads."""
    macs: list[int] = []

    def keep(layer: nn.Module, _: Any, output: Tensor) -> None:
        macs.append(output.numel() * layer.weight[0].numel())  # type: ignore[index]

    kinds = (nn.Conv2d, nn.Conv1d, nn.Linear)
    handles = [child.register_forward_hook(keep) for child in module.modules() if isinstance(child, kinds)]
    try:
        yield macs
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _tapping(module: nn.Module, places: dict[str, str], taps: dict[str, Tensor]) -> Iterator[None]:
    def keep(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(_module: nn.Module, _input: Any, output: Tensor) -> None:
            taps.setdefault(name, output.clone())

        return hook

    handles = [module.get_submodule(place).register_forward_hook(keep(name)) for name, place in places.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def tap_modules(spec: Spec, source: Any) -> dict[str, str]:
    """For each tap, the peer's module whose output it is."""
    lowered = lower(spec)
    names = module_names(spec, source)
    v2 = layout(spec) == "resnetv2"
    result = {}
    for tap in lowered.taps:
        op = lowered.ops[tap.op]
        if op.slot == "stem":
            stem = "relu" if source == "torchvision" else "act1"
            result[tap.name] = names[op.name] if v2 else stem
        elif op.slot in ("preact", "final"):  # timm's norms bring their activation
            result[tap.name] = names[op.name.replace(".act", ".norm")]
        else:
            result[tap.name] = f"stages.{op.stage}" if v2 else f"layer{op.stage + 1}"
    return result


def _statistics(ours: nn.Module, theirs: nn.Module, source: Any, bound: float) -> Iterator[Figure]:
    """Running statistics after one step in training mode, all norms at once."""
    here, there = dict(ours.named_buffers()), dict(theirs.named_buffers())
    for suffix in ("running_mean", "running_var"):
        pairs = [
            (here[f"{mine}.{suffix}"], there[f"{other}.{suffix}"])
            for mine, other in module_names(spec_of_model(ours), source).items()
            if f"{mine}.{suffix}" in here and f"{other}.{suffix}" in there
        ]
        if pairs:
            mine, other = (torch.cat([pair[i] for pair in pairs]) for i in (0, 1))
            yield _close(f"{suffix} train", mine, other, bound)


def _count(name: str, ours: int, theirs: int) -> Figure:
    return Figure(name, ours, theirs, abs(ours - theirs) / max(theirs, 1), 0.0)


def _close(name: str, ours: Tensor, theirs: Tensor, bound: float) -> Figure:
    if ours.shape != theirs.shape:
        return Figure(name, float("nan"), float("nan"), float("inf"), bound)
    size = theirs.abs().max().item()
    return Figure(name, ours.abs().max().item(), size, (ours - theirs).abs().max().item() / (size or 1.0), bound)
