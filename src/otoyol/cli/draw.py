"""otoyol draw: the network, one block, or the cost stage by stage."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from otoyol.cli.inputs import read_spec
from otoyol.cli.options import Lang, SpecText, option
from otoyol.cli.words import language
from otoyol.errors import SpecError

if TYPE_CHECKING:
    from otoyol.spec import Spec

What = Literal["network", "block", "cost"]
Theme = Literal["light", "dark", "auto"]
Metric = Literal["params", "macs", "activations", "train_bytes"]


def draw(
    spec: SpecText,
    /,
    *,
    what: Annotated[What, option("what", "--what")] = "network",
    stage: Annotated[int, option("stage", "--stage")] = 1,
    block: Annotated[int, option("block_index", "--block")] = 1,
    metric: Annotated[Metric, option("metric", "--metric")] = "macs",
    theme: Annotated[Theme, option("theme", "--theme")] = "auto",
    out: Annotated[Path | None, option("draw_out", "--out", "-o")] = None,
    lang: Lang = None,
) -> None:
    design, tongue = read_spec(spec), language(lang)
    if out and what == "cost":
        from otoyol.draw import cost_plot

        cost_plot([design], out, metric, tongue)
    elif out and out.suffix != ".svg":
        raise SpecError("out", out.name, "a name that ends in .svg")
    else:
        text = _svg(design, what, stage, block, metric, theme, tongue)
        if out is None:
            sys.stdout.write(text)
            return
        from otoyol.spec.files import write_text

        write_text(out, text)
    sys.stdout.write(f"{out}\n")


def _svg(spec: Spec, what: What, stage: int, block: int, metric: Metric, theme: Theme, lang: str) -> str:
    from otoyol import draw

    if what == "block":
        if not 1 <= stage <= len(spec.plan):
            raise SpecError("stage", stage, f"from 1 to {len(spec.plan)}")
        depth = spec.plan[stage - 1].depth
        if not 1 <= block <= depth:
            raise SpecError("block", block, f"from 1 to {depth}, the blocks of stage {stage}")
        return draw.block_svg(spec, stage - 1, block - 1, lang, theme)
    if what == "cost":
        return draw.bars_svg([spec], metric, lang, theme)
    return draw.network_svg(spec, lang, theme)
