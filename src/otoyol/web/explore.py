"""Explore: a bounded random sample of a space of designs as columns, for the page to plot, filter and load.

Budgets are not applied here: the page holds every design against them, so that a design that misses one can say by how
much. What no budget can mend, combinations and rows that break a rule, comes with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import prod
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from otoyol.cost import count_batch
from otoyol.errors import SpecError
from otoyol.search import Chunk, Space, draw, parse_budget, space_from, structures
from otoyol.search.budget import check_budgets
from otoyol.search.linear import Linear, layers, receptive_field
from otoyol.search.space import Range, Refused, Structure
from otoyol.search.stream import Scorer
from otoyol.spec import Spec, parse, to_text
from otoyol.spec.blocks import block_text
from otoyol.spec.data import loads
from otoyol.web.later import fittable

EXACT = ("params", "macs", "activations", "train_bytes", "train_bytes_lean", "peak_inference_bytes")
LINEAR = {"depth": layers, "receptive_field": receptive_field}
SPACES = ("classification", "detection", "around", "text")

# One request may cost so much and no more; `otoyol search` has none of these bounds.
MAX_DESIGNS = 5_000
MAX_STRUCTURES = 128
MAX_STAGES = 8
MAX_TEXT = 4_096
MAX_MARKS = 300  # of punctuation in a pasted space: YAML is read at some 20 µs a mark,
MAX_OPENED = 60  # and at the square of the brackets that nothing closes
MAX_BUDGETS = 12
MAX_SEED = 2**32 - 1
MAX_DEPTH, MAX_WIDTH = 4_096, 65_536  # of one stage, as everywhere
TOLD = 20  # impossible designs whose reasons are told

# A block and the same with its norms and activations before the convolutions (He et al. 2016, Fig. 4).
TWINS = {"basic": "basic-v2", "bottleneck": "bottleneck-v2", "basic-v2": "basic", "bottleneck-v2": "bottleneck"}


class Ready(NamedTuple):
    """A space whose combinations are built. ``linear``: quantity → one function of the depths a structure."""

    space: Space
    built: tuple[Structure, ...]
    refused: tuple[Refused, ...]
    linear: dict[str, tuple[Linear, ...]]


def space_of(kind: str, design: str, text: str = "") -> Space:
    """The space that a request names: a task's own at the size of ``design``'s input, one ``around`` the design, or
    the one that ``text`` describes in YAML or JSON. Raises SpecError."""
    if kind == "around":
        return around(parse(design))
    if kind == "text":
        return space_from(_data(text))
    if kind not in SPACES:
        raise SpecError("space", kind, ", ".join(SPACES))
    return _shipped(kind, parse(design).input.text)


@lru_cache(16)
def _shipped(task: str, image: str) -> Space:
    from otoyol.design import TASKS, space_for

    return space_for(TASKS[task], None, image)


def _data(text: str) -> Any:
    if len(text) > MAX_TEXT:
        raise SpecError("space", f"{len(text)} characters", f"at most {MAX_TEXT}")
    if (marks := sum(map(text.count, ",:-\n[{"))) > MAX_MARKS:
        raise SpecError("space", f"{marks} marks of punctuation", f"at most {MAX_MARKS}; otoyol search takes more")
    if (opened := text.count("[") + text.count("{")) > MAX_OPENED:
        raise SpecError("space", f"{opened} lists and mappings", f"at most {MAX_OPENED}; otoyol search takes more")
    return loads(text, ".json" if text.lstrip().startswith("{") else ".yaml")


def around(spec: Spec) -> Space:
    """Designs like ``spec``: depths and widths from half to twice its own, its block and the block's pre- or
    post-activation twin, other shortcuts, with and without attention."""
    widths = [stage.width for stage in spec.stages]
    multiple = next(m for m in (8, 4, 2, 1) if all(width % m == 0 for width in widths))
    block = block_text(spec.block)
    choices = {
        "block": _each_once(block, TWINS.get(block, block)),
        "shortcut": _each_once(spec.shortcut.kind, "B", "D"),
        "attention": _each_once(spec.attention.kind, "none", "se"),
    }
    return Space(
        base=to_text(spec),
        choices={key: values for key, values in choices.items() if len(values) > 1},
        depths=tuple(_half_to_twice(stage.depth, 1, MAX_DEPTH) for stage in spec.stages),
        widths=tuple(_half_to_twice(width, multiple, MAX_WIDTH) for width in widths),
        tie="increasing" if widths == sorted(widths) else "none",
    )


def _each_once(*words: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))


def _half_to_twice(value: int, multiple: int, most: int) -> Range:
    return Range(low=max(multiple, value // 2), high=min(2 * value, most), multiple=multiple)


def space_text(space: Space) -> str:
    """The space as YAML that :func:`space_of` reads back."""
    import yaml

    fields = space.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(fields, sort_keys=False, default_flow_style=None, width=100)


def ready(space: Space) -> Ready:
    """The space with its combinations built; kept for the next request of the same. Raises SpecError where it is
    larger than a page should ask for."""
    if (count := prod(map(len, space.choices.values()))) > MAX_STRUCTURES:
        raise SpecError("space.choices", f"{count} combinations", f"at most {MAX_STRUCTURES}; otoyol search takes more")
    if (stages := len(parse(space.base).stages)) > MAX_STAGES:
        raise SpecError("space.base", f"{stages} stages", f"at most {MAX_STAGES}; otoyol search takes more")
    return _ready(space.model_dump_json())


@lru_cache(16)
def _ready(fields: str) -> Ready:
    space = Space.model_validate_json(fields)
    built, refused = structures(space)
    linear = {name: tuple(of(structure.spec) for structure in built) for name, of in LINEAR.items()}
    return Ready(space, tuple(built), tuple(refused), linear)


def sample(
    found: Ready, *, count: int, seed: int, batch: int = 1, dtype: str = "float32",
    scorers: Mapping[str, Scorer] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """About ``count`` designs by chance, the same for the same seed, as plain data for JSON.

    ``structures[i]`` is a text that ends where ``depths=…,widths=…`` belong; ``designs`` are one row each: the
    structure's number, the depths, the widths; ``values`` one column a quantity in the same order (bytes at ``batch``
    and ``dtype``; latency at its table's own). ``impossible`` and ``refused`` tell why rows and combinations cannot be
    built. Raises SpecError where count or seed are out of bounds.
    """
    for name, given, least, most in (("count", count, 1, MAX_DESIGNS), ("seed", seed, 0, MAX_SEED)):
        if not least <= given <= most:
            raise SpecError(name, given, f"a whole number from {least} to {most}")
    scorers = scorers or {}
    values: dict[str, list[Any]] = {name: [] for name in (*EXACT, *LINEAR, *scorers)}
    rows: list[list[int]] = []
    impossible: list[dict[str, str]] = []
    seen = 0
    heads = [_head(structure.text) for structure in found.built]
    for chunk in draw(found.space, count, seed, built=found.built):
        columns, valid, reasons = _columns(found, chunk, batch, dtype, scorers)
        keep = np.flatnonzero(valid)
        for name, column in columns.items():
            values[name] += column[keep].tolist()
        numbers = np.concatenate([chunk.depths, chunk.widths], axis=1)
        rows += [[chunk.structure, *row] for row in numbers[keep].tolist()]
        for row in np.flatnonzero(~valid)[: max(0, TOLD - len(impossible))].tolist():
            text = heads[chunk.structure] + _numbers(numbers[row].tolist())
            impossible.append({"design": text, "reason": reasons(row)})
        seen += len(valid)
    return {
        "stages": len(found.built[0].spec.stages),
        "structures": heads,
        "designs": rows,
        "values": values,
        "seen": seen,
        "impossible": impossible,
        "refused": [{"choices": refused.choices, "reason": refused.reason} for refused in found.refused],
        "space": space_text(found.space),
    }


def _columns(
    found: Ready, chunk: Chunk, batch: int, dtype: str, scorers: Mapping[str, Scorer]
) -> tuple[dict[str, Any], Any, Any]:
    """Quantities (N,) of a chunk, which designs are possible, and what tells of a row why it is not."""
    spec = found.built[chunk.structure].spec
    costs = count_batch(spec, depths=chunk.depths, widths=chunk.widths, batch=batch, dtype=dtype, only=EXACT)
    columns: dict[str, Any] = {name: getattr(costs, name) for name in EXACT}
    columns |= {name: linear[chunk.structure](chunk.depths) for name, linear in found.linear.items()}
    for name, scorer in scorers.items():
        told = np.round(scorer(spec, chunk.depths, chunk.widths), 4)
        columns[name] = told.astype(object)
        columns[name][np.isnan(told)] = None  # JSON has no NaN
    return columns, costs.valid, costs.reason


def _head(text: str) -> str:
    """A structure's text without its depths and widths, up to where they belong."""
    base, _, rest = text.partition("@")
    pairs = [pair for pair in rest.split(",") if pair and pair.partition("=")[0] not in ("depths", "widths")]
    return f"{base}@{''.join(pair + ',' for pair in pairs)}"


