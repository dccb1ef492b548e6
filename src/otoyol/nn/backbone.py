"""A classifier, or the same without its classifier or pool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from otoyol.nn.attention import Factory
from otoyol.nn.block import Layers, named
from otoyol.nn.init import init_weights
from otoyol.nn.options import with_head
from otoyol.nn.trunk import Trunk, layers_outside, tap_norms
from otoyol.ops import lower
from otoyol.spec import Spec


class Head(nn.Sequential):
    """Global pool, dropout, classifier: those of them that the spec has."""

    def forward(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """(N, C, H, W) to (N, classes); ``pre_logits`` stops before the classifier."""
        for name, step in self._modules.items():
            if not (pre_logits and name == "fc"):
                x = step(x)
        return x


class Backbone(Trunk):
    """A residual network with its head; :func:`otoyol.nn.build` makes it. See :class:`Trunk` for what it publishes.

    ``feature_info`` lists the taps in timm's form: ``num_chs``, ``reduction``, ``module`` and, besides, ``name``.
    """

    def __init__(self, spec: Spec, attention: Factory | None = None) -> None:
        super().__init__(spec, attention)
        self.head = _head(spec, layers_outside(spec, lower(spec)))
        init_weights(self, spec.zero_init, attention)

    @property
    def feature_info(self) -> list[dict[str, Any]]:
        return self.tap_info

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) to logits (N, classes), or to what the head leaves: (N, num_features) or the last map."""
        return self.head(self.forward_features(x))

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """The last map to logits; with ``pre_logits`` to what the classifier reads."""
        return self.head(x, pre_logits=pre_logits)

    def get_classifier(self) -> nn.Module:
        """The linear classifier, an identity where there is none."""
        return self.head.fc if self.num_classes else nn.Identity()  # type: ignore[return-value]

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A fresh classifier (0: none) and, if given, another pool: ``avg``, or ``""`` for none and no classifier.

        ``spec`` changes with it. Raises SpecError for what a head cannot be.
        """
        spec = with_head(self.spec, num_classes, global_pool)
        lowered = lower(spec)
        like = next(self.parameters(), torch.empty(0))
        with torch.device(like.device):
            outside = layers_outside(spec, lowered)
        head, taps = _head(spec, outside), tap_norms(outside)
        taps.update({name: steps for name, steps in self.taps.items() if name in taps})
        self.head, self.taps = head.to(like.dtype), taps.to(like.dtype)
        self.train(self.training)
        self.describe(spec, lowered)

    def prune_intermediate_layers(
        self, indices: int | Sequence[int] | None = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """:meth:`cut` under timm's name. ``prune_head`` drops the head too; otherwise its classifier starts afresh.

        ``prune_norm`` is there for timm's callers: the norm belongs to the last tap and stays.
        """
        del prune_norm
        if prune_head:
            self.reset_classifier(0, "")
        channels = self.num_features
        taken = self.cut(indices)
        if self.num_features != channels:
            self.reset_classifier(self.num_classes)
        return taken


def _head(spec: Spec, outside: Layers) -> Head:
    layers = named("head", outside)
    if spec.head.dropout and spec.head.pool != "none":
        layers["dropout"] = nn.Dropout(spec.head.dropout)
        if "fc" in layers:
            layers.move_to_end("fc")
    return Head(layers)
