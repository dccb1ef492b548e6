"""The confusion matrix as a metric: every figure of a classifier's evaluation, exact over any batches and ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Confusion:
    """A :class:`otoyol.train.task.Metric`. ``counts[t, p]``: how many samples of class t were taken for class p."""

    def __init__(self, classes: Sequence[str], inputs: Callable[[Tensor, nn.Module], Tensor]) -> None:
        self.classes, self._inputs = tuple(classes), inputs
        self.counts = torch.zeros(len(classes), len(classes), dtype=torch.int64)
        self.loss = torch.zeros((), dtype=torch.float64)  # the sum over all samples, in nats
        self.top5 = torch.zeros((), dtype=torch.int64)

    def update(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
        images, labels = batch
        logits = model(self._inputs(images, model)).double()
        count = len(self.classes)
        places = labels * count + logits.argmax(1)
        self.counts += torch.bincount(places, minlength=count * count).view(count, count).cpu()
        self.loss += nn.functional.cross_entropy(logits, labels, reduction="sum").cpu()
        self.top5 += (logits.topk(min(5, count)).indices == labels[:, None]).sum().cpu()

    def state(self) -> dict[str, Tensor]:
        return {"counts": self.counts, "loss": self.loss, "top5": self.top5}

    def merge(self, states: Sequence[Any]) -> None:
        self.counts, self.loss, self.top5 = (
            torch.stack([state[key] for state in states]).sum(0) for key in ("counts", "loss", "top5")
        )

    def compute(self) -> dict[str, float]:
        total = int(self.counts.sum())
        if not total:
            return dict.fromkeys(("accuracy", "top5", "loss"), float("nan"))
        right = int(self.counts.diagonal().sum())
        return {"accuracy": right / total, "top5": int(self.top5) / total, "loss": float(self.loss) / total}

    def by_class(self) -> list[dict[str, Any]]:
        """Each class's samples, recall (of them, the share that was found) and precision (of what was taken for it);
        None where there is nothing to divide by."""
        rows, columns = self.counts.sum(1).tolist(), self.counts.sum(0).tolist()
        return [
            {
                "class": name, "samples": rows[number],
                "recall": int(self.counts[number, number]) / rows[number] if rows[number] else None,
                "precision": int(self.counts[number, number]) / columns[number] if columns[number] else None,
            }
            for number, name in enumerate(self.classes)
        ]  # fmt: skip
