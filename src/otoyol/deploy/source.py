"""From a design, or a checkpoint, to a network with its weights."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch

from otoyol.errors import SpecError
from otoyol.nn import Backbone, build
from otoyol.spec import Spec
from otoyol.weights import load, read
from otoyol.weights.names import Source

SEED = 0  # of weights as initialised, so that two exports of one design are equal


class Network(NamedTuple):
    """``source`` says where the weights come from; it is empty where they are as initialised."""

    model: Backbone
    spec: Spec
    source: str = ""


def network(spec: Spec | None, weights: str | Path | None = None, source: Source = "otoyol") -> Network:
    """The network of ``spec`` in evaluation mode, with the weights of a file where one is given.

    Our safetensors name their design, so ``spec`` may be None for them; torchvision's and timm's files (``source``) say
    nothing, and need it. Raises SpecError, WeightsError.
    """
    if weights is None:
        if spec is None:
            raise SpecError("export", "nothing", "a design, a checkpoint or a run")
        with torch.random.fork_rng():
            torch.manual_seed(SEED)
            return Network(build(spec).eval(), spec)
    path = Path(weights)
    if not path.is_file():
        raise SpecError("weights", str(weights), "a safetensors or torch file")
    found = read(path)
    spec = spec or found.spec
    if spec is None:
        raise SpecError("spec", "nothing", f"the design of {path.name}, which does not name its own")
    model = build(spec)
    load(model, found.tensors, source, of=found.spec)
    return Network(model.eval(), spec, f"{source}: {path.name}")
