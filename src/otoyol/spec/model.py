"""The spec: one frozen description of a residual backbone."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from otoyol.spec.blocks import BLOCKS, BlockField
from otoyol.spec.parts import Act, Attention, Count, Expansion, Flag, Head, Input, Norm, Rate, Shortcut, Stage, Stem
from otoyol.spec.plan import StagePlan, plan_stages
from otoyol.spec.refusal import spec_error

MAX_STAGES = 16


class Spec(BaseModel):
    """A residual backbone. Immutable, hashable and always valid: what cannot be built cannot be constructed.

    ``family`` names the function the spec started from; the text form writes the differences from it.
    ``dilation_first``: the dilation of a stage's first block, the ``previous`` stage's (torchvision, timm) or the
    ``same`` as the rest (detectron2). ``taps``: what C2…C5 hand to a detector where the network's sums are not
    activated: ``raw`` sums, ``preact`` (through the next block's preact slot, the final one for the last; no new
    parameters) or ``postact`` (through a norm and act of their own).
    ``zero_init``: the last norm of each branch that ends in one starts at gain 0 (Goyal et al. 2017, section 5.1).
    ``drop_path``: stochastic depth of the last block, growing linearly from 0 (Huang et al. 2016).

    Raises :class:`otoyol.errors.SpecError` naming the field, what was given and what is allowed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")] = "custom"
    input: Input = Input()
    stem: Stem = Stem()
    stages: Annotated[tuple[Stage, ...], Field(min_length=1, max_length=MAX_STAGES)]
    block: BlockField = BLOCKS["bottleneck"]
    expansion: Expansion | None = None
    groups: Count | None = None
    group_width: Count | None = None
    stride_at: Literal["first", "spatial"] = "spatial"
    dilation_first: Literal["previous", "same"] = "previous"
    shortcut: Shortcut = Shortcut()
    attention: Attention = Attention()
    norm: Norm = Norm()
    act: Act = "relu"
    zero_init: Flag = True
    drop_path: Rate = 0.0
    head: Head = Head()
    taps: Literal["raw", "preact", "postact"] = "preact"

    def __init__(self, /, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise spec_error(error, type(self)) from None

    @cached_property
    def plan(self) -> tuple[StagePlan, ...]:
        """The stages with every inherited choice resolved and every channel count computed."""
        return plan_stages(self)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        self.plan  # noqa: B018 (planning refuses what cannot be built)
        return self

    def model_copy(self, *, update: Any = None, deep: bool = False) -> Self:  # noqa: ARG002 (pydantic's signature)
        """A changed spec is validated again, so that its plan can never be stale."""
        return type(self)(**{**{name: getattr(self, name) for name in type(self).model_fields}, **(update or {})})
