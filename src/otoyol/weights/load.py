"""Loading and exporting: strict in both directions, and nothing is changed until everything fits."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from otoyol.errors import WeightsError
from otoyol.spec import Spec, parse
from otoyol.weights import meaning
from otoyol.weights.files import Checkpoint, read
from otoyol.weights.identify import identify
from otoyol.weights.messages import meaning_message, mismatch_message, shape_line, some
from otoyol.weights.names import COUNTER, Entry, Source, entries, head_module, layout
from otoyol.weights.peer import of_module

FRESH = ("head", "tap", "attention")


class Loaded(NamedTuple):
    """What ``load`` did. Keys are ours in ``loaded`` and ``kept``, theirs in ``dropped``."""

    loaded: tuple[str, ...]
    kept: tuple[str, ...]  # ours that stay as they were initialised, because ``fresh`` or a lack of counters says so
    dropped: tuple[str, ...]  # theirs that are not used, because ``prefix``, ``fresh`` or frozen norms say so
    unwrapped: tuple[str, ...]  # wrappers and prefixes that were taken off


def load(
    model: nn.Module,
    state_dict: Mapping[str, Any] | str | os.PathLike[str],
    source: Source = "otoyol",
    *,
    of: Spec | str | nn.Module | None = None,
    prefix: str = "",
    fresh: Collection[str] = (),
    allow_meaning: Collection[str] = (),
    wrapper: str | None = None,
) -> Loaded:
    """Load a checkpoint of torchvision, timm or Otoyol into a network made by ``otoyol.nn.build``.

    ``state_dict`` is a mapping, or the path of a safetensors or torch file (read by ``weights_only``). Every key on
    both sides must be accounted for and every shape must agree. ``prefix``: where the backbone stands in a larger
    network, such as ``backbone.body.``; other keys are left alone. ``fresh``: parts of ours that stay as initialised,
    of ``head``, ``tap`` and ``attention``; the checkpoint's own head is then dropped. ``wrapper`` chooses among several
    networks in one file.

    Equal shapes can hide different meaning. ``of`` says what the checkpoint is: a spec, its text form, or a living
    torchvision or timm module; without it the checkpoint's metadata is used, and else what torchvision's and timm's
    networks have in common. Differences are refused unless ``allow_meaning`` names their fields (see
    :data:`otoyol.weights.meaning.FIELDS`).

    Raises WeightsError naming keys, shapes and differences of meaning; the model is then as it was.
    """
    spec = spec_of_model(model)
    _known("fresh", fresh, FRESH)
    _known("allow_meaning", allow_meaning, meaning.FIELDS)
    table = _table(model, spec, source, "attention" not in fresh)
    checkpoint = read(state_dict, wrapper)
    theirs, outside = _inside(checkpoint, prefix)
    new, kept, dropped = _match(model, spec, source, table, theirs, frozenset(fresh))
    found = _differences(spec, source, of or checkpoint.spec, frozenset(fresh), allow_meaning)
    if found:
        raise WeightsError(meaning_message(found))
    meta = any(value.is_meta for value in model.state_dict().values())
    model.load_state_dict({**{key: model.state_dict()[key] for key in kept}, **new}, strict=True, assign=meta)
    return Loaded(tuple(new), tuple(kept), (*dropped, *outside), checkpoint.unwrapped)


def export(model: nn.Module, target: Source = "torchvision") -> dict[str, Tensor]:
    """The model's state dict under the target's keys and shapes, in the target's order of modules; tensors are shared.

    Raises WeightsError where ``target`` has no names for the design.
    """
    own = model.state_dict()
    if target == "otoyol":
        return dict(own)
    table = _table(model, spec_of_model(model), target)
    lost = sorted(set(own) - set(table))
    if lost:
        raise WeightsError(f"{target} has no names for {some(lost)}")
    return {entry.theirs: own[entry.ours].reshape(entry.their_shape) for entry in table.values()}


def spec_of_model(model: nn.Module) -> Spec:
    """The spec a network was built from. Raises WeightsError where it was not built by Otoyol."""
    spec = getattr(model, "spec", None)
    if not isinstance(spec, Spec):
        raise WeightsError(f"model: got {type(model).__name__}; allowed: a network made by otoyol.nn.build")
    return spec


def _known(field: str, given: Collection[str], allowed: Collection[str]) -> None:
    if isinstance(given, str) or (odd := [word for word in given if word not in allowed]):
        shown = given if isinstance(given, str) else odd[0]
        raise WeightsError(f"{field}: got {shown!r}; allowed: a collection of {', '.join(allowed)}")


def _table(model: nn.Module, spec: Spec, source: Source, attention: bool = True) -> dict[str, Entry]:
    """Entries by our key, held to the model's own keys and shapes."""
    table = {entry.ours: entry for entry in entries(spec, source, attention)}
    own = model.state_dict()
    for key, entry in table.items():
        if key not in own or tuple(own[key].shape) != entry.shape:
            there = list(own[key].shape) if key in own else "nothing"
            raise WeightsError(
                f"the model was changed after it was built: {key} is {there}, its spec says {list(entry.shape)}"
            )
    return table


