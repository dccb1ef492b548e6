"""A training run as frozen data: what every task's configuration has."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import torch
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    model_validator,
)

from otoyol.errors import SpecError
from otoyol.ops.recompute import ModeName
from otoyol.spec import Spec, from_mapping
from otoyol.spec.files import SUFFIXES, load
from otoyol.spec.refusal import spec_error
from otoyol.weights.files import spec_of, text_of

if TYPE_CHECKING:
    from otoyol.train.task import Task

Whole = Annotated[int, Field(ge=1, strict=True)]
Natural = Annotated[int, Field(ge=0, strict=True)]
Flag = Annotated[bool, Field(strict=True)]
Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False, strict=True)]
Factor = Annotated[float, Field(ge=0.0, allow_inf_nan=False, strict=True)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False, strict=True)]
Decay = Annotated[float, Field(ge=0.0, lt=1.0, allow_inf_nan=False, strict=True)]
Text = Annotated[str, Field(min_length=1, strict=True)]
OnTrouble = Literal["stop", "skip"]


class Part(BaseModel):
    """A frozen part of a configuration without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _spec(value: Any) -> Any:
    """A spec from its text form, a spec file's path or a mapping. Raises SpecError below the field ``spec``."""
    if isinstance(value, Spec):
        return value
    try:
        if not isinstance(value, str):
            return from_mapping(value)
        return load(value) if value.endswith(SUFFIXES) else spec_of(value)
    except SpecError as error:
        field = error.field if error.field.startswith("spec") else f"spec.{error.field}"
        raise SpecError(field, error.given, error.allowed) from None


SpecField = Annotated[Spec, BeforeValidator(_spec), PlainSerializer(text_of, return_type=str)]


class Weights(Part):
    """A checkpoint to start from; the fields are those of :func:`otoyol.weights.load`."""

    file: Text
    source: Literal["otoyol", "torchvision", "timm"] = "otoyol"
    of: Text | None = None
    prefix: str = ""
    fresh: tuple[Literal["head", "tap", "attention"], ...] = ()
    allow_meaning: tuple[Text, ...] = ()


OPTIMISERS = {
    "sgd": "SGD", "adam": "Adam", "adamw": "AdamW", "nadam": "NAdam", "radam": "RAdam", "rmsprop": "RMSprop",
    "adagrad": "Adagrad", "adadelta": "Adadelta", "adamax": "Adamax",
}  # fmt: skip
_ENGINE_S_OWN = {"params", "lr", "weight_decay", "foreach", "maximize", "capturable", "differentiable", "fused"}


class Optimiser(BaseModel):
    """``name``: torch's. Every other field of torch's optimiser of that name may stand here as well (``momentum``,
    ``nesterov``, ``betas``, …). ``decay_norms``: whether weight decay also pulls at norms and biases."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: Literal["sgd", "adam", "adamw", "nadam", "radam", "rmsprop", "adagrad", "adadelta", "adamax"] = "sgd"
    lr: Positive = 0.1
    weight_decay: Factor = 5e-4
    decay_norms: Flag = False

    @property
    def options(self) -> dict[str, Any]:
        """The fields beyond ours."""
        return dict(self.model_extra or {})

    @model_validator(mode="after")
    def _known(self) -> Self:
        signature = inspect.signature(getattr(torch.optim, OPTIMISERS[self.name])).parameters
        known = {name: of.default for name, of in signature.items() if name not in _ENGINE_S_OWN}
        for name, value in self.options.items():
            if name not in known:
                raise SpecError(
                    f"recipe.optimiser.{name}", value, f"fields {', '.join([*type(self).model_fields, *known])}"
                )
            if kind := _misfit(value, known[name]):
                raise SpecError(f"recipe.optimiser.{name}", value, kind)
        return self


def _misfit(value: Any, default: Any) -> str:
    """What an optimiser's field takes, by its default, where ``value`` is none of it; torch looks too late, if ever."""
    if isinstance(default, bool):
        return "" if isinstance(value, bool) else "true or false"
    if isinstance(default, tuple):
        fits = isinstance(value, list | tuple) and len(value) == len(default) and all(map(_is_number, value))
        return "" if fits else f"a list of {len(default)} numbers"
    return "" if _is_number(value) else "a number"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")  # and no NaN


class Schedule(Part):
    """The learning rate over the run, see :func:`otoyol.train.schedule.factor`."""

    name: Literal["constant", "cosine", "multistep", "onecycle", "poly"] = "cosine"
    warmup: Factor = 0.05
    floor: Share = 0.0
    milestones: tuple[Share, ...] = (0.5, 0.75)
    gamma: Positive = 0.1
    power: Positive = 1.0
    rise: Share = 0.3


