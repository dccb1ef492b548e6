"""The README's pictures are what their script writes."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ElementTree

from _pages import ROOT


def test_committed_pictures_are_what_the_script_writes(tmp_path):
    subprocess.run([sys.executable, ROOT / "recipes" / "pictures.py", tmp_path], check=True, capture_output=True)
    written = sorted(path.name for path in tmp_path.iterdir())
    # The experiment's pictures show what its runs measured: recipes/pre_or_post.py writes them with their record.
    committed = sorted(path.name for path in (ROOT / "docs" / "images").iterdir())
    assert written == [name for name in committed if not name.startswith("pre_or_post-")]
    for name in written:
        text = (tmp_path / name).read_text()
        ElementTree.fromstring(text)
        assert text == (ROOT / "docs" / "images" / name).read_text(), f"{name}: run python recipes/pictures.py"
