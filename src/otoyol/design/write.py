"""Writing the folder: spec, front, measurements, pictures, page, commands; whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from otoyol.design import files, page
from otoyol.design.folder import whole_folder
from otoyol.design.run import Result
from otoyol.draw import cost_plot, network_svg
from otoyol.draw.front import edf_plot, parallel_plot, pareto_plot
from otoyol.explain.text import say
from otoyol.report import html
from otoyol.spec.files import dumps, write_bytes, write_text


def names_written(tables: int) -> set[str]:
    """Every name that a folder of ours can hold."""
    return {*files.NAMES, "trials.json", *(f"latency-{i + 1}.json" for i in range(max(tables, 64)))}


def write(
    result: Result, out: Path, lang: str = "en", *, tables: Sequence[Path] = (), trials: Path | None = None,
    date: str | None = None,
) -> None:  # fmt: skip
    """Write everything about the result into the new folder ``out``; one that is there is replaced.

    ``tables`` are copied, so that the commands hold within the folder. Raises OtoyolError where it cannot be written;
    then, and after an interruption, nothing is left.
    """
    errors = files.read_errors(trials) if trials else []
    with whole_folder(out) as folder:
        copies = [f"latency-{i + 1}.json" for i in range(len(tables))]
        for copy, table in zip(copies, tables, strict=True):
            shutil.copyfile(table, folder / copy)
        kept = "trials.json" if trials else None
        if trials:
            write_bytes(folder / "trials.json", trials.read_bytes())
        script = files.commands_sh(result, lang, copies, kept)
        write_text(folder / "spec.yaml", dumps(result.spec))
        write_text(folder / "space.yaml", files.space_yaml(result.wish.space))
        write_text(folder / "front.json", files.front_json(result))
        write_text(folder / "measured.json", files.measured_json(result))
        write_text(folder / "commands.sh", script)
        write_text(
            folder / "README.md",
            page.readme(
                result, lang, ["sh commands.sh", *(line.replace('"$out"', "again") for line in _commands(script))]
            ),
        )
        pictures(result, folder, lang, errors)
        command = script_command(script)
        sections = page.sections(result, folder, lang, command, bool(errors))
        text = html(
            [result.spec], lang, date=date, command=command, title=page.title_of(result, lang), sections=sections,
            lead=say("design.lead", lang), made=say("design.again", lang),
        )  # fmt: skip
        write_text(folder / "report.html", text)


def pictures(result: Result, folder: Path, lang: str, errors: Sequence[float] = ()) -> None:
    """All pictures, PNG and SVG."""
    scene = page.scene_of(result, lang, errors)
    pareto_plot(scene, folder, lang)
    parallel_plot(scene, folder, lang)
    edf_plot(scene, folder, lang)
    designs = [result.spec, *(rival.scaled.spec for rival in result.rivals)]
    names = [say("design.chosen", lang), *(say("design.scaled", lang, rival=rival.name) for rival in result.rivals)]
    for suffix in (".png", ".svg"):
        cost_plot(designs, folder / f"stages{suffix}", lang=lang, names=names)
    write_text(folder / "network.svg", network_svg(result.spec, lang))


def _commands(script: str) -> list[str]:
    return [line for line in script.splitlines() if line.startswith("otoyol ")]


def script_command(script: str) -> str:
    """The line that runs the whole way again."""
    return _commands(script)[0].replace('"$out"', "again")
