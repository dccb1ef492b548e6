"""otoyol probe: gradients and signals block by block, on real images, before and after a short training.

Minutes of runs must not be lost to the last one's error or to Ctrl-C: each is written when it is finished, and what
is finished by then is reported.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from otoyol.cli.inputs import label, read_spec
from otoyol.cli.options import Json, Lang, option
from otoyol.cli.output import Item, Table, write, write_json
from otoyol.cli.words import language, number, word
from otoyol.errors import OtoyolError, SpecError

if TYPE_CHECKING:
    from otoyol.probe import BlockFigures, Run, Snapshot
    from otoyol.spec import Spec

ROWS = 24  # blocks in a table; of more, evenly spaced ones
OnError = Literal["stop", "skip"]


def probe(
    *specs: Annotated[str, option("probe_specs")],
    data: Annotated[str, option("probe_data", "--data")] = "digits",
    steps: Annotated[int, option("probe_steps", "--steps")] = 100,
    batch: Annotated[int, option("probe_batch", "--batch")] = 32,
    seed: Annotated[int, option("probe_seed", "--seed")] = 0,
    seeds: Annotated[int, option("probe_seeds", "--seeds")] = 1,
    lr: Annotated[float, option("probe_lr", "--lr")] = 0.05,
    jacobian: Annotated[int, option("probe_jacobian", "--jacobian")] = 8,
    lesion: Annotated[bool, option("probe_lesion", "--lesion")] = False,
    test_images: Annotated[int, option("probe_test_images", "--test-images")] = 256,
    on_error: Annotated[OnError, option("on_error", "--on-error")] = "stop",
    out: Annotated[Path | None, option("probe_out", "--out", "-o")] = None,
    json: Json = False,
    lang: Lang = None,
) -> int:
    tongue = language(lang)
    if not specs:
        raise SpecError("specs", "no design", "at least one")
    for name, given, least in (("steps", steps, 0), ("batch", batch, 2), ("seeds", seeds, 1), ("jacobian", jacobian, 0),
                               ("test-images", test_images, 0), ("seed", seed, 0)):  # fmt: skip
        if given < least:
            raise SpecError(name, given, f"{least} or more")
    designs = [read_spec(text) for text in specs]
    if out is not None:
        _folder(out)
    from otoyol.probe import open_source
    from otoyol.probe import probe as run
    from otoyol.spec.files import json_text, write_text

    runs: list[Run] = []
    ended: OtoyolError | KeyboardInterrupt | None = None
    try:
        for design in designs:
            for number_ in range(seed, seed + seeds):
                _show(design, number_, tongue)
                source = open_source(data, design, on_error)
                runs.append(
                    run(design, source, steps=steps, batch=batch, seed=number_, lr=lr, jacobian_steps=jacobian,
                        test_images=test_images if steps else 0, lesion=lesion, on_error=on_error)
                )  # fmt: skip
                if out is not None:
                    write_text(out / "probe.json", json_text(_facts(runs, tongue)))
    except (OtoyolError, KeyboardInterrupt) as error:
        ended = error
    if runs:
        _report(runs, out, json, tongue)
    if isinstance(ended, OtoyolError):
        raise ended
    if ended is not None:
        key = "note.probe_cut" if runs else "note.probe_cut_none"
        print(word(key, tongue, done=len(runs), all=len(designs) * seeds), file=sys.stderr)
        return 130
    return 0


def _facts(runs: Sequence[Run], lang: str) -> dict[str, Any]:
    from otoyol.probe import verdict

    return {"runs": [made.to_mapping() for made in runs], "verdict": verdict(runs, lang)}


def _report(runs: Sequence[Run], out: Path | None, json: bool, lang: str) -> None:
    """What is finished: pictures in the folder, tables and verdict on standard output."""
    if out is not None:
        from otoyol.probe.plots import draw

        draw(runs, out, lang)
    facts = _facts(runs, lang)
    if json:
        write_json(facts)
    else:
        write([*_tables(runs, lang), *facts["verdict"], *([str(out)] if out else [])])


def _folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OtoyolError(f"cannot write {path}: {error.strerror}") from None


def _show(design: Spec, seed: int, lang: str) -> None:
    if sys.stderr.isatty():
        print(word("note.probe_running", lang, design=label(design), seed=seed), file=sys.stderr, flush=True)


def _tables(runs: Sequence[Run], lang: str) -> list[Item]:
    """The last measurement of each run."""
    return [_table(run, snapshot, lang) for run in runs for snapshot in run.snapshots[-1:] if snapshot.blocks]


def _table(run: Run, snapshot: Snapshot, lang: str) -> Table:
    blocks = snapshot.blocks
    places = list(range(len(blocks)))
    if len(places) > ROWS:
        places = [round(i * (len(blocks) - 1) / (ROWS - 1)) for i in range(ROWS)]
    keys = ["block", "grad_in", "weight_grad", "skip_share", "var_out", "cosine"]
    jacobians = any(block.jacobian for block in blocks)
    lesions = run.lesion.lesions if run.lesion and snapshot.step else ()
    keys += ["jacobian"] * jacobians + ["lesioned"] * bool(lesions)
    rows = []
    for place in places:
        row = _row(blocks[place], lang)
        if jacobians:
            jacobian = blocks[place].jacobian
            row.append(_cell(jacobian.largest if jacobian else None, ".3g", lang))
        if lesions:
            row.append(_cell(lesions[place].accuracy, ".1%", lang))
        rows.append(tuple(row))
    key = "title.probe_after" if snapshot.step else "title.probe_before"
    title = word(key, lang, design=run.spec, seed=run.seed, steps=snapshot.step)
    return Table(title, tuple(word(f"head.{key}", lang) for key in keys), rows)


def _row(block: BlockFigures, lang: str) -> list[str]:
    return [
        block.name,
        _cell(block.grad_in, ".3g", lang),
        _cell(block.weight_grad, ".3g", lang),
        _cell(block.skip_share, ".0%", lang),
        _cell(block.var_out, ".3g", lang),
        _cell(block.cosine, ".2f", lang),
    ]


def _cell(value: float | None, how: str, lang: str) -> str:
    return "–" if value is None else number(value, lang, how)
