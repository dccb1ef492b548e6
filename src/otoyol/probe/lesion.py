"""The lesion study of Veit et al. 2016 (1605.06431): accuracy with each block removed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import torch
from torch import Tensor

from otoyol.nn import Backbone
from otoyol.probe.place import Place, places, plain, same_chance
from otoyol.probe.result import Lesion, LesionStudy
from otoyol.probe.terms import after, skip_term


def lesion_study(model: Backbone, batches: Iterable[tuple[Tensor, Tensor]], *, remove: bool = True) -> LesionStudy:
    """Top-1 accuracy over batches of (images (N, C, H, W), labels (N,)), intact and without each block, in eval mode.

    A block whose shortcut is the identity is replaced by the identity, whatever stands after its addition; from
    another only F is taken away, so that the shortcut and what follows the addition remain. The blocks in front of
    the removed one are run once for all. Without ``remove`` only the intact network is run. The model is as before,
    afterwards.
    """
    with torch.no_grad():
        twin = plain(model).eval()
        here = places(twin)
        right = [0] * (len(here) + 1)
        possible = [True] * len(here)
        seen: Counter[int] = Counter()
        with same_chance(next(twin.parameters()).device), torch.no_grad():
            for images, labels in batches:
                seen.update(labels.tolist())
                x, before = twin.stem(images), []
                for place in here:
                    before.append(x)
                    x = place.module(x)
                right[-1] += _right(twin, x, labels)
                for index, place in enumerate(here if remove else ()):
                    y = without(place, before[index])
                    if y is None:
                        possible[index] = False
                        continue
                    for later in here[index + 1 :]:
                        y = later.module(y)
                    right[index] += _right(twin, y, labels)
    total = seen.total()
    constant = max(seen.values(), default=0) / max(1, total)
    lesions = tuple(
        Lesion(place.name, kept(place), right[i] / total if possible[i] and total else None)
        for i, place in enumerate(here if remove else ())
    )
    return LesionStudy(total, right[-1] / max(1, total), constant, lesions)


def kept(place: Place) -> str:
    """What stays in a removed block's place."""
    return "identity" if place.module.shortcut is None and not place.audit.changes_shape else "shortcut"


def without(place: Place, x: Tensor) -> Tensor | None:
    """The block's output for x with F removed; None where x cannot pass."""
    if kept(place) == "identity":
        return x
    term = skip_term(place.module, x)
    return None if term is None else after(place.module, term)


def _right(model: Backbone, x: Tensor, labels: Tensor) -> int:
    x = x if model.final is None else model.final(x)
    return int((model.head(x).argmax(1) == labels).sum())
