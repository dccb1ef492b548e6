"""The confusion matrix as a metric: every figure of a classifier's evaluation, exact over any batches and ranks.

Beside it what the pictures need, in a memory that does not grow with the split: scores counted in steps of their
log-odds, from which precision follows at every step, and some images that were taken for what they are and are not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

SHOWN = 16  # images that are kept of either kind
STEPS, REACH = 512, 16.0  # steps of the log-odds from -REACH to REACH: precision is known every sixteenth of a nat


class Seen(NamedTuple):
    """One judged image, uint8 (C, H, W): its class, what it was taken for, and the score of that from 0 to 1."""

    image: Tensor
    label: int
    taken: int
    score: float


class Precision(NamedTuple):
    """Precision over recall, both falling and rising from the highest score on. ``ap``: the area, recall's steps
    weighted by their precision, as scikit-learn's average_precision_score has it; NaN where there is nothing to find.
    """

    recall: Tensor
    precision: Tensor
    ap: float


class Confusion:
    """A :class:`otoyol.train.task.Metric`. ``counts[t, p]``: how many samples of class t were taken for class p."""

    def __init__(self, classes: Sequence[str], inputs: Callable[[Tensor, nn.Module], Tensor]) -> None:
        self.classes, self._inputs = tuple(classes), inputs
        self.counts = torch.zeros(len(classes), len(classes), dtype=torch.int64)
        self.loss = torch.zeros((), dtype=torch.float64)  # the sum over all samples, in nats
        self.top5 = torch.zeros((), dtype=torch.int64)
        self.steps = torch.zeros(2, len(classes), STEPS, dtype=torch.int64)  # of other classes' images, of its own
        self.wrong: list[Seen] = []
        self.right: list[Seen] = []

    def update(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
        images, labels = batch
        logits = model(self._inputs(images, model)).double()
        count = len(self.classes)
        places = labels * count + logits.argmax(1)
        self.counts += torch.bincount(places, minlength=count * count).view(count, count).cpu()
        self.loss += nn.functional.cross_entropy(logits, labels, reduction="sum").cpu()
        self.top5 += (logits.topk(min(5, count)).indices == labels[:, None]).sum().cpu()
        scores = logits.softmax(1)
        own = nn.functional.one_hot(labels, count)
        step = ((scores.logit() + REACH) * (STEPS / (2 * REACH))).clamp(0, STEPS - 1).nan_to_num(0).long()
        places = (own * count + torch.arange(count, device=own.device)) * STEPS + step
        self.steps += torch.bincount(places.flatten(), minlength=2 * count * STEPS).view_as(self.steps).cpu()
        self._show(images, labels, scores)

    def _show(self, images: Tensor, labels: Tensor, scores: Tensor) -> None:
        taken = scores.argmax(1)
        for kept, which in ((self.wrong, taken != labels), (self.right, taken == labels)):
            for index in which.nonzero().flatten()[: SHOWN - len(kept)].tolist():
                guess = int(taken[index])
                kept.append(Seen(images[index].cpu().clone(), int(labels[index]), guess, float(scores[index, guess])))

    def state(self) -> dict[str, Any]:
        sums = {"counts": self.counts, "loss": self.loss, "top5": self.top5, "steps": self.steps}
        return {**sums, "wrong": self.wrong, "right": self.right}

    def merge(self, states: Sequence[Any]) -> None:
        self.counts, self.loss, self.top5, self.steps = (
            torch.stack([state[key] for state in states]).sum(0) for key in ("counts", "loss", "top5", "steps")
        )
        self.wrong, self.right = ([one for state in states for one in state[key]][:SHOWN] for key in ("wrong", "right"))

    def shown(self) -> list[Seen]:
        """At most :data:`SHOWN` images, wrong ones first, in the split's order."""
        return [*self.wrong, *self.right][:SHOWN]

    def precision(self, number: int | None = None) -> Precision:
        """One class against all others; without ``number`` the micro average, every score of every image a decision."""
        others, own = (of.sum(0) if number is None else of[number] for of in self.steps)
        found, taken = own.flip(0).cumsum(0).double(), (own + others).flip(0).cumsum(0).double()
        total = float(own.sum())
        recall, precision = found / max(1.0, total), (found / taken.clamp(min=1))
        some = taken > 0
        gained = torch.diff(recall, prepend=recall.new_zeros(1))
        return Precision(recall[some], precision[some], float((gained * precision).sum()) if total else float("nan"))

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
