"""The residual block: four slots, filled from its operators."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from otoyol.nn.attention import Factory, attention_layer
from otoyol.nn.layers import DropPath, Scale, has_layer, layer
from otoyol.nn.norms import NORMS
from otoyol.ops import Op
from otoyol.ops.inplace import in_place
from otoyol.ops.recompute import recomputed
from otoyol.spec import Norm
from otoyol.spec import Shortcut as ShortcutSpec
from otoyol.spec.plan import Form

Layers = list[tuple[Op, nn.Module]]


class ShortcutPath(nn.Sequential):
    """What stands between x and the addition. A child named ``gate`` is not on it: the block asks for it."""

    def forward(self, x: Tensor) -> Tensor:
        for name, step in self._modules.items():
            if name != "gate":
                x = step(x)
        return x


class ResidualBlock(nn.Module):
    """y = post(shortcut + attention(F(preact(x)))), whatever the block.

    Slots that are empty are None; an identity shortcut is None too. ``attention`` stands after ``attention_at``
    layers of ``branch``. The layers of a slot are called from here, so that no frame holds a tensor longer than
    the block needs it: put hooks on layers or on blocks, not on slots.
    """

    preact: nn.Sequential | None
    shortcut: ShortcutPath | None
    attention: nn.Module | None
    drop_path: DropPath | None
    post: nn.Sequential | None

    def __init__(
        self, ops: list[Op], form: Form, norm: Norm, shortcut: ShortcutSpec,
        drop_path_rate: float = 0.0, attention: Factory | None = None,
    ) -> None:  # fmt: skip
        """``ops`` are :func:`otoyol.ops.block.lower_block`'s, with an empty prefix."""
        super().__init__()
        marked = list(zip(ops, in_place(ops), strict=True))
        layers = [(op, layer(op, norm, inplace)) for op, inplace in marked if has_layer(op) and op.slot != "attention"]
        kinds = {(op.slot, op.kind) for op in ops}
        self.preact = sequence("preact", layers)
        self.branch = sequence("branch", layers) or nn.Sequential()
        self.attention = attention_layer(form.attention, [op for op in ops if op.slot == "attention"], norm, attention)
        self.attention_at = form.attention_at
        path = named("shortcut", layers)
        if ("shortcut", "scale") in kinds:
            path["scale"] = Scale(shortcut.scale)
        if ("shortcut", "dropout") in kinds:
            path["dropout"] = nn.Dropout(shortcut.dropout)
        self.shortcut = ShortcutPath(path) if path else None
        self.reads_preact = form.reads == "preact" and "conv" in path
        self.gated = "gate" in path
        self.gate_bias = shortcut.gate_bias
        self.exclusive = ("branch", "mul") in kinds
        self.branch_scale = shortcut.branch_scale if ("branch", "scale") in kinds else None
        self.drop_path = DropPath(drop_path_rate) if ("branch", "drop_path") in kinds else None
        self.joined = ("join", "add") in kinds
        self.add_in_place = any(inplace for op, inplace in marked if op.slot == "join")
        self.post = sequence("post", layers)
        # Names of the layers whose outputs lean training computes again.
        self.again = tuple(op.name for op, again in zip(ops, recomputed(ops), strict=True) if again)

    def forward(self, x: Tensor, preacted: Tensor | None = None) -> Tensor:
        """(N, C, H, W) to (N, C', H', W'). ``preacted`` is what the preact slot put out, where that is known."""
        f = preacted
        if f is None:
            f = x if self.preact is None else self.preact(x)
        shortcut = x if self.shortcut is None else self.shortcut(f if self.reads_preact else x)
        preacted = None
        for position, step in enumerate(self.branch):
            if position == self.attention_at and self.attention is not None:
                f = self.attention(f)
            f = step(f)
        if self.attention is not None and self.attention_at == len(self.branch):
            f = self.attention(f)
        if self.branch_scale is not None:
            f = f * self.branch_scale
        if self.gated:
            shortcut, f = self._gate(x, shortcut, f)
        if self.drop_path is not None:
            f = self.drop_path(f)
        if self.add_in_place:
            f += shortcut
        elif self.joined:
            f = f + shortcut
        return f if self.post is None else self.post(f)

    def zero_last_gain(self) -> None:
        """Start F at 0 where it ends in a norm that learns. An activation after it would keep F there for good."""
        last = list(self.branch)[-1]
        if isinstance(last, NORMS) and isinstance(last.weight, nn.Parameter):
            nn.init.zeros_(last.weight)

    def open_gate(self) -> None:
        """Start g at the sigmoid of ``gate_bias`` on average."""
        if self.gated:
            nn.init.constant_(self.shortcut.gate.bias, self.gate_bias)  # type: ignore[union-attr, arg-type]

    def _gate(self, x: Tensor, shortcut: Tensor, f: Tensor) -> tuple[Tensor, Tensor]:
        """He et al. 2016, sections 3.1 and 3.2: (1 - g(x)) · x, and g(x) · F(x) where the gating is exclusive."""
        g = self.shortcut.gate(x).sigmoid()  # type: ignore[union-attr, operator]
        return shortcut * (1 - g), f * g if self.exclusive else f


def named(prefix: str, layers: Layers) -> OrderedDict[str, nn.Module]:
    """The layers under a prefix, by the rest of their names."""
    return OrderedDict(
        (op.name.removeprefix(prefix + "."), module) for op, module in layers if op.name.startswith(prefix + ".")
    )


def sequence(prefix: str, layers: Layers) -> nn.Sequential | None:
    """The layers under a prefix in order; None where there are none."""
    found = named(prefix, layers)
    return nn.Sequential(found) if found else None
