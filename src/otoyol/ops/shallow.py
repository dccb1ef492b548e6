"""What a network of any depth shows at the price of two blocks a stage: those behind the second repeat it."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from otoyol.errors import SpecError
from otoyol.ops.block import Place, Sizes, lower_block, strided
from otoyol.ops.network import block_groups, lower_stem, lower_tail, lower_tap_norm, taps_with_norms
from otoyol.ops.op import Op
from otoyol.ops.receptive import View, behind, through
from otoyol.spec.model import Spec
from otoyol.spec.plan import Form


class TapView(NamedTuple):
    """A tap as in :class:`otoyol.ops.Tap`, but for the operator's index."""

    name: str
    channels: int
    height: int
    width: int
    stride: int
    receptive_field: int
    offset: int


def lower_one(spec: Spec, stage: int, block: int) -> list[Op]:
    """One block's operators as ``lower(spec)`` names them, inputs counted within the block (INPUT is its x).

    Raises SpecError where the design has no such block.
    """
    depths = [plan.depth for plan in spec.plan]
    if not 0 <= stage < len(depths):
        raise SpecError("stage", stage, f"0 to {len(depths) - 1}")
    if not 0 <= block < depths[stage]:
        raise SpecError("block", block, f"0 to {depths[stage] - 1} in stage {stage}")
    h, w = spec.input.height, spec.input.width
    strides = [*spec.stem.strides, *([] if spec.stem.pool == "none" else [2])]
    for stride in [*strides, *(plan.stride for plan in spec.plan[:stage])]:
        h, w = strided(h, stride), strided(w, stride)
    group = list(block_groups(spec, spec.plan[stage], stage, h, w))[min(block, 1)]
    return lower_block(spec.plan[stage].form, group.place, group.sizes, f"stages.{stage}.{block}.", stage, block)


def lower_outside(spec: Spec) -> list[Op]:
    """The operators outside of the stages as ``lower(spec)`` names them, inputs counted within stem, tail and tap."""
    views = tap_views(spec)
    taps = [(spec.plan[stage].form, views[stage + 1]) for stage in taps_with_norms(spec)]
    norms = [op for form, tap in taps for op in lower_tap_norm(form, tap.name, tap.channels, tap.height, tap.width)]
    last = views[-1]
    return [*lower_stem(spec), *lower_tail(spec, last.channels, last.height, last.width), *norms]


def tap_views(spec: Spec) -> tuple[TapView, ...]:
    """The taps of ``lower(spec)``, wherever they are taken: norms and acts change neither shape nor view."""
    stem = lower_stem(spec)
    seen = through(stem)
    last = len(stem) - 1 - (stem[-1].kind == "maxpool")
    found = [_tap(0, stem[last].c_out, stem[last].h_out, stem[last].w_out, seen[last])]
    h, w, view = stem[-1].h_out, stem[-1].w_out, seen[-1]
    for stage, plan in enumerate(spec.plan):
        for group in block_groups(spec, plan, stage, h, w):
            n = group.sizes
            block = _block_view(plan.form, group.place, n.stride, n.dilation, n.dilation_rest)
            view = behind(view, block, group.repeat)
        h, w = strided(h, plan.stride), strided(w, plan.stride)
        found.append(_tap(stage + 1, plan.out, h, w, view))
    return tuple(found)


def _tap(index: int, c: int, h: int, w: int, view: View) -> TapView:
    return TapView(f"C{index + 1}", c, h, w, view.stride, view.size, view.start)


@lru_cache(1_024)
def _block_view(form: Form, place: Place, stride: int, dilation: int, dilation_rest: int) -> View:
    """What a block's output sees of its input; widths have no part in it."""
    return through(lower_block(form, place, Sizes(1, 1, 1, 1, 1, stride, dilation, dilation_rest, 1)))[-1]
