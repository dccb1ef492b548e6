"""The torch module of an artifact: its design folded, with the weights that stand in the file."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from onnx import ModelProto, numpy_helper

from otoyol.deploy.fold import fold
from otoyol.deploy.metadata import Metadata
from otoyol.deploy.wrap import Deployed, Mean
from otoyol.errors import OtoyolError
from otoyol.nn import Backbone, build


def has_twin(metadata: Metadata) -> bool:
    """Whether an artifact can be a torch module again: float32, and nothing but a backbone."""
    return metadata.precision == "fp32" and metadata.task != "detection"


def twin(model: ModelProto, metadata: Metadata) -> Deployed:
    """The module that gave the graph, in evaluation mode: the same images in, the same outputs.

    The exporter names weights by their paths, so that they find their places again. Raises OtoyolError where one does
    not, and for an artifact that has no twin (:func:`has_twin`).
    """
    if not has_twin(metadata):
        raise OtoyolError(f"artifact: {metadata.task} in {metadata.precision} has no torch module")
    spec = metadata.design
    taps = [name.upper() for name in metadata.outputs] if metadata.outputs[0] not in ("logits", "features") else []
    arrays = {tensor.name: tensor for tensor in model.graph.initializer}
    # A fresh network's gains are all positive; which norms stayed in the file's is told by the weights that it has.
    found = {name.removeprefix("network.").removesuffix(".weight") for name in (*arrays, *metadata.aliases)}
    folded = fold(build(spec), taps, found)
    if spec.head.pool == "avg":
        cast(Backbone, folded).head.pool = Mean()
    made = Deployed(folded, taps, metadata.layout, metadata.mean, metadata.std)
    state: dict[str, torch.Tensor] = {}
    for name, value in wanted(made).items():
        alias = metadata.aliases.get(name, name)
        if alias and alias not in arrays:
            raise OtoyolError(f"artifact: the weights {name} are not in the file")
        array = numpy_helper.to_array(arrays[alias]).copy() if alias else np.zeros(value.shape, dtype=np.float32)
        state[name] = torch.from_numpy(array)
        if state[name].shape != value.shape:
            raise OtoyolError(f"artifact: {name} is {list(array.shape)}, its design says {list(value.shape)}")
    made.load_state_dict(state, strict=False)
    return made.eval()


def wanted(made: Deployed) -> dict[str, torch.Tensor]:
    """The weights that the outputs depend on, by path: the parameters of every layer that a forward pass calls."""
    called: dict[str, torch.Tensor] = {}
    hooks = []
    for path, module in made.named_modules():
        own = {f"{path}.{name}": value.detach() for name, value in module.named_parameters(recurse=False)}
        if own:
            hooks.append(module.register_forward_pre_hook(lambda *_, own=own: called.update(own)))
    design = made.design
    shape = (1, design.input.channels, design.input.height, design.input.width)
    with torch.inference_mode():
        image = (
            torch.zeros(shape)
            if made.prepare is None
            else torch.zeros((shape[0], *shape[2:], shape[1]), dtype=torch.uint8)
        )
        made(image)
    for hook in hooks:
        hook.remove()
    return called


def aliases(made: Deployed, model: ModelProto) -> dict[str, str]:
    """Where the exporter has put those of ``made``'s weights that it keeps under no name of their own: it shares one
    tensor among equals and leaves out biases of zero. Raises OtoyolError where a weight is nowhere."""
    arrays = {tensor.name: tensor for tensor in model.graph.initializer}
    by_shape: dict[tuple[int, ...], list[str]] = {}
    for name, tensor in arrays.items():
        by_shape.setdefault(tuple(tensor.dims), []).append(name)
    found: dict[str, str] = {}
    for name, value in wanted(made).items():
        if name in arrays:
            continue
        same = (
            n for n in by_shape.get(tuple(value.shape), ()) if np.array_equal(numpy_helper.to_array(arrays[n]), value)
        )
        alias = next(same, None)
        if alias is None and value.any():
            raise OtoyolError(f"export: the weights {name} are not in the graph")
        found[name] = alias or ""
    return found
