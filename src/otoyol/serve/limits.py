"""What the service bounds, each figure with its unit; everything else follows from the artifact."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from otoyol.spec.refusal import spec_error

Whole = Annotated[int, Field(ge=1, le=1 << 16)]
Seconds = Annotated[float, Field(gt=0.0, le=3600.0, allow_inf_nan=False)]
MAX_PIXELS = 178_956_970  # beyond which Pillow opens no image at all


class Limits(BaseModel):
    """Frozen. Raises SpecError naming the field, what was given and what is allowed.

    - ``runs``: of the engine at the same time, each in a thread of its own. ``threads``: that one run may use; all but
      its own serve every run. ``decoders``: images decoded at the same time.
    - ``max_batch``: images run together. ``max_wait_ms``: how long the first of them waits for others that are being
      read or decoded; it does not wait where there are none.
    - ``queue``: requests inside the service at once, from their first byte to their answer; the next is told 503.
    - ``max_bytes``: of a request's body. ``max_pixels``: of the image in it, told from its header before it is decoded.
    - ``timeout_s``: from the whole request to its answer (504). ``read_timeout_s``: for a client to send its request
      (408) or to take its answer. ``idle_s``: a connection without a request.
    - ``connections``: at once; the next is told 503.
    - ``drain_s``: after SIGTERM, for what is inside to be answered.

    At most about ``queue × (max_bytes + prepared) + decoders × 22 × max_pixels`` bytes are held besides the engine and
    the batches that it runs. ``prepared``: the bytes of one image as the engine reads it, channels × height × width,
    four times as many where it reads floats. A decoded pixel stands in Pillow's memory (4 bytes), once more where its
    mode is converted (4), twice on its way into a tensor (6), and of a WebP twice in its decoder (8).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    threads: Whole = 1
    runs: Whole = 1
    decoders: Whole = 1
    max_batch: Whole = 8
    max_wait_ms: Annotated[float, Field(ge=0.0, le=60_000.0, allow_inf_nan=False)] = 2.0
    queue: Whole = 64
    max_bytes: Annotated[int, Field(ge=1, le=1 << 31)] = 8 << 20
    max_pixels: Annotated[int, Field(ge=1, le=MAX_PIXELS)] = 32 << 20
    timeout_s: Seconds = 10.0
    read_timeout_s: Seconds = 10.0
    idle_s: Annotated[int, Field(ge=1, le=3600)] = 15
    connections: Whole = 512
    drain_s: Seconds = 30.0

    def __init__(self, /, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise spec_error(error, type(self)) from None
