"""What was measured, in words. No sentence says more than the figures in it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence

from otoyol.explain.text import number, say
from otoyol.probe.result import LesionStudy, Run, Snapshot
from otoyol.probe.summary import (
    Spread,
    by_design,
    gradient_ratio,
    late_loss,
    measured,
    over,
    skip_share,
    spread,
    weight_ratio,
)


def verdict(runs: Sequence[Run], lang: str = "en") -> list[str]:
    """One paragraph on what was done, one a design, one on what sets the designs apart, one on what is left open.

    A design's paragraph has one finding a line.
    """
    designs = by_design(runs)
    paragraphs = [_done(runs, lang)]
    paragraphs += ["\n  ".join(_design(name, own, lang)) for name, own in designs.items()]
    if len(designs) > 1:
        paragraphs.append("\n".join(_apart(designs, lang)))
    return [*paragraphs, say("probe.open", lang)]


def _done(runs: Sequence[Run], lang: str) -> str:
    seeds = sorted({run.seed for run in runs})
    first = runs[0]
    facts = {"data": first.data, "batch": first.batch, "steps": max(run.steps for run in runs), "lr": first.lr}
    images = first.snapshots[0].images
    done = say("probe.done", lang, images=images, **facts)
    if not facts["steps"]:
        done = say("probe.done_fresh", lang, images=images, data=first.data)
    few = say("probe.one_seed", lang, seed=seeds[0]) if len(seeds) == 1 else say("probe.seeds", lang, seeds=len(seeds))
    skipped = sorted({name for run in runs for name in run.skipped})
    left_out = [say("probe.skipped", lang, count=len(skipped), names=", ".join(skipped[:5]))] if skipped else []
    return " ".join([done, few, *left_out])


def _design(name: str, runs: Sequence[Run], lang: str) -> Iterator[str]:
    start, end = measured(runs, 0), measured(runs, 1)
    yield f"{name}:"
    for run in runs:
        if run.problem:
            yield say(f"probe.problem_{run.problem.what}", lang, seed=run.seed, where=run.problem.where,
                      step=run.problem.step)  # fmt: skip
    if not start:
        return
    yield from _both("gradient", start, end, gradient_ratio, "", lang)
    yield from _both("weights", start, end, weight_ratio, "", lang)
    yield from _both("skip", start, end, skip_share, ".0%", lang)
    variance = over(start, lambda s: s.blocks[-1].var_out / s.blocks[0].var_in if s.blocks[0].var_in else None)
    if variance:
        yield say("probe.variance", lang, ratio=ranged(variance, "", lang))
    yield from _jacobians(start, lang)
    yield from _identities(runs, lang)
    for snapshots in (start, end):
        yield from _dead(snapshots, lang)
    for run in runs:
        if run.lesion:
            yield _lesion(run.seed, run.lesion, lang)


def _both(
    key: str,
    start: list[Snapshot],
    end: list[Snapshot],
    figure: Callable[[Snapshot], float | None],
    how: str,
    lang: str,
) -> Iterator[str]:
    before, after = over(start, figure), over(end, figure)
    if before:
        said = say(f"probe.{key}", lang, before=ranged(before, how, lang))
        then = say("probe.then", lang, steps=end[0].step, after=ranged(after, how, lang)) if after else ""
        yield f"{said} {then}".rstrip()


def _jacobians(start: list[Snapshot], lang: str) -> Iterator[str]:
    found = [block.jacobian for snapshot in start for block in snapshot.blocks if block.jacobian]
    if found:
        exact = all(jacobian.method == "svd" for jacobian in found)
        largest = [jacobian.largest for jacobian in found]
        facts = {"low": min(largest), "high": max(largest), "steps": max(jacobian.steps for jacobian in found)}
        change = max(jacobian.change for jacobian in found)
        yield say("probe.jacobian_exact" if exact else "probe.jacobian", lang, change=change, **facts)


def _identities(runs: Sequence[Run], lang: str) -> Iterator[str]:
    found = [stretch for run in runs for stretch in run.stretches]
    if not found:
        if any(run.problem is None for run in runs):
            yield say("probe.no_stretch", lang)
        return
    longest = max(found, key=lambda stretch: stretch.length)
    pure = all(stretch.factor == 1.0 for stretch in found)
    facts = {"length": longest.length, "first": longest.first, "last": longest.last, "factor": longest.factor}
    residual = max(max(stretch.forward, stretch.backward) for stretch in found)
    yield say("probe.identity" if pure else "probe.scaled", lang, residual=f"{residual:.0e}", **facts)
    shares = [stretch.direct_share for run in runs for stretch in run.stretches
              if stretch.first == longest.first and stretch.direct_share is not None]  # fmt: skip
    if held := spread(shares):
        yield say("probe.direct", lang, share=ranged(held, ".1%", lang))


def _dead(snapshots: list[Snapshot], lang: str) -> Iterator[str]:
    """Of one measurement: the dead channels, and the blocks whose F is zero, by name."""
    channels = sum(layer.channels for snapshot in snapshots for layer in snapshot.dead)
    dead = sum(layer.dead for snapshot in snapshots for layer in snapshot.dead)
    if channels:
        share = dead / channels
        yield say("probe.channels", lang, dead=dead, channels=channels, share=share, step=snapshots[0].step)
    for key, blocks in (
        ("dead", [block.name for snapshot in snapshots for block in snapshot.blocks if block.dead]),
        ("silent", [b.name for snapshot in snapshots for b in snapshot.blocks if b.silent and not b.dead]),
    ):
        names = sorted(set(blocks))
        if names:
            named = ", ".join(names[:8]) + (", …" if names[8:] else "")
            yield say(f"probe.{key}", lang, step=snapshots[0].step, count=len(names), names=named)


def _lesion(seed: int, study: LesionStudy, lang: str) -> str:
    """The accuracy's standard error is that of ``images`` independent draws."""
    error = (study.intact * (1 - study.intact) / study.images) ** 0.5
    intact = say("probe.accuracy", lang, seed=seed, images=study.images, intact=study.intact, error=error)
    if study.intact <= study.constant + 2 * error:
        return f"{intact} {say('probe.nothing_learned', lang, constant=study.constant)}"
    known = [lesion for lesion in study.lesions if lesion.accuracy is not None]
    if not known:
        return intact
    worst = min(known, key=lambda lesion: lesion.accuracy or 0.0)
    middle = statistics.median(lesion.accuracy or 0.0 for lesion in known)
    within = sum(abs((lesion.accuracy or 0.0) - study.intact) <= 2 * error for lesion in known)
    facts = {"blocks": len(known), "median": middle, "worst": worst.accuracy, "name": worst.name, "within": within}
    return f"{intact} {say('probe.lesion', lang, **facts)}"


