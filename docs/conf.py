"""The documentation site: `make docs`. Everything on it that can be computed is computed while it is built."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import fastapi  # noqa: F401 (before autodoc, which sets TYPE_CHECKING; FastAPI cannot be imported then)

import otoyol

project = "Otoyol"
author = "the Otoyol authors"
copyright = "the Otoyol authors, Apache-2.0"
release = version = otoyol.__version__
language = "en"

extensions = ["myst_parser", "sphinx.ext.autodoc", "otoyol_docs"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "_generated", "_ext", "images"]

myst_enable_extensions = ["colon_fence", "deflist", "attrs_inline", "attrs_block"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
add_module_names = False
toc_object_entries = False
python_maximum_signature_line_length = 88

html_theme = "furo"
html_title = f"Otoyol {release}"
html_static_path = ["_static"]
html_css_files = ["otoyol.css"]
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#8a4b00",
        "color-brand-content": "#8a4b00",
        "color-brand-visited": "#6d4a7e",
    },
    "dark_css_variables": {
        "color-brand-primary": "#ffb454",
        "color-brand-content": "#ffb454",
        "color-brand-visited": "#cf9fe0",
    },
}