def _numbers(row: list[int]) -> str:
    half = len(row) // 2
    return f"depths={'-'.join(map(str, row[:half]))},widths={'-'.join(map(str, row[half:]))}"


def budgets(
    words: Sequence[str], known: Sequence[str], unfit: Mapping[str, str] = MappingProxyType({})
) -> list[dict[str, Any]]:
    """Budgets from their words: quantity, which way, limit. ``known``: quantities that the page has figures of;
    ``latency_ms`` alone means the only one that starts so. ``unfit``: those of tables that cannot be fitted, and why.
    Raises SpecError."""
    if len(words) > MAX_BUDGETS:
        raise SpecError("budget", f"{len(words)} budgets", f"at most {MAX_BUDGETS}")
    parsed = [parse_budget(text) for text in words]
    check_budgets(parsed)
    told = []
    for budget in parsed:
        if budget.key in unfit:
            raise SpecError("budget", budget.text, fittable(unfit[budget.key]))
        alone = "" if budget.where else f"{budget.key}@"  # without an @ any table will do, where there is one
        fits = [name for name in known if name == budget.key or (alone and name.startswith(alone))]
        if len(fits) != 1:
            raise SpecError("budget", budget.text, f"one of {', '.join(known)}")
        told.append({
            "text": budget.text, "quantity": fits[0], "at_least": budget.at_least, "limit": float(budget.limit)
        })  # fmt: skip
    return told
