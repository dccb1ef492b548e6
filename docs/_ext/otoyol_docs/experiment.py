"""The record of recipes/pre_or_post.py as tables, and as sentences that claim what the record shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from otoyol.explain.text import number
from otoyol_docs.evidence import FOLDER
from otoyol_docs.markdown import code, table

Range = list[float] | None


def pre_or_post(lang: str, part: str, path: str = "") -> str:
    """``part``: ``setting``, ``pairs``, ``designs`` or ``memory``."""
    record = json.loads(Path(path or FOLDER / "pre_or_post.json").read_text(encoding="utf-8"))
    return {"setting": _setting, "pairs": _pairs, "designs": _designs, "memory": _memory}[part](record, lang)


def _setting(record: dict[str, Any], lang: str) -> str:
    found, machine = record["figures"], record["machine"]
    rows = [
        ("command", code(record["command"])),
        ("date", record["date"]),
        ("machine", f"{machine['processor']}, {machine['cores']} cores, torch {machine['versions']['torch']}"),
        ("data", f"{found['data']}, the same images in the same order for every design of a seed"),
        ("training", f"{found['steps']} steps of {found['batch']} images, SGD, momentum 0.9, "
                     f"learning rate {number(found['lr'], lang)}, constant"),
        ("runs", f"{found['runs']}, {number(found['minutes'], lang, '.0f')} minutes by the clock over all "
                 "sittings, standstills included; command, date and commit are the last sitting's"),
        ("accuracy", f"{found['test_images']} test images a run: a standard error of about "
                     f"{number((0.2 * 0.8 / max(1, found['test_images'])) ** 0.5, lang, '.1%')} at 20%"),
        ("identities", f"{found['stretches']} stretches of pure identity; the largest relative residual of Eqs. 4 and "
                       f"5 in float64 is {found['largest_residual']:.0e}"),
    ]  # fmt: skip
    return table(("what", "of this record"), rows)


def _pairs(record: dict[str, Any], lang: str) -> str:
    """One sentence a depth, whose verdict follows from the signs seed by seed."""
    lines = []
    for depth, pair in record["figures"]["pairs"].items():
        loss = _told(pair["loss_v1_minus_v2"], "v1", "v2", "lower", lang)
        accuracy = _told(pair["accuracy_v2_minus_v1"], "v1", "v2", "higher", lang, ".1%")
        lines.append(
            f"- **{depth} layers**, {_seeds(pair['seeds'])}: the mean loss of the last fifth of the steps is {loss}. "
            f"The accuracy after them is {accuracy}."
        )
    return "\n".join(lines) or "No pair is recorded."


def _seeds(count: int) -> str:
    """How many, and how little it means that all of them agree."""
    if count == 1:
        return "1 seed, so that a difference shows nothing"
    return f"{count} seeds (where nothing differs, all agree by chance one time in {2 ** (count - 1)})"


def _told(found: Range, low: str, high: str, better: str, lang: str, how: str = ".3f") -> str:
    """Who is better by how much, where every seed agrees; otherwise that they do not."""
    if found is None:
        return "not known"
    mean, least, most = (number(abs(value), lang, how) for value in found)
    if found[1] > 0:
        return f"{better} for {high} in every seed, by {mean} on average ({least} to {most})"
    if found[2] < 0:
        return f"{better} for {low} in every seed, by {mean} on average ({most} to {least})"
    low_, high_ = number(found[1], lang, how), number(found[2], lang, how)
    return f"not ordered: the difference runs from {low_} to {high_} over the seeds"


def _designs(record: dict[str, Any], lang: str) -> str:
    rows = []
    for name, design in record["figures"]["designs"].items():
        row = [name.replace("_", " "), number(design["seeds"], lang)]
        row += [_range(design["gradient_ratio_fresh"], lang, ".3g"), _range(design["skip_share_fresh"], lang, ".0%")]
        row += [_range(design["gradient_ratio_trained"], lang, ".3g"), _range(design["loss_late"], lang, ".3g")]
        rows.append((*row, _range(design["accuracy"], lang, ".1%")))
    heads = ("design", "seeds", "gradient, first block over last", "through the shortcut", "the first, trained",
             "late loss", "accuracy")  # fmt: skip
    return table(heads, rows, "lrrrrrr")


def _memory(record: dict[str, Any], lang: str) -> str:
    rows = []
    for name, design in record["figures"]["designs"].items():
        held, lean = design["train_bytes"], design["train_bytes_lean"]
        figures = (number(held, lang, "bytes"), number(lean, lang, "bytes"), number(lean / held, lang, ".1%"))
        rows.append((name.replace("_", " "), code(design["spec"]), *figures))
    return table(("design", "spec", "held for backward", "held, lean", "lean / standard"), rows, "llrrr")


def _range(found: Range, lang: str, how: str) -> str:
    if found is None:
        return "–"
    mean, low, high = (number(value, lang, how) for value in found)
    return mean if low == high else f"{mean} ({low} – {high})"
