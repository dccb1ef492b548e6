"""Receptive fields: which input pixels a tensor's pixel sees along one axis.

A tensor's pixel i sees input pixels ``start + i·stride`` to ``start + i·stride + size - 1`` (Araujo et al. 2019,
"Computing Receptive Fields of Convolutional Neural Networks", Eqs. 2 and 4, with the union over branches of section 3).
Squeezes over the whole image (SE, ECA, CBAM) are gates, and not followed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from otoyol.ops.op import INPUT, Op


class View(NamedTuple):
    stride: int
    start: int
    size: int


IMAGE = View(1, 0, 1)


def through(ops: Sequence[Op]) -> list[View]:
    """The view of every operator's output."""
    views: list[View] = []
    for op in ops:
        seen = [views[i] if i != INPUT else IMAGE for i in op.inputs]
        gated = op.kind == "mul" and op.slot == "attention"
        views.append(_step(op, seen[0] if gated or len(seen) == 1 else _union(seen)))
    return views


def behind(view: View, block: View, repeat: int = 1) -> View:
    """The view of a block's output, from that of its input and from what the block by itself sees of its input; of
    ``repeat`` such blocks, one behind another, where they do not stride."""
    step = repeat * view.stride
    return View(view.stride * block.stride, view.start + step * block.start, view.size + step * (block.size - 1))


def _union(views: list[View]) -> View:
    start = min(view.start for view in views)
    end = max(view.start + view.size for view in views)
    return View(views[0].stride, start, end - start)


def _step(op: Op, view: View) -> View:
    if (op.kernel == 1 and op.stride == 1) or (op.slot == "attention" and op.kind != "mul"):
        return view
    reach = op.dilation * (op.kernel - 1)  # pixels beyond the first
    # Odd kernels are centred; the even one is ResNet-D's 2×2 pool, which starts at its pixel.
    before = reach // 2 if op.kernel % 2 else 0
    return View(view.stride * op.stride, view.start - before * view.stride, view.size + reach * view.stride)
