"""otoyol report: one self-contained HTML file about the designs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from otoyol.cli.inputs import read_spec
from otoyol.cli.options import Lang, SpecTexts, option
from otoyol.cli.words import language

DType = Literal["float64", "float32", "float16", "bfloat16"]


def report(
    specs: SpecTexts,
    /,
    *,
    out: Annotated[Path, option("out", "--out", "-o")] = Path("report.html"),
    batch: Annotated[int, option("batch", "--batch")] = 1,
    dtype: Annotated[DType, option("dtype", "--dtype")] = "float32",
    lang: Lang = None,
) -> None:
    from otoyol.report import write

    designs = [read_spec(text) for text in specs]
    write(designs, out, language(lang), batch=batch, dtype=dtype)
    sys.stdout.write(f"{out}\n")
