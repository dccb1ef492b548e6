"""otoyol report: one self-contained HTML file about the designs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from otoyol.cli.inputs import read_spec
from otoyol.cli.options import DType, Lang, SpecTexts, option
from otoyol.cli.words import language


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
