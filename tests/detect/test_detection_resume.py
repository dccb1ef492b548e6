"""A detection run that is broken off goes on to the same weights, bit for bit: crops, sampled proposals and all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from _detect_small import NORMED, SMALL, V2
from test_detection_task import config, data

from otoyol.train.seeds import own_chance
from otoyol.train.signals import Stop

pytest.importorskip("lightning_fabric")
STEPS = 5


class PulledPlugError(Exception):
    pass


def weights(given: Any, folder: Path, *, break_at: int = 0, resume: bool = False) -> dict[str, torch.Tensor]:
    """The average's weights after a run, which loses its process right after step ``break_at``."""
    from otoyol.train.run import prepare

    def tell(told: Any) -> None:
        if break_at and getattr(told, "step", 0) == break_at and hasattr(told, "loss"):
            raise PulledPlugError

    with own_chance():
        trainer, content = prepare(given, folder, Stop(), resume=resume, tell=tell)
        assert (content is not None) is resume
        trainer.train(content)
    return {**trainer.model.state_dict(), **{f"average.{name}": v for name, v in trainer.average.values.items()}}


@pytest.mark.parametrize("kind", ["fcos", "fasterrcnn"])
@pytest.mark.parametrize("break_at", [2, 4])
def test_resumed_is_never_interrupted(tmp_path: Path, kind: str, break_at: int) -> None:
    more = {"box_width": 8} if kind == "fasterrcnn" else NORMED
    given = config(
        data(tmp_path / "data"), spec=f"{V2},drop_path=0.2", detector={**SMALL, **more, "kind": kind},
        augment={"hflip": 0.5, "iou_crop": 0.5, "canvas": [32, 48], "scale": [0.5, 1.5], "photometric": 0.5},
        recipe={"steps": STEPS, "batch": 3, "ema": {"decay": 0.9}},
        run={"evaluate_every": 100, "log_every": 1, "tensorboard": False, "checkpoints": {"every_steps": 1}},
    )  # fmt: skip
    whole = weights(given, tmp_path / "whole")
    with pytest.raises(PulledPlugError):
        weights(given, tmp_path / "broken", break_at=break_at)
    resumed = weights(given, tmp_path / "broken", resume=True)
    assert whole.keys() == resumed.keys()
    assert [name for name, value in whole.items() if not torch.equal(value, resumed[name])] == []
