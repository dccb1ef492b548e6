"""The whole way as one function: space, search, front, choice, equal budgets, network built, run and timed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from otoyol.design.choose import Choice, choose
from otoyol.design.cloud import Cloud, sample, values_of
from otoyol.design.rivals import Rival, equal_by, rivals_of
from otoyol.design.tasks import LATENCY, Task, budgets_of, find_task, objectives_of, space_for
from otoyol.design.verify import Built, Timed, build_and_run, settings, time_all
from otoyol.errors import OtoyolError
from otoyol.search import Budget, Found, Objective, Space, parse_budget, placed, search, stream
from otoyol.spec import Spec, parse

if TYPE_CHECKING:
    from otoyol.measure import Latency, Predictor

# What is told of every design beside objectives and budgets.
ALWAYS = ("depth", "params", "macs", "activations", "train_bytes")


class NoDesignError(OtoyolError):
    """No design of the space meets the budgets; the message names how many each one excludes."""


class Wish(NamedTuple):
    """What is looked for, every default filled in. ``budgets``: the user's, of which there are ``own_budgets``, and
    behind them the task's. ``own_objectives``: the user named them."""

    task: Task
    space: Space
    budgets: tuple[Budget, ...]
    own_budgets: int
    objectives: tuple[Objective, ...]
    own_objectives: bool
    draws: int
    seed: int
    equal: str

    @property
    def keys(self) -> tuple[str, ...]:
        """The quantities that everything is told in: objectives, budgets, then the usual ones."""
        keys = [*(o.key for o in self.objectives), *(b.key for b in self.budgets), *ALWAYS]
        return tuple(dict.fromkeys(keys))


class Result(NamedTuple):
    """``values``: quantities of the chosen design, ``rival_values`` of the rivals as they are, by name. ``timed`` are
    the designs of :func:`timed_designs` in every setting, ``predicted`` the same by where, where a table is given."""

    wish: Wish
    found: Found
    choice: Choice
    spec: Spec
    values: dict[str, float]
    front: tuple[dict[str, float], ...]
    cloud: Cloud
    rivals: tuple[Rival, ...]
    rival_values: dict[str, dict[str, float]]
    built: Built
    timed: tuple[Timed, ...]
    predicted: dict[str, tuple[Latency, ...]]
    processor: str
    cores: int


def wish_for(
    task: str, *, image: str | None = None, budgets: Sequence[str] = (), space: str | None = None,
    maximize: Sequence[str] = (), minimize: Sequence[str] = (), count: int = 1_000_000, seed: int = 0,
    latencies: Sequence[str] = (), place: Callable[[str], str] = str,
) -> Wish:  # fmt: skip
    """The wish in words made whole. ``latencies``: where latency is predicted, ``ort,b1,t2``; ``place`` turns what
    stands behind an @ into one of them. Raises SpecError."""
    kind = find_task(task)
    searched = space_for(kind, space, image)
    own = [placed(parse_budget(words), place) for words in budgets]
    asked = (*own, *budgets_of(kind, parse(searched.base).input))
    objectives = tuple(placed(o, place) for o in objectives_of(kind, maximize, minimize, latencies, own))
    given = bool(maximize or minimize)
    return Wish(kind, searched, asked, len(own), objectives, given, count, seed, equal_by(own))


def design(
    wish: Wish, *, predictors: Mapping[str, Predictor] | None = None, pick: int | None = None,
    progress: Callable[[stream.Progress], None] | None = None, tell: Callable[[str], object] = str,
) -> Result:  # fmt: skip
    """Run the whole way. ``predictors``: where → predicted latency. ``tell`` is called with the name of each step:
    search, compare, build, time.

    Raises NoDesignError, SpecError; KeyboardInterrupt where the search is interrupted.
    """
    scorers = scorers_of(wish, predictors or {})
    tell("search")
    found = search(
        wish.space, wish.budgets, wish.objectives, count=wish.draws, seed=wish.seed, scorers=scorers, progress=progress
    )
    if not found.finished:
        raise KeyboardInterrupt
    if not found.designs:
        raise NoDesignError(excluded(found, wish.budgets))
    choice = choose(found.designs, wish.objectives, pick)
    spec = parse(found.designs[choice.position].spec)
    tell("compare")
    rivals = rivals_of(spec, wish.equal, scorers.get(wish.equal))
    front = tuple(values_of(parse(one.spec), wish.keys, scorers) for one in found.designs)
    cloud = sample(wish.space, wish.keys, wish.budgets, scorers, wish.seed)
    rival_values = {rival.name: values_of(rival.spec, wish.keys, scorers) for rival in rivals}
    tell("build")
    built = build_and_run(spec)
    tell("time")
    from otoyol.measure.fingerprint import cores, processor

    designs = timed_designs(spec, rivals)
    tables = {where: predictor.table.fingerprint for where, predictor in (predictors or {}).items()}
    timed = tuple(time_all(designs, setting) for setting in settings(tables))
    predicted = {
        where: tuple(predictor.predict(one) for one in designs) for where, predictor in (predictors or {}).items()
    }
    return Result(
        wish,
        found,
        choice,
        spec,
        front[choice.position],
        front,
        cloud,
        rivals,
        rival_values,
        built,
        timed,
        predicted,
        processor(),
        cores(),
    )


def scorers_of(wish: Wish, predictors: Mapping[str, Predictor]) -> dict[str, stream.Scorer]:
    """What predicts each latency that the wish names, by its key."""
    if not predictors:
        return {}
    from otoyol.measure import Scorer as Predicted

    made = {where: Predicted(predictor) for where, predictor in predictors.items()}
    items: list[Budget | Objective] = [*wish.budgets, *wish.objectives]
    named = {item.key: item.where for item in items if item.quantity == LATENCY}
    return {key: made[where] for key, where in named.items() if where in made}


def timed_designs(spec: Spec, rivals: Sequence[Rival]) -> list[Spec]:
    """The chosen design, the rivals at its budget, the rivals as they are."""
    return [spec, *(rival.scaled.spec for rival in rivals), *(rival.spec for rival in rivals)]


def excluded(found: Found, budgets: Sequence[Budget]) -> str:
    """Which budget excludes how many designs, in one sentence."""
    if not found.valid:
        return f"no design fits: none of the {found.seen:,} designs drawn can be built"
    counts = [(budget.text, found.valid - found.met[budget.text]) for budget in budgets]
    told = ", ".join(f"{text} excludes {'all' if out == found.valid else f'{out:,}'}" for text, out in counts)
    alone = "" if any(out == found.valid for _, out in counts) else "; some design meets each alone, none all at once"
    return f"no design fits: of {found.valid:,} designs {told}{alone}"
