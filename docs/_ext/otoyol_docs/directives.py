"""The directives and the role, thin over running, drawing and tables."""

from __future__ import annotations

import hashlib
import shlex
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives as option
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from otoyol.errors import OtoyolError
from otoyol.explain.text import number
from otoyol.spec.files import write_text
from otoyol_docs import drawing, figures, running, tables


def language_of(page: str) -> str:
    return "tr" if page.startswith("tr/") else "en"


def page_language(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """The html element says the language of each page."""
    del app, template, doctree
    context["language"] = language_of(page)


def skip_member(app: Sphinx, what: str, name: str, member: Any, skip: bool, options: Any) -> bool | None:
    """Fields of named tuples are told by the class; their own docstrings say only "Alias for field number 0"."""
    del app, what, name, skip, options
    return True if (getattr(member, "__doc__", None) or "").startswith("Alias for field number") else None


class Live(SphinxDirective):
    """A directive whose page is read again at every build, since the code behind it may have changed."""

    required_arguments = 0
    final_argument_whitespace = True

    @property
    def lang(self) -> str:
        return language_of(self.env.docname)

    @abstractmethod
    def make(self) -> list[nodes.Node]: ...

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()
        return self.make()


class Command(Live):
    """````{otoyol} show resnet50```` with ``:status:`` (the exit status that is right, 0) and ``:lines:`` (the
    first so many lines of the output; the rest is said to be there)."""

    required_arguments = 1
    optional_arguments = 0
    option_spec: ClassVar[dict[str, Any]] = {"status": int, "lines": int, "class": option.class_option}

    def make(self) -> list[nodes.Node]:
        line = " ".join(self.arguments[0].split())
        try:
            outcome = running.command(line)
        except Exception as error:
            raise self.error(f"`otoyol {line}` raised {type(error).__name__}: {error}") from error
        wanted = self.options.get("status", 0)
        if outcome.status != wanted:
            raise self.error(f"`otoyol {line}` left with {outcome.status}, not {wanted}: {outcome.err or outcome.out}")
        shown = (outcome.out + outcome.err).rstrip("\n").splitlines()
        limit = self.options.get("lines", len(shown))
        if len(shown) > limit:
            more = number(len(shown) - limit, self.lang)
            shown = [*shown[:limit], f"… {more} satır daha" if self.lang == "tr" else f"… {more} more lines"]
        text = "\n".join([f"$ otoyol {line}", *shown])
        block = nodes.literal_block(text, text, language="console")
        block["classes"] += ["otoyol-run", *self.options.get("class", [])]
        return [block]


class Run(Live):
    """````{run}```` Python. ``:hide:`` runs it and shows nothing; ``:silent:`` shows the code alone."""

    has_content = True
    option_spec: ClassVar[dict[str, Any]] = {"hide": option.flag, "silent": option.flag}

    def make(self) -> list[nodes.Node]:
        code = "\n".join(self.content)
        namespace = self.env.temp_data.setdefault("otoyol_namespace", {"__name__": "page"})
        try:
            printed = running.python(code, namespace, self.env.docname).rstrip("\n")
        except Exception as error:
            raise self.error(f"the code raised {type(error).__name__}: {error}") from error
        if "hide" in self.options:
            return []
        shown: list[nodes.Node] = [nodes.literal_block(code, code, language="python")]
        if printed and "silent" not in self.options:
            block = nodes.literal_block(printed, printed, language="text")
            block["classes"].append("otoyol-output")
            shown.append(block)
        return shown


class Draw(Live):
    """````{draw} block SPEC```` (with ``:stage:`` and ``:block:``, from 1) or ````{draw} network SPEC````; the
    content is the caption, and the text that stands for the picture where it cannot be seen."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar[dict[str, Any]] = {"stage": int, "block": int, "width": option.unchanged}

    def make(self) -> list[nodes.Node]:
        what, *rest = shlex.split(self.arguments[0])
        if what not in drawing.DRAWINGS or len(rest) != 1:
            raise self.error(f"draw {', '.join(drawing.DRAWINGS)} of one spec, not {self.arguments[0]}")
        places = {key: self.options[key] for key in ("stage", "block") if key in self.options}
        caption = " ".join(self.content)
        figure = nodes.figure(classes=["otoyol-drawing"])
        for theme in ("light", "dark"):
            try:
                svg = drawing.DRAWINGS[what](rest[0], self.lang, theme, **places)
            except OtoyolError as error:
                raise self.error(f"{self.arguments[0]}: {error}") from error
            name = f"{what}-{hashlib.sha256(svg.encode()).hexdigest()[:16]}-{theme}.svg"
            folder = Path(self.env.srcdir) / "_generated"
            folder.mkdir(exist_ok=True)
            write_text(folder / name, svg)
            image = nodes.image(uri=f"/_generated/{name}", alt=caption, classes=[f"only-{theme}"])
            if "width" in self.options:
                image["width"] = self.options["width"]
            figure += image
        if caption:
            parsed, messages = self.parse_inline(caption)
            figure += nodes.caption(caption, "", *parsed)
            return [figure, *messages]
        return [figure]


class Generated(Live):
    """````{generated} NAME ARGUMENTS````: the Markdown of :mod:`otoyol_docs.tables`, parsed in place."""

    required_arguments = 1

    def make(self) -> list[nodes.Node]:
        name, *arguments = shlex.split(self.arguments[0])
        if name not in tables.TABLES:
            raise self.error(f"one of {', '.join(tables.TABLES)}, not {name}")
        try:
            text = tables.TABLES[name](self.lang, *arguments)
        except Exception as error:
            raise self.error(f"{self.arguments[0]}: {type(error).__name__}: {error}") from error
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def figure_role(
    name: str, rawtext: str, text: str, lineno: int, inliner: Any, options: Any = None, content: Any = None
) -> tuple[list[nodes.Node], list[nodes.system_message]]:
    """``{n}`count("resnet50").macs as si` ``: an expression over :mod:`otoyol_docs.figures`, and a format of
    :mod:`otoyol.explain.text`."""
    del name, options, content
    env = inliner.document.settings.env
    env.note_reread()
    expression, _, how = text.partition(" as ")
    try:
        shown = number(figures.value(expression), language_of(env.docname), how.strip())
    except Exception as error:
        return [], [inliner.reporter.error(f"{text}: {type(error).__name__}: {error}", line=lineno)]
    return [nodes.inline(rawtext, shown, classes=["otoyol-figure"])], []
