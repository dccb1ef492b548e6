"""What a backbone is for: the space to look in, what the front is over, what is asked of every design."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from otoyol.errors import SpecError
from otoyol.ops import lower
from otoyol.ops.network import stage_activated
from otoyol.search import Budget, Objective, Space, load_space, parse_objective, structures
from otoyol.spec import Input, Spec, edit, parse, to_text

LATENCY = "latency_ms"
TAP_STRIDES = {"C2": 4, "C3": 8, "C4": 16, "C5": 32}  # what feature pyramids expect (Lin et al. 2017, section 3)


class Task(NamedTuple):
    """``maximize`` and ``minimize``: what the front is over unless the user says otherwise; a predicted latency is
    minimised beside them. ``edits`` make any space's base fit for the task."""

    name: str
    maximize: tuple[str, ...]
    minimize: tuple[str, ...]
    edits: dict[str, str]


# Budgets bound what a design costs; the front is over what a budget can buy. At equal cost, networks have gained by
# depth (He et al. 2015, Table 3) and by capacity (Zagoruyko & Komodakis 2016, Table 8), and the two compete. Detectors
# train at several times the pixels, where the memory held for backward runs out first, so that it is a third there.
TASKS: dict[str, Task] = {
    "classification": Task("classification", ("depth", "params"), (), {}),
    "detection": Task("detection", ("depth", "params"), ("train_bytes",), {"head": "0", "head.pool": "none"}),
}


def find_task(name: str) -> Task:
    """Raises SpecError for an unknown one."""
    if name not in TASKS:
        raise SpecError("task", name, " or ".join(TASKS))
    return TASKS[name]


def space_for(task: Task, path: str | None, image: str | None) -> Space:
    """The space to search: the file's or the task's own, at the size of ``image`` and with the task's edits.

    Raises SpecError where no design of it can serve the task.
    """
    if path is None:
        with resources.as_file(resources.files("otoyol.design").joinpath(f"spaces/{task.name}.yaml")) as own:
            space = load_space(own)
    else:
        space = load_space(Path(path))
    edits = {**task.edits, **({"input": image} if image else {})}
    space = space.model_copy(update={"base": to_text(edit(parse(space.base), edits))}) if edits else space
    if task.name == "detection":
        check_for_detection(space)
    return space


def check_for_detection(space: Space) -> None:
    """Raises SpecError naming the first design of the space that a detector cannot use, and why."""
    for structure in structures(space)[0]:
        if why := unfit_for_detection(structure.spec):
            raise SpecError("space", structure.text, f"designs for detection: {why}")


def unfit_for_detection(spec: Spec) -> str:
    """Why a detector cannot use the backbone; empty where it can."""
    image = spec.input
    if image.height % 32 or image.width % 32:
        return f"inputs whose sides are multiples of 32, as detectors pad images, not {image.text}"
    strides = {tap.name: tap.stride for tap in lower(spec).taps if tap.name != "C1"}
    if strides != TAP_STRIDES:
        found = ", ".join(f"{name} {stride}" for name, stride in strides.items())
        return f"taps C2 to C5 of strides 4, 8, 16 and 32, not {found}"
    if spec.taps == "raw" and not all(stage_activated(plan) for plan in spec.plan if plan.form.preact):
        return "taps: preact or postact, since raw sums of a pre-activation network are not normalised"
    if any(plan.form.gate != "none" for plan in spec.plan):
        return "shortcuts without gates, which close the highway"
    return ""


def budgets_of(task: Task, image: Input) -> list[Budget]:
    """What the task asks of every design: for detection, that C5 sees the image's shorter side."""
    if task.name != "detection":
        return []
    side = min(image.height, image.width)
    return [Budget("receptive_field", True, Fraction(side), "", f"receptive_field>={side}")]


def objectives_of(
    task: Task, maximize: Sequence[str], minimize: Sequence[str], latencies: Sequence[str], budgets: Sequence[Budget]
) -> list[Objective]:
    """The user's objectives, or the task's with every predicted latency (``latencies``: where, as after the @); what an
    upper budget bounds is there to be spent and is not minimised as well."""
    if not maximize and not minimize:
        bounded = {budget.key for budget in budgets if not budget.at_least}
        costs = (*task.minimize, *(f"{LATENCY}@{where}" for where in latencies))
        maximize, minimize = task.maximize, [cost for cost in costs if cost not in bounded]
    return [
        *(parse_objective(words, maximize=True) for words in maximize),
        *(parse_objective(words, maximize=False) for words in minimize),
    ]
