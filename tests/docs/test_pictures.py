"""The README's pictures are what their script writes."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ElementTree

from _pages import ROOT


def test_committed_pictures_are_what_the_script_writes(tmp_path):
    subprocess.run([sys.executable, ROOT / "recipes" / "pictures.py", tmp_path], check=True, capture_output=True)
    written = sorted(path.name for path in tmp_path.iterdir())
    assert written == sorted(path.name for path in (ROOT / "docs" / "images").iterdir())
    for name in written:
        text = (tmp_path / name).read_text()
        ElementTree.fromstring(text)
        assert text == (ROOT / "docs" / "images" / name).read_text(), f"{name}: run python recipes/pictures.py"