def _apart(designs: dict[str, list[Run]], lang: str) -> Iterator[str]:
    """Ranges over seeds against the first design's."""
    figures: tuple[tuple[str, Callable[[Sequence[Run]], Spread | None]], ...] = (
        ("loss", lambda runs: spread([loss for run in runs if (loss := late_loss(run)) is not None])),
        ("gradient", lambda runs: over(measured(runs, 0), gradient_ratio)),
    )
    (base, own), *others = designs.items()
    for key, figure in figures:
        reference = figure(own)
        for name, runs in others:
            other = figure(runs)
            if reference is None or other is None:
                continue
            facts = {"a": base, "b": name, "of_a": ranged(reference, "", lang), "of_b": ranged(other, "", lang)}
            seeds = min(len(own), len(runs))
            if seeds < 2:
                shown = say("probe.one_is_none", lang)
            else:
                shown = say("probe.apart" if reference.apart(other) else "probe.not_apart", lang, seeds=seeds)
            yield f"{say(f'probe.apart_{key}', lang, **facts)} {shown}"


def ranged(value: Spread, how: str, lang: str) -> str:
    """``1.2 (1.1 – 1.3)``; the mean alone where there is one run."""
    mean, low, high = (number(part, lang, how) for part in value)
    return mean if value.low == value.high else f"{mean} ({low} – {high})"