def _inside(checkpoint: Checkpoint, prefix: str) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The tensors under ``prefix`` without it, and the other keys."""
    if not prefix:
        return checkpoint.tensors, ()
    inside = {key.removeprefix(prefix): value for key, value in checkpoint.tensors.items() if key.startswith(prefix)}
    if not inside:
        looks = identify(checkpoint.tensors)
        hint = f"; {looks}, under prefix={looks.prefix!r}" if looks.layout != "unknown" else ""
        raise WeightsError(f"prefix: no key begins with {prefix!r}{hint}")
    return inside, tuple(key for key in checkpoint.tensors if not key.startswith(prefix))


def _match(
    model: nn.Module, spec: Spec, source: Source, table: dict[str, Entry], theirs: Mapping[str, Tensor],
    fresh: frozenset[str],
) -> tuple[dict[str, Tensor], list[str], list[str]]:  # fmt: skip
    """New values by our key, our keys that are kept, their keys that are dropped. Raises WeightsError."""
    own = model.state_dict()
    head = (head_module("otoyol" if source == "otoyol" else layout(spec)) + ".") if "head" in fresh else None
    counted = any(key.endswith(COUNTER) for key in theirs)
    new: dict[str, Tensor] = {}
    kept: list[str] = []
    missing: list[str] = []
    shapes: list[str] = []
    used: set[str] = set()
    for ours in own:
        entry = table.get(ours)
        slot = entry.op.slot if entry else "tap" if ours.startswith("taps.") else "attention"
        their = entry.theirs if entry else ours
        their_shape = entry.their_shape if entry else tuple(own[ours].shape)
        if (slot in fresh) or (ours.endswith(COUNTER) and not counted):
            kept.append(ours)  # files from before the counter existed, and frozen norms, have none
        elif (entry is None and source != "otoyol") or their not in theirs:
            alone = f"{ours} (exists only here; fresh={{{slot!r}}} leaves it as initialised)"
            missing.append(their if entry else alone)
        elif tuple(theirs[their].shape) != their_shape:
            used.add(their)
            shapes.append(shape_line(ours, their, their_shape, tuple(theirs[their].shape)))
        elif not (theirs[their].is_floating_point() or ours.endswith(COUNTER)):
            used.add(their)
            shapes.append(f"{their} holds {theirs[their].dtype}, floating-point numbers are needed")
        else:
            used.add(their)
            new[ours] = theirs[their].reshape(own[ours].shape)
    counts = any(key.endswith(COUNTER) for key in own)  # frozen norms have none
    dropped: list[str] = []
    extra: list[str] = []
    for key in theirs:
        if key in used:
            continue
        counter = not counts and key.endswith(COUNTER) and f"{key.removesuffix(COUNTER)}running_mean" in used
        (dropped if counter or (head and key.startswith(head)) else extra).append(key)
    if missing or extra or shapes:
        example = next(entry.theirs for entry in table.values())
        raise WeightsError(mismatch_message(spec, source, example, theirs, missing, extra, shapes))
    return new, kept, dropped


def _differences(
    spec: Spec, source: Source, of: Spec | str | nn.Module | None, fresh: frozenset[str], allowed: Collection[str]
) -> list[meaning.Difference]:
    attention = "attention" not in fresh
    ours = meaning.of_spec(spec, attention)
    if isinstance(of, str):
        of = parse(of)
    elif isinstance(of, nn.Module) and isinstance(getattr(of, "spec", None), Spec):
        of = spec_of_model(of)
    if isinstance(of, Spec):
        theirs = meaning.of_spec(of, attention)
    elif of is None:
        theirs = meaning.of_source(spec, source, attention)
    elif source == "otoyol" or not isinstance(of, nn.Module):
        raise WeightsError(f"of: got {type(of).__name__}; allowed: a spec, its text, or a module of {source}")
    else:
        theirs = of_module(of, spec, source, attention)
    return meaning.differences(ours, theirs, allowed)
