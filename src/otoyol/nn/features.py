"""A backbone whose output is its taps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from otoyol.nn.attention import Factory
from otoyol.nn.init import init_weights
from otoyol.nn.published import take_indices
from otoyol.nn.trunk import Trunk
from otoyol.spec import Spec


class FeatureInfo(list[dict[str, Any]]):
    """All taps as rows (``num_chs``, ``reduction``, ``module``, ``name``); the methods tell of the chosen ones."""

    def __init__(self, rows: Sequence[dict[str, Any]], out_indices: Sequence[int]) -> None:
        super().__init__(rows)
        self.out_indices = tuple(out_indices)

    def channels(self, idx: int | Sequence[int] | None = None) -> Any:
        return self._get("num_chs", idx)

    def reduction(self, idx: int | Sequence[int] | None = None) -> Any:
        return self._get("reduction", idx)

    def module_name(self, idx: int | Sequence[int] | None = None) -> Any:
        return self._get("module", idx)

    def get_dicts(self, keys: Sequence[str] | None = None, idx: int | Sequence[int] | None = None) -> Any:
        rows = [{key: row[key] for key in keys or row} for row in self]
        return rows[idx] if isinstance(idx, int) else [rows[i] for i in (self.out_indices if idx is None else idx)]

    def _get(self, key: str, idx: int | Sequence[int] | None) -> Any:
        return (
            self[idx][key]
            if isinstance(idx, int)
            else [self[i][key] for i in (self.out_indices if idx is None else idx)]
        )


class FeatureBackbone(Trunk):
    """``forward`` gives the chosen taps as a list, as timm's feature extractors do; ``forward_taps`` gives a dict.

    ``feature_info`` has timm's ``channels()`` and ``reduction()``. Stages behind the last chosen tap are kept, so
    that checkpoints fit, and not run; ``cut(model.out_indices)`` removes them.
    """

    def __init__(
        self, spec: Spec, out_indices: int | Sequence[int] | None = None, attention: Factory | None = None
    ) -> None:
        super().__init__(spec, attention)
        self.out_indices = tuple(take_indices(len(self.tap_info), out_indices))
        self._names = tuple(self.tap_info[index]["name"] for index in self.out_indices)
        init_weights(self, spec.zero_init, attention)

    @property
    def feature_info(self) -> FeatureInfo:
        return FeatureInfo(self.tap_info, self.out_indices)

    def taps_preact(self, index: int) -> bool:
        """Whether a chosen tap is the first preact slot of stage ``index`` (from 0), which then runs first, alone."""
        return index > 0 and self._tap_slots[index - 1] == "preact" and f"C{index + 1}" in self._names

    def forward(self, x: Tensor) -> list[Tensor]:
        """Images (N, C, H, W) to the chosen taps, shallow to deep."""
        return list(self.forward_taps(x, self._names).values())
