"""Scores of many designs: each is built from the same seed and shown the same images, until the time is up."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from otoyol.errors import SpecError
from otoyol.nn import build
from otoyol.proxy.scores import SCORES, Batch
from otoyol.spec import Spec


def batch_for(spec: Spec, source: str = "digits", images: int = 16, seed: int = 0) -> Batch:
    """The first batch of the source's training images as the design takes them, of all where there are fewer;
    ``random`` is normal noise."""
    if spec.head.classes < 2:
        raise SpecError("head.classes", spec.head.classes, "two classes or more where a network is scored")
    if source == "random":
        generator = torch.Generator().manual_seed(seed)
        shape = (images, spec.input.channels, spec.input.height, spec.input.width)
        return torch.randn(shape, generator=generator), torch.arange(images) % spec.head.classes
    from otoyol.data import batches, load

    found = load(source, spec.input, "train")
    pictures, labels = next(iter(batches(found, min(images, len(found)), seed=seed)))
    return pictures, labels % spec.head.classes


def score(
    specs: Sequence[Spec], names: Sequence[str], *, source: str = "digits", images: int = 16, seed: int = 0,
    seconds: float = 120.0, progress: Callable[[int], None] | None = None,
) -> list[dict[str, float | None]]:  # fmt: skip
    """One row a design: scores by name; None where a score is not finite, or where ``seconds`` were over before.

    The same seed and images give the same scores. Raises SpecError for names that are not in
    :data:`otoyol.proxy.SCORES`.
    """
    for name in names:
        if name not in SCORES:
            raise SpecError("score", name, ", ".join(SCORES))
    rows: list[dict[str, float | None]] = []
    began, shown = time.monotonic(), dict[tuple[Any, int], Batch]()
    with _one_thread(), torch.random.fork_rng(devices=[]):
        for done, spec in enumerate(specs):
            if progress:
                progress(done)
            if time.monotonic() - began > seconds:
                rows.append(dict.fromkeys(names))
                continue
            key = spec.input, spec.head.classes
            if key not in shown:
                shown[key] = batch_for(spec, source, images, seed)
            torch.manual_seed(seed)
            model = build(spec)
            rows.append({name: _finite(SCORES[name](model, shown[key])) for name in names})
    return rows


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums do not depend on the number of threads then, and networks this small are done sooner on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
