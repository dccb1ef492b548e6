"""One design, probed before and after a short training on real images."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from otoyol.data import Images, batches, load
from otoyol.data.batches import order
from otoyol.draw.labels import spec_name
from otoyol.errors import OtoyolError, SpecError, TrainingError
from otoyol.nn import Backbone, build
from otoyol.probe.gradient import run_pass
from otoyol.probe.identities import stretches
from otoyol.probe.lesion import lesion_study
from otoyol.probe.place import copied, same_chance
from otoyol.probe.result import Problem, Run
from otoyol.probe.snapshot import snapshot
from otoyol.spec import Spec, parse
from otoyol.spec.text import any_text
from otoyol.train import train_steps

OnError = Literal["stop", "skip"]
IDENTITY_IMAGES = 8  # float64 costs twice: a few images verify an identity as well as many


class Source(NamedTuple):
    """What runs read: the images for training, those for the lesion study, and what to call them."""

    name: str
    train: Images
    test: Images


def open_source(data: str, spec: Spec, on_error: OnError = "stop") -> Source:
    """``digits`` or a folder, fitted to the design's input (:func:`otoyol.data.load`)."""
    train, test = (load(data, spec.input, split, unreadable=on_error) for split in ("train", "test"))
    return Source(data, train, test)


def probe(
    spec: Spec | str, data: str | Source = "digits", *, steps: int = 100, batch: int = 32, seed: int = 0,
    lr: float = 0.05, jacobian_steps: int = 8, test_images: int = 0, lesion: bool = False,
    on_error: OnError = "stop",
) -> Run:  # fmt: skip
    """Build ``spec`` with ``seed``, measure it, train it for ``steps`` steps (SGD, momentum 0.9), measure it again.

    Both measurements are on the first training batch, in training mode; the order of the data follows from ``seed``
    alone, so that it is the same for every design. The identities are verified after training, on that batch's first
    images. ``test_images`` test images (0: none) are drawn by ``seed`` for the accuracy, with ``lesion`` also without
    each block.

    ``on_error``: with ``stop`` an unreadable image or a value that is not finite raises OtoyolError (file; block and
    step); with ``skip`` unreadable images are left out, and what is not finite ends this run as its ``problem``.
    Raises SpecError for a design without a loss to probe.
    """
    spec = parse(spec) if isinstance(spec, str) else spec
    if not 0 < lr < math.inf:
        raise SpecError("lr", lr, "a positive number")
    if batch < 2:
        raise SpecError("batch", batch, "2 or more, for batch norm has no variance over one image")
    given = open_source(data, spec, on_error) if isinstance(data, str) else data
    if spec.head.pool == "none" or spec.head.classes < len(given.train.classes):
        raise SpecError(
            "head", spec.head.classes, f"a pool and at least {len(given.train.classes)} classes, as in the data"
        )
    with same_chance(torch.device("cpu")):
        torch.manual_seed(seed)
        model = build(spec)
    images, labels = next(_several(given.train, batch, seed))
    found = [snapshot(model, images, labels, jacobian_steps=jacobian_steps, seed=seed)]
    losses: list[float] = []
    problem = found[0].problem
    if problem is None and steps:
        losses, problem = _trained(model, given, steps, batch, seed, lr)
    if problem is None and steps:
        found.append(snapshot(model, images, labels, step=steps, jacobian_steps=jacobian_steps, seed=seed))
        problem = found[-1].problem
    if problem is not None and on_error == "stop":
        raise OtoyolError(told(problem, spec_name(spec)))
    tested = None
    if test_images and problem is None:
        tested = lesion_study(model, _some(given.test, test_images, batch, seed), remove=lesion)
    few = images[:IDENTITY_IMAGES], labels[:IDENTITY_IMAGES]
    return Run(
        spec=any_text(spec), seed=seed, data=given.name, batch=batch, steps=len(losses), lr=lr, losses=tuple(losses),
        snapshots=tuple(found), stretches=() if problem else stretches(model, *few), lesion=tested, problem=problem,
        skipped=tuple(dict.fromkeys((*given.train.skipped, *given.test.skipped))),
    )  # fmt: skip


def told(problem: Problem, design: str) -> str:
    """The problem as the sentence of an error."""
    what = "NaN or infinity"
    place = {"input": "in the images", "loss": "in the loss"}.get(problem.what)
    place = place or f"in {problem.where} ({problem.what}s)"
    return f"{design}: {what} {place} after {problem.step} training steps"


def _trained(
    model: Backbone, given: Source, steps: int, batch: int, seed: int, lr: float
) -> tuple[list[float], Problem | None]:
    """Losses step by step; where one is not finite, which block it came from."""
    last: list[tuple[Tensor, Tensor]] = []

    def watched() -> Iterator[tuple[Tensor, Tensor]]:
        for pair in _several(given.train, batch, seed):
            last[:] = [pair]
            yield pair

    losses: list[float] = []
    try:
        for step in train_steps(model, watched(), steps=steps, lr=lr, seed=seed):
            losses.append(step.loss)
    except TrainingError:
        with same_chance(last[0][0].device):
            problem = run_pass(copied(model), *last[0], len(losses)).problem
        if problem is None:  # dropout drew otherwise this time: the step is known, the block is not
            problem = Problem("loss", "head", len(losses))
        return losses, problem
    return losses, None


def _several(images: Images, batch: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of at least two images: batch norm has no variance over one value, and skipping makes them short."""
    short = 0
    for pair in batches(images, batch, seed=seed):
        if len(pair[1]) > 1:
            short = 0
            yield pair
        elif (short := short + 1) > len(images) // batch:
            raise OtoyolError(f"data: no batch of {batch} holds two readable images")


def _some(images: Images, count: int, batch: int, seed: int) -> list[tuple[Tensor, Tensor]]:
    """The first ``count`` images of an order that ``seed`` decides, in batches; all of them where there are fewer."""
    count = min(count, len(images))
    chosen = order(len(images), seed, 0)[:count]
    sampler = [chosen[first : first + batch] for first in range(0, count, batch)]
    # Its own generator, or it draws from the global one.
    return list(DataLoader(images, batch_sampler=sampler, generator=torch.Generator()))
