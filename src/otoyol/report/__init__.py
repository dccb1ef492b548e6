"""Reports: one self-contained HTML file about one design or several."""

from __future__ import annotations

import datetime
import os
import re
import shlex
from collections.abc import Sequence
from functools import cache
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from otoyol import __version__
from otoyol.draw.labels import check_lang, spec_name
from otoyol.errors import SpecError
from otoyol.explain.text import catalogue, say
from otoyol.report.section import Image, Section, image_file
from otoyol.report.tables import Counted, Grid, grid
from otoyol.report.view import LETTERS, comparison_view, design_view
from otoyol.spec import Spec
from otoyol.spec.files import write_text
from otoyol.spec.text import any_text


def html(
    specs: Sequence[Spec], lang: str = "en", *, batch: int = 1, dtype: str = "float32", date: str | None = None,
    command: str | None = None, title: str | None = None, lead: str = "", made: str = "",
    sections: Sequence[Section] = (),
) -> str:  # fmt: skip
    """The report as one HTML document that needs nothing else: no script, no network, no other file.

    Costs are for ``batch`` images in ``dtype``; what other tools count and the answers to questions are for one image
    in float32. Several designs are compared with the first. ``date`` (ISO, by default today's in UTC) and ``command``
    are what the page says of its making; equal arguments give equal text. ``sections`` come before the designs;
    ``title``, ``lead`` and ``made`` (how the page was made) take the place of the usual words. Raises SpecError for no
    design, too many, an unknown language, or a batch or dtype that cannot be.
    """
    check_lang(lang)
    specs = list(specs)
    if not 1 <= len(specs) <= len(LETTERS):
        raise SpecError("specs", f"{len(specs)} designs", f"1 to {len(LETTERS)}")
    counted = Counted(batch, dtype)
    names = [spec_name(spec) for spec in specs]
    title = title or (
        say("report.title.one", lang, name=names[0])
        if len(specs) == 1
        else say("report.title.many", lang, designs=len(specs))
    )
    return _environment().get_template("page.html.j2").render(
        lang=lang,
        title=title,
        words=_words(lang),
        style=_style(),
        version=__version__,
        date=date or datetime.datetime.now(datetime.UTC).date().isoformat(),
        command=command or shlex.join(["otoyol", "report", *map(any_text, specs), *_options(counted), "--lang", lang]),
        designs=[design_view(spec, i, len(specs), lang, counted) for i, spec in enumerate(specs)],
        lead=lead,
        made=made,
        sections=sections,
        comparison=comparison_view(specs, lang, counted) if len(specs) > 1 else None,
    )  # fmt: skip


def write(
    specs: Sequence[Spec],
    path: str | os.PathLike[str],
    lang: str = "en",
    *,
    batch: int = 1,
    dtype: str = "float32",
    date: str | None = None,
    command: str | None = None,
) -> None:
    """Write :func:`html` to ``path``; the file appears whole or not at all. Raises OtoyolError."""
    write_text(path, html(specs, lang, batch=batch, dtype=dtype, date=date, command=command))


def _options(counted: Counted) -> list[str]:
    """As the command line takes them; usual values are left out."""
    usual = Counted()._asdict()
    return [
        word for name, value in counted._asdict().items() if value != usual[name] for word in (f"--{name}", f"{value}")
    ]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("otoyol.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["grid"] = grid
    environment.filters["code"] = _code
    return environment


def _code(text: str) -> Markup:
    """A sentence whose `commands` are set as such."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 (escaped before)


@cache
def _style() -> Markup:
    """Our own style sheet; inside a style element nothing is escaped."""
    return Markup(resources.files("otoyol.report").joinpath("style.css").read_text(encoding="utf-8"))  # noqa: S704


def _words(lang: str) -> dict[str, str]:
    """The catalogue's sentences of this page that need no facts."""
    prefix = "report."
    return {key.removeprefix(prefix): text for key, text in catalogue(lang).items() if key.startswith(prefix)}


__all__ = ["Grid", "Image", "Section", "html", "image_file", "write"]
