"""He et al. 2016 (1603.05027), Eqs. 4, 5 and 8, verified on a network's own stretches of unobstructed identity."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from otoyol.nn import Backbone
from otoyol.nn.layers import Scale
from otoyol.probe.gradient import Passage, run_pass
from otoyol.probe.place import Place, dot, norm, places, plain, same_chance, set_chance
from otoyol.probe.result import Stretch
from otoyol.probe.terms import branch_term


def stretches(model: Backbone, images: Tensor, labels: Tensor) -> tuple[Stretch, ...]:
    """Every longest run of blocks x' = λx + F(x), λ a constant, measured in float64 on a copy.

    F is computed by the blocks alone, without their additions, and the gradients at both ends by the whole network's
    backward, so that nothing is compared with itself. Empty where the pass is not finite.
    """
    with same_chance(images.device):
        twin = plain(model).double()
        passed = run_pass(twin, images.double(), labels)
        if passed.problem is not None:
            return ()
        pairs = list(zip(places(twin), passed.passages, strict=True))
        return tuple(_verified(run) for run in _runs(pairs))


def factor(place: Place) -> float | None:
    """λ of a block whose path from x to y is a multiplication by a constant and nothing else; otherwise None."""
    block = place.module
    if not block.joined or block.post is not None or block.gated:
        return None
    if block.shortcut is None:
        return 1.0
    steps = list(block.shortcut)
    if not all(isinstance(step, Scale) for step in steps):
        return 1.0 if place.audit.pure else None
    product = 1.0
    for step in steps:
        product *= float(step.factor)  # type: ignore[arg-type]
    return product


Pair = tuple[Place, Passage]


def _runs(pairs: Sequence[Pair]) -> list[list[Pair]]:
    runs: list[list[Pair]] = [[]]
    for pair in pairs:
        if factor(pair[0]) is None:
            runs.append([])
        else:
            runs[-1].append(pair)
    return [run for run in runs if run]


def _verified(run: list[Pair]) -> Stretch:
    start, end = run[0][1], run[-1][1]
    x = leaf = start.x.clone().requires_grad_()
    terms = torch.zeros_like(x)
    product = 1.0
    for place, passage in run:
        set_chance(x.device, passage.chance)
        branch, scale = branch_term(place.module, x), factor(place) or 0.0
        x, terms, product = scale * x + branch, scale * terms + branch, scale * product
    (through,) = torch.autograd.grad(terms, leaf, end.grad_y)
    forward = end.y - (product * start.x + terms.detach())
    direct = product * end.grad_y
    backward = start.grad_x - (direct + through)
    size = norm(start.grad_x)
    return Stretch(
        run[0][0].name, run[-1][0].name, len(run), product,
        norm(forward) / (norm(end.y) or 1.0), norm(backward) / (size or 1.0),
        dot(direct, start.grad_x) / size**2 if size else None,
    )  # fmt: skip
