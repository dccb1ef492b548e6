"""Sphinx extension: pages whose commands, figures, tables and drawings are made while the page is built.

========================================  =============================================================
````{otoyol} show resnet50````            runs the command line, shows the command and what it printed
````{run}````                             runs Python, shows the code and what it printed
````{draw} block resnet50````             draws, once for light pages and once for dark ones
````{generated} families````              a table made from the data that it describes
``{n}`count("resnet50").params` ``        one figure, written as the page's language writes figures
========================================  =============================================================

A command that exits with another status than the page says, code that raises and an unknown name are errors, which
fail a build with -W.
"""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx

from otoyol_docs import directives


def setup(app: Sphinx) -> dict[str, Any]:
    app.setup_extension("sphinx.ext.autodoc")
    app.add_directive("otoyol", directives.Command)
    app.add_directive("run", directives.Run)
    app.add_directive("draw", directives.Draw)
    app.add_directive("generated", directives.Generated)
    app.add_role("n", directives.figure_role)
    app.connect("autodoc-skip-member", directives.skip_member)
    app.connect("html-page-context", directives.page_language)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