class Ema(Part):
    """Moving average of weights and buffers; where it is on, it is what is judged and saved as the result."""

    decay: Decay = 0.999
    warm: Flag = True


class Recipe(Part):
    """How the model learns. ``batch`` is the global batch, over all ranks and the ``accumulate`` passes of a step;
    ``epochs`` or ``steps``, not both. ``clip``: the highest norm of the gradient."""

    epochs: Positive | None = None
    steps: Whole | None = None
    batch: Whole = 64
    accumulate: Whole = 1
    optimiser: Optimiser = Optimiser()
    schedule: Schedule = Schedule()
    clip: Positive | None = None
    ema: Ema | None = None
    precision: Literal["32-true", "bf16-mixed", "16-mixed", "64-true"] = "32-true"

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.epochs is None) == (self.steps is None):
            given = "neither epochs nor steps" if self.steps is None else "both epochs and steps"
            raise SpecError("recipe", given, "one of epochs and steps")
        return self

    def total_steps(self, samples: int) -> int:
        """The run's length over a training split of so many samples."""
        if self.steps is not None:
            return self.steps
        return max(1, round((self.epochs or 0) * samples / self.batch))


class Checkpoints(Part):
    """When a checkpoint is written, besides after each evaluation, and how many are kept."""

    every_steps: Whole | None = None
    every_seconds: Positive | None = 300.0
    keep: Annotated[int, Field(ge=2, strict=True)] = 2


class Run(Part):
    """Where and how it runs; little of it changes what is learnt.

    ``strategy``: whether each rank holds the whole model (``ddp``) or a shard of every parameter (``fsdp``); a single
    process holds it whole with either. ``threads``: of torch. ``evaluate_every`` and ``log_every`` are steps; an
    evaluation by default after each epoch.
    ``on_nan``: whether a loss that is not finite stops the run, or its step is skipped and recorded, as then is one
    with such a gradient; ``unreadable``: likewise of a sample. ``deterministic`` matters on GPUs, where it costs time.
    """

    seed: Natural = 0
    device: Text | None = None
    strategy: Literal["ddp", "fsdp"] = "ddp"
    threads: Whole | None = None
    workers: Natural = 0
    evaluate_every: Whole | None = None
    evaluation_batch: Whole | None = None
    log_every: Whole = 50
    memory: ModeName = "standard"
    channels_last: Flag = False
    compile: Flag = False
    sync_batch_norm: Flag = False
    deterministic: Flag = True
    on_nan: OnTrouble = "stop"
    unreadable: OnTrouble = "stop"
    checkpoints: Checkpoints = Checkpoints()
    tensorboard: Flag = True


# Where a sharded run has nothing but this: FSDP parts contiguous parameters alone, the rest was not tried.
FSDP_HAS: dict[tuple[str, str], tuple[Any, ...]] = {
    ("run", "channels_last"): (False,), ("run", "compile"): (False,), ("run", "sync_batch_norm"): (False,),
    ("recipe", "precision"): ("32-true", "bf16-mixed", "64-true"),
}  # fmt: skip

# What may differ between a run and its resumption: it changes no sample (they have a digest), gradient or row; or it
# says what to do about trouble, which a run that trouble has stopped must be free to choose.
FREE = {
    "run": ("workers", "checkpoints", "tensorboard", "on_nan", "unreadable"),
    "data": ("source", "images", "cache", "download"),
}


class Config(Part):
    """What every task's configuration has. A task adds its name, its data and what belongs to it, and ``open``."""

    spec: SpecField
    weights: Weights | None = None
    freeze: tuple[Text, ...] = ()
    recipe: Recipe
    run: Run = Run()

    def __init__(self, /, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise spec_error(error, type(self)) from None

    @model_validator(mode="after")
    def _shardable(self) -> Self:
        for (part, name), allowed in FSDP_HAS.items() if self.run.strategy == "fsdp" else ():
            if (value := getattr(getattr(self, part), name)) not in allowed:
                said = " or ".join("false" if one is False else one for one in allowed)
                raise SpecError(f"{part}.{name}", value, f"{said} with run.strategy fsdp")
        return self

    @abstractmethod
    def open(self, classes: tuple[str, ...] | None = None) -> Task:
        """The task. Given ``classes``, its data is opened only when it is asked for samples."""

    def deciding(self) -> dict[str, Any]:
        """Plain data on what decides the outcome: all but the fields in :data:`FREE`."""
        return without_free(self.model_dump(mode="json"))


def without_free(fields: dict[str, Any]) -> dict[str, Any]:
    """A configuration's plain data without the fields in :data:`FREE`."""
    kept = {
        part: {name: value for name, value in fields.get(part, {}).items() if name not in free}
        for part, free in FREE.items()
    }
    return {**fields, **kept}
