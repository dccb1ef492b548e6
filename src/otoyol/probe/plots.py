"""The pictures of a probe: gradients, signal, shortcut's share, norms, dead channels, Jacobians, losses, lesions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from otoyol.draw.curves import Curve, Panel, curves_plot, spread_over
from otoyol.draw.labels import say
from otoyol.probe.result import Run, Snapshot
from otoyol.probe.summary import Row, block_curve, by_design, dead_share, each_block, each_norm, measured

Figures = Callable[[Snapshot], Row]

# Picture → its quantities: title key, figures block by block, logarithmic, unit.
PICTURES: dict[str, tuple[tuple[str, Figures, bool, str], ...]] = {
    "gradient": (
        ("gradient", each_block(lambda b: b.grad_in), True, ""),
        ("weight_gradient", each_block(lambda b: b.weight_grad), True, ""),
    ),
    "signal": (
        ("variance", each_block(lambda b: b.var_out), True, ""),
        ("cosine", each_block(lambda b: b.cosine), False, ""),
    ),
    "skip": (("skip_share", each_block(lambda b: b.skip_share), False, ".0%"),),
    "norm": (
        ("norm_batch", each_norm(lambda n: n.batch_var), True, ""),
        ("norm_stored", each_norm(lambda n: n.stored_var), True, ""),
        ("norm_gain", each_norm(lambda n: n.gain_mean), False, ""),
    ),
    "dead": (("dead", dead_share, False, ".1%"),),
    "jacobian": (
        ("largest", each_block(lambda b: b.jacobian.largest if b.jacobian else None), True, ""),
        ("rms", each_block(lambda b: b.jacobian.rms if b.jacobian else None), True, ""),
    ),
}
# What is to be compared: the stored variance with the batch's, on one axis.
SCALES = {"norm_stored": "norm_batch"}


def draw(runs: Sequence[Run], folder: Path, lang: str = "en") -> list[str]:
    """Write every picture that the runs have figures for, as PNG and SVG; returns their stems.

    A line is the mean over seeds, its band the range. Raises MissingExtraError without matplotlib.
    """
    written = []
    designs = by_design(runs)
    for stem, quantities in PICTURES.items():
        panels = []
        for key, figures, log, unit in quantities:
            for which in (0, 1):
                curves = _curves(designs, which, figures)
                if curves:
                    steps = max(snapshot.step for found in designs.values() for snapshot in measured(found, which))
                    when = say("probe.plot.before" if not which else "probe.plot.after", lang, steps=steps)
                    title = f"{say(f'probe.plot.{key}', lang)}\n{when}"
                    panels.append(
                        Panel(title, say("probe.plot.block", lang), curves, log, unit, scale=SCALES.get(key, key))
                    )
        if panels:
            curves_plot(panels, folder, stem, lang)
            written.append(stem)
    for stem, panel in (("loss", _losses(designs, lang)), ("lesion", _lesions(designs, lang))):
        if panel.curves:
            curves_plot([panel], folder, stem, lang)
            written.append(stem)
    return written


def _curves(designs: dict[str, list[Run]], which: int, figures: Figures) -> tuple[Curve, ...]:
    curves = (block_curve(name, found, figures) for name, runs in designs.items() if (found := measured(runs, which)))
    return tuple(curve for curve in curves if any(value is not None for value in curve.values))


def _losses(designs: dict[str, list[Run]], lang: str) -> Panel:
    curves = []
    for name, runs in designs.items():
        shortest = min(len(run.losses) for run in runs)
        if shortest > 1:
            curves.append(spread_over(name, [run.losses[:shortest] for run in runs]))
    return Panel(say("probe.plot.loss", lang), say("probe.plot.step", lang), tuple(curves), log=True)


def _lesions(designs: dict[str, list[Run]], lang: str) -> Panel:
    curves, intact = [], []
    for name, runs in designs.items():
        studies = [run.lesion for run in runs if run.lesion and run.lesion.lesions]
        if studies:
            curves.append(spread_over(name, [[lesion.accuracy for lesion in study.lesions] for study in studies]))
            intact.append(sum(study.intact for study in studies) / len(studies))
    title = say("probe.plot.lesion", lang)
    return Panel(title, say("probe.plot.removed", lang), tuple(curves), unit=".0%", lines=tuple(intact))
