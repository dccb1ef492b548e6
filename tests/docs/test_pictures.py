"""The README's pictures are what their script writes."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ElementTree

from _pages import ROOT


def test_committed_pictures_are_what_the_script_writes(tmp_path):
    subprocess.run([sys.executable, ROOT / "recipes" / "pictures.py", tmp_path], check=True, capture_output=True)
    written = sorted(path.name for path in tmp_path.iterdir())
    # The experiments' pictures show what their runs measured: the recipe of that name writes them with its record.
    # The studio's are photographs of a browser, whose fonts are the machine's: recipes/screenshots.py takes them.
    committed = sorted(path.name for path in (ROOT / "docs" / "images").iterdir())
    elsewhere = ("bccd-", "cifar10-", "pre_or_post-", "studio-")
    assert written == [name for name in committed if not name.startswith(elsewhere)]
    for name in written:
        text = (tmp_path / name).read_text()
        ElementTree.fromstring(text)
        assert text == (ROOT / "docs" / "images" / name).read_text(), f"{name}: run python recipes/pictures.py"


def test_the_studio_has_all_its_pictures():
    """Of every view that the script photographs, light and dark, and each is shown somewhere."""
    images = ROOT / "docs" / "images"
    pictures = sorted(path.name for path in images.glob("studio-*"))
    shown = "".join((ROOT / page).read_text() for page in ("README.md", "README.tr.md", "docs/reference/studio.md"))
    assert len(pictures) == 10
    for name in pictures:
        assert (images / name).read_bytes().startswith(b"\x89PNG") and (images / name).stat().st_size < 200_000
        assert name in shown
        assert (images / name.replace("-dark.", "-light.")).exists()
        assert (images / name.replace("-light.", "-dark.")).exists()
