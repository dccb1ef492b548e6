"""What every network has, with a head or without: stem, stages, final norm, taps."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from otoyol.errors import SpecError
from otoyol.nn.attention import Factory
from otoyol.nn.block import Layers, ResidualBlock, sequence
from otoyol.nn.checkpoint import checkpointed
from otoyol.nn.layers import has_layer, layer
from otoyol.nn.lean import compiling, tape
from otoyol.nn.published import default_cfg, published, take_indices
from otoyol.ops import Ops, lower
from otoyol.ops.block import lower_block, strided
from otoyol.ops.inplace import in_place
from otoyol.ops.network import block_groups, lower_stem
from otoyol.spec import Spec


class Stage(nn.Sequential):
    """Blocks in a row. In training, ``checkpointing`` of them together (0: none) hold only their input and are run
    again for backward, leanly with ``lean``."""

    checkpointing: int = 0
    lean: bool = False

    def forward(self, x: Tensor, preacted: Tensor | None = None) -> Tensor:
        """``preacted`` is what the first block's preact slot put out, where that is known."""
        if self.checkpointing and self.training and not compiling():
            blocks = list(self)
            for start in range(0, len(blocks), self.checkpointing):
                x = checkpointed(blocks[start : start + self.checkpointing], x, preacted, self.lean)
                preacted = None
            return x
        for block in self:
            x = block(x, preacted)
            preacted = None
        return x


class Trunk(nn.Module):
    """Abstract: :class:`otoyol.nn.Backbone` adds a head, :class:`otoyol.nn.FeatureBackbone` puts out the taps.

    Module paths are the names of ``lower(spec)``'s operators: ``stem.conv1``, ``stages.0.0.branch.conv1``.
    ``spec`` is the description that the module has now. ``tap_channels`` and ``tap_strides`` describe the taps C1
    (stem), C2 (first stage), … by name. ``num_features`` and ``head_hidden_size`` are the last stage's channels.
    """

    stem: nn.Sequential
    final: nn.Sequential | None
    memory: str = "standard"  # set by otoyol.nn.memory_mode
    lean: bool = False
    tap_info: list[dict[str, Any]]

    def __init__(self, spec: Spec, attention: Factory | None = None) -> None:
        super().__init__()
        lowered = lower(spec)
        outside = layers_outside(spec, lowered)
        self.stem = sequence("stem", outside) or nn.Sequential()
        self.stages = nn.Sequential(*_stages(spec, attention))
        self.final = sequence("final", outside)
        self.taps = tap_norms(outside)
        self.describe(spec, lowered)

    def describe(self, spec: Spec, lowered: Ops) -> None:
        """Publish the facts of ``spec``, which the modules already follow."""
        facts = published(lowered)
        self.spec = spec
        self.tap_info, self.tap_channels, self.tap_strides = facts.tap_info, facts.tap_channels, facts.tap_strides
        self._tap_slots, self._first_tap = facts.slots, facts.first
        self.num_features = self.head_hidden_size = spec.plan[-1].out
        self.num_classes = spec.head.classes
        self.default_cfg = self.pretrained_cfg = default_cfg(spec)

    def forward_features(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) to the last map (N, num_features, H', W'), after the final norm where there is one."""
        with tape(self.lean and self.training, x):
            x = self.stem(x)
            for stage in self.stages:
                x = stage(x)
            return x if self.final is None else self.final(x)

    def forward_taps(self, x: Tensor, names: Collection[str] | None = None) -> dict[str, Tensor]:
        """Images to the feature maps C1, C2, … by name; ``names`` selects some, and nothing deeper is computed.

        Channels and strides are in ``tap_channels`` and ``tap_strides``; ``spec.taps`` says what is tapped.
        Raises SpecError for a name that is not a tap.
        """
        if names is not None and (not names or any(name not in self.tap_channels for name in names)):
            raise SpecError("taps", list(names), f"some of {', '.join(self.tap_channels)}")
        return self._run(x, tuple(self.tap_channels if names is None else names), stop=True)[1]

    def forward_intermediates(
        self, x: Tensor, indices: int | Sequence[int] | None = None, norm: bool = False, stop_early: bool = False,
        output_fmt: str = "NCHW", intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:  # fmt: skip
        """timm's way to the taps: (last map, taps) or, with ``intermediates_only``, the taps.

        ``indices``: 0 is C1; an integer takes the last so many. ``norm`` puts the last tap behind the final norm
        where ``spec.taps`` does not already. Raises SpecError for another format than NCHW or a missing index.
        """
        if output_fmt != "NCHW":
            raise SpecError("output_fmt", output_fmt, "NCHW")
        names = list(self.tap_channels)
        wanted = tuple(names[i] for i in take_indices(len(names), indices))
        stop = stop_early or intermediates_only
        x, taps = self._run(x, wanted, stop)
        if norm and self.final is not None and self._tap_slots[-1] != "final" and names[-1] in taps:
            taps[names[-1]] = self.final(taps[names[-1]]) if stop else x
        return list(taps.values()) if intermediates_only else (x, list(taps.values()))

    def _run(self, x: Tensor, wanted: Sequence[str], stop: bool) -> tuple[Tensor, dict[str, Tensor]]:
        """The last map and the wanted taps, each preact slot run once; with ``stop``, as far as the taps need."""
        with tape(self.lean and self.training, x):
            return self._walk(x, wanted, stop)

    def _walk(self, x: Tensor, wanted: Sequence[str], stop: bool) -> tuple[Tensor, dict[str, Tensor]]:
        found: dict[str, Tensor] = {}
        for name, step in self.stem.named_children():
            x = step(x)
            if name == self._first_tap and "C1" in wanted:
                found["C1"] = x
        for index, stage in enumerate(self.stages):
            if stop and len(found) == len(wanted):
                return x, found
            preacted: Tensor | None = None
            if index and self._tap_slots[index - 1] == "preact" and f"C{index + 1}" in wanted:
                found[f"C{index + 1}"] = preacted = stage[0].preact(x)  # type: ignore[index]
                if stop and len(found) == len(wanted):
                    return x, found
            x = stage(x, preacted)
            del preacted
            tap, slot = f"C{index + 2}", self._tap_slots[index]
            if tap in wanted and slot not in ("preact", "final"):
                found[tap] = self.taps[tap](x) if slot == "tap" else x
        if stop and len(found) == len(wanted):
            return x, found
        x = x if self.final is None else self.final(x)
        if self._tap_slots[-1] == "final" and tap in wanted:
            found[tap] = x
        return x, found

    def cut(self, indices: int | Sequence[int] | None) -> list[int]:
        """Drop the stages behind the last of ``indices`` (as in :meth:`forward_intermediates`); returns the indices.

        The norm through which the last tap is read stays with its weights, as the final norm. Raises SpecError where
        the first stage that goes has another preact slot than the last that stays.
        """
        taken = take_indices(len(self.tap_channels), indices)
        depth = max(1, *taken)
        if depth == len(self.stages):
            return taken
        preact, name = self.spec.plan[depth - 1].form.preact, f"C{depth + 1}"
        if preact and self.spec.plan[depth].form.preact != preact:
            raise SpecError("indices", taken, f"a last index whose next stage has the preact slot {' '.join(preact)}")
        spec = self.spec.model_copy(update={"stages": self.spec.stages[:depth]})
        stays = self.taps.pop(name) if preact and name in self.taps else self.stages[depth][0].preact  # type: ignore[index]
        self.final = stays if preact else None  # type: ignore[assignment]
        for later in [tap for tap in self.taps if int(tap[1:]) > depth + 1]:
            self.taps.pop(later)
        del self.stages[depth:]
        self.describe(spec, lower(spec))
        return taken

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Hold only the blocks' inputs in training, timm's name for :func:`otoyol.nn.memory_mode`'s ``checkpoint``."""
        from otoyol.nn.memory import memory_mode

        memory_mode(self, "checkpoint" if enable else "standard")

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """timm's patterns for layer-wise learning rates."""
        blocks = r"^stages\.(\d+)" if coarse else [(r"^stages\.(\d+)\.(\d+)", None), (r"^(?:final|taps)", (99999,))]
        return {"stem": r"^stem", "blocks": blocks}

    def no_weight_decay(self) -> set[str]:
        """Names that timm's optimizers must not decay beyond vectors, which they never do: none."""
        return set()


