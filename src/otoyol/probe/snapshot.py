"""All figures of a network on one batch."""

from __future__ import annotations

from torch import Tensor

from otoyol.nn import Backbone
from otoyol.probe.gradient import run_pass
from otoyol.probe.jacobian import singular_values
from otoyol.probe.layers import layer_figures
from otoyol.probe.place import copied, places, plain, same_chance
from otoyol.probe.result import Snapshot
from otoyol.probe.signal import block_figures


def snapshot(
    model: Backbone, images: Tensor, labels: Tensor, *, step: int = 0, jacobian_steps: int = 0, seed: int = 0
) -> Snapshot:
    """Measure ``model`` on a batch (N, C, H, W) with labels (N,) in the mode it is in.

    The model, its buffers, gradients and mode and the random state are as before, afterwards: copies are measured.
    Gradients are those of the model's own backward, lean or not; single blocks are then taken apart under plain
    autograd. ``jacobian_steps``: Golub-Kahan steps a block, 0 for no Jacobians. ``step`` is written down.
    """
    mode = "train" if model.training else "eval"
    with same_chance(images.device):
        passed = run_pass(copied(model), images, labels, step)
        if passed.problem is not None:
            return Snapshot(step, len(images), mode, None, (), (), (), passed.problem)
        taken = plain(model)
        norms, dead = layer_figures(taken, images)
        blocks = []
        for index, (place, passage) in enumerate(zip(places(taken), passed.passages, strict=True)):
            jacobian = None
            if jacobian_steps:
                jacobian = singular_values(place.module, passage.x, jacobian_steps, seed + index, passage.chance)
            blocks.append(block_figures(place, passage, jacobian))
    return Snapshot(step, len(images), mode, passed.loss, tuple(blocks), norms, dead)
