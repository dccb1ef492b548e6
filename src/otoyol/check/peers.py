"""The other side of a check: torchvision's and timm's networks, freshly initialised, nothing downloaded."""

from __future__ import annotations

import difflib
from typing import NamedTuple

import torch
from torch import nn

from otoyol.errors import MissingExtraError, OtoyolError
from otoyol.spec import Spec
from otoyol.weights.names import Source

_TIMM_MODULES = ("resnet", "resnetv2")


class Peer(NamedTuple):
    """A network to compare with. ``source`` is the layout of its keys."""

    name: str
    source: Source
    module: nn.Module


def peer_names() -> dict[str, tuple[str, ...]]:
    """Names that :func:`peer` knows, by library; a library that is not installed has none."""
    return {"torchvision": _torchvision_names(), "timm": _timm_names()}


def peer(name: str, spec: Spec) -> Peer:
    """``torchvision:resnet50`` or ``timm:resnetv2_50`` with the classes and image channels of ``spec``.

    Raises OtoyolError for a name that is no residual network of that library, MissingExtraError where the library
    is not installed.
    """
    library, _, model = name.partition(":")
    if library == "torchvision":
        known = _torchvision_names(required=True)
    elif library == "timm":
        known = _timm_names(required=True)
    else:
        raise OtoyolError(f"against: got {name[:80]!r}; allowed: torchvision:<name> or timm:<name>")
    if model not in known:
        near = difflib.get_close_matches(model[:64], known, 3) or list(known[:3])
        raise OtoyolError(
            f"against: got {name[:80]!r}; allowed: a residual network of {library} such as {', '.join(near)}"
        )
    if library == "torchvision":
        return Peer(name, "torchvision", _torchvision(model, spec))
    import timm

    module = timm.create_model(model, pretrained=False, num_classes=spec.head.classes, in_chans=spec.input.channels)
    return Peer(name, "timm", module)


def randomise(module: nn.Module, generator: torch.Generator) -> None:
    """Give every norm random gains, biases and running statistics: at their initial values they hide errors."""
    for child in module.modules():
        tensors = dict(child.named_parameters(recurse=False)) | dict(child.named_buffers(recurse=False))
        if "running_var" in tensors or isinstance(child, nn.GroupNorm):
            for name, low, high in (
                ("weight", 0.5, 1.0), ("bias", -0.2, 0.2), ("running_mean", -0.2, 0.2), ("running_var", 0.5, 1.5),
            ):  # fmt: skip
                if tensors.get(name) is not None:
                    values = torch.rand(tensors[name].shape, generator=generator, dtype=torch.float64)
                    tensors[name].data.copy_(low + (high - low) * values)


def _torchvision(model: str, spec: Spec) -> nn.Module:
    import torchvision

    module = torchvision.models.get_model(model, weights=None, num_classes=max(1, spec.head.classes))
    if not spec.head.classes:
        module.fc = nn.Identity()
    return module


def _torchvision_names(required: bool = False) -> tuple[str, ...]:
    try:
        from torchvision import models
    except ModuleNotFoundError:
        if required:
            raise MissingExtraError("torchvision", "torch") from None
        return ()
    return tuple(
        name
        for name in models.list_models(module=models)
        if models.get_model_builder(name).__module__ == "torchvision.models.resnet"
    )


def _timm_names(required: bool = False) -> tuple[str, ...]:
    try:
        import timm
    except ModuleNotFoundError:
        if required:
            raise MissingExtraError("timm", "timm") from None
        return ()
    return tuple(name for module in _TIMM_MODULES for name in timm.list_models(module=module))
