"""The highway audit in words: what stands on the identity path, which norms fold, what to watch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby

from otoyol.audit import Audit, BlockAudit, highway
from otoyol.explain.telling import Cell, Line, Telling
from otoyol.spec import Spec

# Why a norm cannot fold, in fewer words than there are operator kinds: what gates a tensor is attention.
BEHIND = {
    "group": "group", "shared": "shared", "add": "add", "maxpool": "maxpool", "act": "act", "norm": "norm",
    "mul": "gate", "external": "gate",
}  # fmt: skip
AHEAD = {
    "group": "group", "act": "act", "padding": "padding", "output": "output", "add": "add", "pad": "pad",
    "scale": "scale",
    "mul": "gate", "external": "gate", "conv1d": "gate", "max": "gate", "channel_mean": "gate", "channel_max": "gate",
}  # fmt: skip


def answer(spec: Spec) -> Telling:
    audit = highway(spec)
    figures = {
        "pure": audit.pure,
        "depth": len(audit.blocks),
        "run": audit.run.length,
        "share": audit.run.share,
        "first": _name(*audit.run.first_at),
        "last": _name(*audit.run.last_at),
        "norms": len(audit.folds),
        "foldable": audit.foldable,
    }
    state = "open" if audit.open_throughout else ("partly" if audit.pure else "closed")
    paragraphs = [Line("why.highway.run", figures)] if audit.pure else []
    if audit.folds:
        paragraphs.append(Line("why.highway.fold", figures))
    paragraphs += _reasons(audit)
    paragraphs += [Line(f"finding.{finding.code}", finding.facts) for finding in audit.warnings]
    return Telling(
        "highway",
        Line(f"why.highway.{state}", figures),
        tuple(paragraphs),
        audit.to_mapping(),
        "why.highway.caption",
        ("column.blocks", "column.on_path", "column.identity", "column.norms", "column.foldable"),
        _rows(audit),
        ("he2016",),
    )


def _name(stage: int, block: int) -> str:
    """Stages and blocks count from 1 in words, as in the text form."""
    return f"{stage + 1}.{block + 1}"


def _reasons(audit: Audit) -> list[Line]:
    """One sentence for every reason why norms stay, and how many of them moving the sum can still take away."""
    stay = Counter((BEHIND[fold.behind], AHEAD[fold.ahead]) for fold in audit.folds if not fold.folds)
    movable = sum(count for (behind, ahead), count in stay.items() if behind in ("add", "maxpool") and ahead == "act")
    sentences = [
        Line("fold.group", {"norms": count})
        if behind == "group"
        else Line(
            "fold.stay",
            {"norms": count, "behind": Line(f"fold.behind.{behind}"), "ahead": Line(f"fold.ahead.{ahead}")},
        )
        for (behind, ahead), count in stay.most_common()
    ]
    return [*sentences, Line("fold.movable", {"norms": movable})] if movable else sentences


def _rows(audit: Audit) -> tuple[tuple[Cell | Line | str, ...], ...]:
    """Consecutive blocks of a stage with the same obstacles share a row."""
    norms = Counter((fold.stage, fold.block) for fold in audit.folds)
    folded = Counter((fold.stage, fold.block) for fold in audit.folds if fold.folds)
    rows: list[tuple[Cell | Line | str, ...]] = []
    outside = (-1, -1)
    if norms[outside]:
        rows.append((Line("word.outside"), "", "", Cell(norms[outside]), Cell(folded[outside])))
    for _, group in groupby(audit.blocks, lambda b: (b.stage, [(o.what, o.where) for o in b.obstacles])):
        same = list(group)
        ends = [_name(b.stage, b.block) for b in (same[0], same[-1])]
        places = [(b.stage, b.block) for b in same]
        rows.append(
            (
                ends[0] if len(same) == 1 else f"{ends[0]}–{same[-1].block + 1}",
                path_words(same[0]),
                Line("word.yes" if same[0].pure else "word.no"),
                Cell(sum(norms[place] for place in places)),
                Cell(sum(folded[place] for place in places)),
            )
        )
    return tuple(rows)


def path_words(block: BlockAudit) -> Line:
    """What stands on a block's identity path, in order: the shortcut, the sum, what follows it."""
    skip = [f"obstacle.{o.what}" for o in block.obstacles if o.where != "post"]
    after = [f"obstacle.{o.what}" for o in block.obstacles if o.where == "post"]
    if not after:
        return joined(skip)
    return joined([*skip, "obstacle.sum", *after])


def joined(keys: Sequence[str]) -> Line:
    """Words from left to right with arrows between; the word for nothing where there are none."""
    if not keys:
        return Line("obstacle.nothing")
    line = Line(keys[-1])
    for key in reversed(keys[:-1]):
        line = Line("obstacle.then", {"first": Line(key), "rest": line})
    return line
