"""The Sphinx extension: what pages show is what runs, in the page's language, and what is wrong fails the build."""

from __future__ import annotations

import html
import re
import subprocess
import sys

import pytest
from _pages import ROOT

CONF = f"""
import sys
sys.path.insert(0, {str(ROOT / "docs" / "_ext")!r})
extensions = ["myst_parser", "otoyol_docs"]
source_suffix = {{".md": "markdown"}}
html_theme = "furo"
"""


def build(folder, **pages):
    """Exit status, what Sphinx complained of, and the text of each page."""
    (folder / "tr").mkdir()
    (folder / "conf.py").write_text(CONF)
    (folder / "index.md").write_text("# Index\n\n```{toctree}\npage\ntr/sayfa\n```\n")
    (folder / "page.md").write_text(pages.get("page", "# Page\n"))
    (folder / "tr" / "sayfa.md").write_text(pages.get("sayfa", "# Sayfa\n"))
    process = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", folder, folder / "out"],
        capture_output=True,
        text=True,
    )
    texts = {path.stem: path.read_text() for path in (folder / "out").rglob("*.html")}
    return process.returncode, process.stderr, texts


def plain(page):
    return html.unescape(re.sub(r"<[^>]+>", "", page))


PAGE = """# Page

```{otoyol} show resnet50
```

```{otoyol} show resnet50@expansion=1/3
:status: 2
```

```{run}
a = 6
```

```{run}
print(a * 7)
```

Weights {n}`weights(ops("resnet50", "stages.0.1.branch"))`, share {n}`0.169 as .1%`.

```{draw} block resnet50
:stage: 1
:block: 2
What the picture shows.
```
"""


def test_pages_show_what_runs_in_their_language(tmp_path):
    status, complaints, texts = build(tmp_path, page=PAGE, sayfa=PAGE.replace("# Page", "# Sayfa"))
    assert status == 0, complaints
    english, turkish = plain(texts["page"]), plain(texts["sayfa"])
    assert "$ otoyol show resnet50\n" in english
    assert re.search(r"C5 +2,048 +7×7 +32 +427", english)  # the receptive field of ResNet-50 v1.5
    assert re.search(r"\$ otoyol show resnet50@expansion=1/3\notoyol: \S*expansion: got 1/3; allowed:", english)
    assert re.search(r"^42$", english, flags=re.M)
    # 256 * 64 + 9 * 64 * 64 + 64 * 256 = 69632
    assert "Weights 69,632, share 16.9%." in english
    assert "Weights 69.632, share %16,9." in turkish
    assert 'lang="en"' in texts["page"] and 'lang="tr"' in texts["sayfa"]
    fetched = re.findall(r'<(?:script|link|img|source|iframe)[^>]+(?:src|href)="(https?:[^"]+)"', texts["page"])
    assert fetched == []  # it reads offline
    for theme in ("light", "dark"):
        drawing = re.search(rf'<img alt="What the picture shows." class="only-{theme}" src="([^"]+)"', texts["page"])
        assert drawing and (tmp_path / "out" / drawing[1]).read_text().startswith("<svg")


@pytest.mark.parametrize(
    ("page", "complaint"),
    [
        ("```{otoyol} show resnet51\n```", r"left with 2, not 0: otoyol: family: got resnet51"),
        ("```{otoyol} show resnet50\n:status: 2\n```", r"left with 0, not 2"),
        ("```{run}\n1 / 0\n```", r"ZeroDivisionError"),
        ('{n}`count("resnet51")`', r"resnet51"),
        ('{n}`__import__("os")`', r"NameError"),
        ("```{generated} nothing\n```", r"one of blocks, .*not nothing"),
        ("```{draw} block\n```", r"draw block, network of one spec"),
    ],
)
def test_what_is_wrong_fails_the_build(tmp_path, page, complaint):
    status, complaints, _ = build(tmp_path, page=f"# Page\n\n{page}\n")
    assert status != 0
    assert re.search(complaint, complaints, flags=re.S), complaints


def test_tables_have_a_row_for_everything():
    from otoyol_docs import tables

    from otoyol.spec import BLOCKS, FAMILIES

    blocks, families = tables.blocks("en"), tables.families("en")
    assert all(f"| `{name}` |" in blocks for name in BLOCKS)
    assert all(f"| `{name}` |" in families for name in FAMILIES)
    # torchvision's documented figures of ResNet-50
    row = next(line for line in families.splitlines() if line.startswith("| `resnet50` |"))
    assert row.endswith("| 25,557,032 | 4,089,184,256 | 11,114,984 |")
    assert "| 25.557.032 |" in tables.families("tr")


def test_every_field_of_every_model_is_explained():
    from otoyol_docs.specdoc import meanings

    from otoyol.spec import Attention, Head, Input, Norm, Shortcut, Spec, Stage, Stem

    for model in (Attention, Head, Input, Norm, Shortcut, Spec, Stage, Stem):
        assert set(meanings()[model.__name__]) - {"about"} == set(model.model_fields)


def test_a_field_without_a_meaning_fails(monkeypatch):
    from otoyol_docs import specdoc

    lacking = {name: dict(words) for name, words in specdoc.meanings().items()}
    del lacking["Stem"]["pool"]
    monkeypatch.setattr(specdoc, "meanings", lambda: lacking)
    with pytest.raises(ValueError, match="pool"):
        specdoc.fields("en")
