"""The residual blocks, one row of data each.

A block is four slots::

            ┌────────────── shortcut ───────────────┐
    x ──────┤                                       + ── post ── y
            └── preact ── branch (F) ── attention ──┘

A slot is a sequence of tokens: ``conv<k>`` (k×k convolution), ``dw<k>`` (k×k depthwise convolution),
``norm`` and ``act``. Everything else, shapes, cost, torch module, state-dict names, diagram and audit, is
derived from these rows; a new block is a new row.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ModelWrapValidatorHandler,
    WithJsonSchema,
    model_serializer,
    model_validator,
)

TOKEN = re.compile(r"(?:(conv|dw)([1-9]\d?)|norm|act)\Z")
MAX_KERNEL = 31
MAX_TOKENS = 24

Slot = tuple[str, ...]


@lru_cache(256)
def kernel_of(token: str) -> int:
    """Kernel size of a ``conv<k>`` or ``dw<k>`` token, 0 for ``norm`` and ``act``."""
    found = TOKEN.match(token)
    return int(found[2]) if found and found[2] else 0


def _slot(value: Any) -> Any:
    """A slot may be written as a list or as one string of tokens separated by spaces or dots."""
    tokens = tuple(value.replace(".", " ").split()) if isinstance(value, str) else value
    if not isinstance(tokens, list | tuple):
        return value
    if len(tokens) > MAX_TOKENS:
        raise ValueError(f"a slot of at most {MAX_TOKENS} tokens")
    for token in tokens:
        found = TOKEN.match(token) if isinstance(token, str) else None
        if not found:
            raise ValueError(f"tokens conv<k>, dw<k>, norm and act, not {str(token)[:40]!r}")
        if found[2] and (int(found[2]) % 2 == 0 or int(found[2]) > MAX_KERNEL):
            raise ValueError(f"odd kernels from 1 to {MAX_KERNEL}, not {token!r}")
    return tuple(tokens)


SlotField = Annotated[Slot, BeforeValidator(_slot)]


class Block(BaseModel):
    """Four slots of data (the shortcut slot is :class:`otoyol.spec.Shortcut`).

    ``inner`` says where the width of the branch's inside comes from. ``width``: the inside has the stage's width
    and the block puts out width × expansion (He et al. 2015). ``input``: the inside has input channels ×
    expansion and the block puts out the stage's width (MobileNetV2, Sandler et al. 2018, Table 1).
    ``expansion`` is what a spec uses when it names none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    preact: SlotField = ()
    branch: SlotField
    post: SlotField = ()
    inner: Literal["width", "input"] = "width"
    expansion: int = 1

    @model_validator(mode="wrap")
    @classmethod
    def _from_text(cls, value: Any, handler: ModelWrapValidatorHandler[Block]) -> Block:
        if isinstance(value, Block):
            return value
        if isinstance(value, str):
            if value in BLOCKS:
                return BLOCKS[value]
            value = _parse_block(value)
        elif not isinstance(value, dict):
            raise ValueError(_BLOCK_TEXT)
        return handler(value)._checked()

    def _checked(self) -> Block:
        convolutions = [token for token in self.branch if kernel_of(token)]
        if not convolutions or convolutions[-1].startswith("dw"):
            raise ValueError("a branch whose last convolution is a conv<k>")
        for slot in (self.preact, self.post):
            if any(kernel_of(token) for token in slot):
                raise ValueError(
                    "norm and act only in preact and post: a convolution there would stand on the identity path"
                )
        if not 1 <= self.expansion <= 64:
            raise ValueError("a default expansion from 1 to 64")
        return self

    @model_serializer
    def _to_text(self) -> str:
        return block_text(self)


V1_BASIC = "conv3 norm act conv3 norm"
V1_BOTTLENECK = "conv1 norm act conv3 norm act conv1 norm"

# He et al. 2015 (1512.03385) Fig. 5; He et al. 2016 (1603.05027) Fig. 4 (a)-(e); MobileNetV2 (1801.04381) Fig. 3.
BLOCKS: dict[str, Block] = {
    "basic": Block(branch=V1_BASIC, post="act"),
    "basic-bn-after": Block(branch="conv3 norm act conv3", post="norm act"),
    "basic-relu-before": Block(branch=V1_BASIC + " act"),
    "basic-relu-preact": Block(preact="act", branch=V1_BASIC),
    "basic-v2": Block(preact="norm act", branch="conv3 norm act conv3"),
    "bottleneck": Block(branch=V1_BOTTLENECK, post="act", expansion=4),
    "bottleneck-bn-after": Block(branch="conv1 norm act conv3 norm act conv1", post="norm act", expansion=4),
    "bottleneck-relu-before": Block(branch=V1_BOTTLENECK + " act", expansion=4),
    "bottleneck-relu-preact": Block(preact="act", branch=V1_BOTTLENECK, expansion=4),
    "bottleneck-v2": Block(preact="norm act", branch="conv1 norm act conv3 norm act conv1", expansion=4),
    "inverted": Block(branch="conv1 norm act dw3 norm act conv1 norm", inner="input", expansion=6),
    "separable": Block(branch="dw3 norm act conv1 norm"),
}

_BLOCK_TEXT = f"one of {', '.join(BLOCKS)}, or preact/branch/post with tokens separated by dots"


def branch_channels(branch: Slot, c_in: Any, mid: Any, out: Any) -> list[tuple[Any, Any]]:
    """Channels in and out of every token of a branch: convolutions put out ``mid``, the last one ``out``, and
    depthwise ones, norms and acts what they are given."""
    last = max(i for i, token in enumerate(branch) if kernel_of(token))
    channels = []
    for i, token in enumerate(branch):
        c_out = (out if i == last else mid) if token.startswith("conv") else c_in
        channels.append((c_in, c_out))
        c_in = c_out
    return channels


def _parse_block(text: str) -> dict[str, Any]:
    """``preact/branch/post[/input][/x<expansion>]`` with tokens separated by dots."""
    parts = text.split("/")
    if len(text) > 400 or not 3 <= len(parts) <= 5:
        raise ValueError(_BLOCK_TEXT)
    fields: dict[str, Any] = {"preact": parts[0], "branch": parts[1], "post": parts[2]}
    for part in parts[3:]:
        if re.fullmatch(r"x\d{1,2}", part):
            fields["expansion"] = int(part[1:])
        else:
            fields["inner"] = part
    return fields


def block_text(block: Block) -> str:
    """The row's name, or the slots written out; the inverse of parsing."""
    for name, row in BLOCKS.items():
        if row is block or row == block:
            return name
    text = "/".join(".".join(slot) for slot in (block.preact, block.branch, block.post))
    text += f"/{block.inner}" if block.inner != "width" else ""
    return text + (f"/x{block.expansion}" if block.expansion != 1 else "")


BlockField = Annotated[
    Block,
    WithJsonSchema(
        {
            "title": "Block",
            "anyOf": [
                {"type": "string", "enum": list(BLOCKS)},
                {"type": "string", "pattern": r"^[a-z0-9.]*/[a-z0-9.]+/[a-z0-9.]*(/input)?(/x[0-9]+)?$"},
                {
                    "type": "object",
                    "properties": {
                        "preact": {"type": "string"},
                        "branch": {"type": "string"},
                        "post": {"type": "string"},
                        "inner": {"enum": ["width", "input"]},
                        "expansion": {"type": "integer"},
                    },
                    "required": ["branch"],
                },
            ],
        }
    ),
]