def layers_outside(spec: Spec, lowered: Ops) -> Layers:
    """The layers that stand in no block, with their operators."""
    marked = zip(lowered.ops, in_place(lowered.ops), strict=True)
    return [(op, layer(op, spec.norm, inplace)) for op, inplace in marked if op.stage < 0 and has_layer(op)]


def tap_norms(outside: Layers) -> nn.ModuleDict:
    """The norms and acts that taps have of their own, by tap."""
    names = dict.fromkeys(op.name.split(".")[1] for op, _ in outside if op.slot == "tap")
    return nn.ModuleDict({name: sequence(f"taps.{name}", outside) or nn.Sequential() for name in names})


def _stages(spec: Spec, attention: Factory | None) -> Iterator[Stage]:
    blocks = sum(plan.depth for plan in spec.plan)
    stem = lower_stem(spec)[-1]
    done, h, w = 0, stem.h_out, stem.w_out
    for index, plan in enumerate(spec.plan):
        shortcut = spec.stages[index].shortcut or spec.shortcut
        stage = Stage()
        for group in block_groups(spec, plan, index, h, w):
            ops = lower_block(plan.form, group.place, group.sizes)
            for _ in range(group.repeat):
                rate = spec.drop_path * done / max(1, blocks - 1)
                stage.append(ResidualBlock(ops, plan.form, spec.norm, shortcut, rate, attention))
                done += 1
        h, w = strided(h, plan.stride), strided(w, plan.stride)
        yield stage
