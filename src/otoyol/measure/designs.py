"""Random designs of every sort, for tables that are to hold for any design, and for the benchmark's held-out ones."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from otoyol.cost.formulas import macs
from otoyol.errors import SpecError
from otoyol.ops import lower
from otoyol.spec import BLOCKS, Spec, edit, parse

INPUTS = ("3x96x96", "3x160x160", "3x224x224")
WIDTH = {"basic": (16, 160), "bottleneck": (16, 96), "inverted": (16, 64), "separable": (24, 224)}


def random_designs(
    count: int, seed: int = 0, *, inputs: Sequence[str] = INPUTS, max_macs: float = 1.2e9, min_macs: float = 5e6
) -> list[Spec]:
    """``count`` designs over all blocks, groups, attentions, shortcuts, stems and input sizes, none twice. Blocks take
    turns; designs outside of the bounds on MACs (one image) are drawn again."""
    return list(_take(count, seed, inputs, min_macs, max_macs))


def _take(count: int, seed: int, inputs: Sequence[str], least: float, most: float) -> Iterator[Spec]:
    rng = random.Random(seed)  # noqa: S311 (no secrets)
    seen: set[Spec] = set()
    while len(seen) < count:
        block = list(BLOCKS)[len(seen) % len(BLOCKS)]
        try:
            spec = edit(parse("resnet18"), _edits(rng, block, rng.choice(list(inputs))))
        except SpecError:  # groups that do not divide, a shortcut that cannot widen: draw again
            continue
        if spec not in seen and least <= macs_of(spec) <= most:
            seen.add(spec)
            yield spec


def macs_of(spec: Spec) -> int:
    """Multiply-accumulates of one image, from the operators: quicker than a full count where none are alike."""
    return sum(macs(op) for op in lower(spec).ops)


def _edits(rng: random.Random, block: str, image: str) -> dict[str, str]:
    low, high = next(bounds for name, bounds in WIDTH.items() if block.startswith(name))
    widths = [_multiple(rng, low, high)]
    while len(widths) < 4:
        widths.append(max(8, round(widths[-1] * rng.uniform(1.2, 2.2) / 8) * 8))
    edits = {
        "input": image,
        "block": block,
        "depths": "-".join(str(rng.choice((1, 1, 2, 2, 3, 4))) for _ in range(4)),
        "widths": "-".join(map(str, widths)),
        "attention": rng.choice(("none", "none", "none", "se", "eca", "cbam")),
        "shortcut": rng.choice(("B", "B", "B", "D", "C", "A")),
        "stem": rng.choice(("imagenet", "imagenet", "deep", "tiered")),
    }
    if BLOCKS[block].preact:
        edits["stem.activated"] = "false"
    if rng.random() < 0.3 and block not in ("inverted", "separable"):
        edits["groups"] = rng.choice(("2", "4", "8"))
    elif rng.random() < 0.15 and block.startswith("bottleneck"):
        edits["group_width"] = "8"
    if rng.random() < 0.2:
        edits["expansion"] = rng.choice(("2", "3", "6")) if block != "separable" else "1"
    return edits


def _multiple(rng: random.Random, low: int, high: int) -> int:
    return max(8, round(low * (high / low) ** rng.random() / 8) * 8)
