"""Reports: structure, figures, languages, and that they need nothing from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import resources
from itertools import pairwise
from pathlib import Path

import pytest
from _page import Page

import otoyol
from otoyol import report
from otoyol.cost import count
from otoyol.draw.costs import part_costs
from otoyol.errors import OtoyolError, SpecError
from otoyol.explain.text import catalogue, number

DATE = "2026-01-31"
ONE = ("resnet50",)
SEVERAL = ("resnet18", "resnet34", "cifar_resnet20@input=3x40x33,attention=cbam")


def text_of(lang: str, *names: str) -> str:
    return report.html([otoyol.parse(name) for name in names], lang, date=DATE)


@pytest.fixture(scope="module", params=["en", "tr"])
def lang(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module", params=[ONE, SEVERAL], ids=["one", "several"])
def names(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return request.param


@pytest.fixture(scope="module")
def html(lang: str, names: tuple[str, ...]) -> str:
    return text_of(lang, *names)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_structure(page: Page, lang: str, names: tuple[str, ...]) -> None:
    assert page.of("html") == [{"lang": lang}]
    headings = [int(tag[1]) for tag, _, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert headings.count(1) == 1 and headings[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(headings))
    assert len(page.of("main")) == len(page.of("footer")) == len(page.of("nav")) == 1
    assert headings.count(2) == len(names) + 1 + (len(names) > 1)
    # network, 2 blocks and more behind the fold, bars
    assert len(page.of("svg")) >= 5 * len(names)


def test_ids_and_links(page: Page) -> None:
    ids = [attrs["id"] for _, attrs, _ in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    for _, attrs, _ in page.elements:
        for name in ("aria-labelledby", "aria-describedby"):
            assert set((attrs.get(name) or "").split()) <= set(ids)
    links = [attrs["href"] for attrs in page.of("a")]
    assert links and all(link.startswith("#") and link[1:] in ids for link in links)


def test_tables(page: Page) -> None:
    tables = len(page.of("table"))
    assert tables >= 11  # totals, stages, conventions and notes, taps, audit, five answers
    assert len(page.of("caption")) == tables
    assert all(attrs.get("scope") in ("col", "row") for attrs in page.of("th"))
    boxes = [attrs for attrs in page.of("div") if attrs.get("class") in ("box", "figure")]
    # What scrolls can be reached with the keyboard and has a name.
    assert all(box.get("tabindex") == "0" and box.get("role") == "region" and box.get("aria-label") for box in boxes)


def test_nothing_from_elsewhere(html: str, page: Page) -> None:
    assert set(re.findall(r"https?://[^\"'\s<)]+", html)) == {"http://www.w3.org/2000/svg"}
    assert not {"script", "iframe", "object", "embed", "img", "form", "base"} & {tag for tag, _, _ in page.elements}
    assert not [a for _, attrs, _ in page.elements for a in attrs if a.startswith("on") or a in ("src", "srcset")]
    assert [attrs["href"] for attrs in page.of("link")] == ["data:,"]
    assert "@import" not in html and "@font-face" not in html
    policies = [a["content"] for a in page.of("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies == [
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    ]


def test_figures_of_resnet50(lang: str) -> None:
    """25,557,032 parameters, 4,089,184,256 MACs, 11,114,984 activations (torchvision; fvcore), receptive field 427."""
    page = Page(text_of(lang, *ONE))
    cells = page.said("td")
    for figure in ("25,557,032", "4,089,184,256", "11,114,984", "7,098,368"):
        assert (figure.replace(",", ".") if lang == "tr" else figure) in cells
    assert {"427", "2048", "−213"} <= set(cells)
    fvcore = 4_089_184_256 + 2 * 11_113_984 + 100_352  # norms twice an element, one for each input of the last pool
    assert (f"{fvcore:,}".replace(",", ".") if lang == "tr" else f"{fvcore:,}") in cells


def test_figures_are_for_the_batch_and_dtype_asked_for(lang: str) -> None:
    """Eight times the MACs and activations of one image, two bytes a parameter, bytes held as otoyol.cost counts."""
    spec = otoyol.parse("resnet50")
    cost = count(spec, batch=8, dtype="float16")
    html = report.html([spec, otoyol.parse("resnet18")], lang, batch=8, dtype="float16", date=DATE)
    said = Page(html).said("td")
    for figure in (8 * 4_089_184_256, 8 * 11_114_984):
        assert number(figure, lang) in said
    assert number(2 * 25_557_032, lang, "bytes") in said
    for name in ("train_bytes", "train_bytes_lean", "peak_inference_bytes"):
        assert number(getattr(cost, name), lang, "bytes") in said
    parts = part_costs(spec, 8, "float16")
    assert sum(part.train_bytes for part in parts) == cost.train_bytes
    assert all(number(part.train_bytes, lang, "bytes") in said for part in parts)
    images = "8 images" if lang == "en" else "8 görüntü"
    captions = [text for text in Page(html).said("caption") if "float16" in text]
    assert len(captions) == 5 and all(images in text for text in captions)  # totals and stages of each, and compared
    for text in [text for text in Page(html).said("p") if "3×224" in text]:
        assert images in text and "float16" in text and "float32" in text  # the last for what stays as it was
    assert f"otoyol report resnet50 resnet18 --batch 8 --dtype float16 --lang {lang}" in html


def test_comparison_by_hand() -> None:
    """torchvision: resnet18 has 11,689,512 parameters, resnet34 21,797,672: 86.5% more."""
    page = Page(text_of("en", "resnet18", "resnet34"))
    cells = page.said("td")
    assert "11,689,512" in cells and "21,797,672" in cells
    assert "+10.1 M (+86.5%)" in cells
    best = [path for path, text in page.texts if text == "★"]
    assert (
        len(best) == len([1 for path, text in page.texts if text == "lowest"]) == 8
    )  # all costs but the peak, the stem's
    tr = Page(text_of("tr", "resnet18", "resnet34")).said("td")
    assert "+10,1 M (+%86,5)" in tr


def test_same_designs_have_no_best() -> None:
    page = Page(text_of("en", "resnet18", "resnet18"))
    assert "★" not in page.said("td") and page.said("td").count("same") == 14


def test_it_depends_on_its_arguments_alone(names: tuple[str, ...], lang: str, html: str) -> None:
    assert text_of(lang, *names) == html
    assert f'<time datetime="{DATE}">{DATE}</time>' in html
    given = report.html([otoyol.parse("resnet18")], command="a <b> & c", date=DATE)
    assert "a &lt;b&gt; &amp; c" in given


def test_the_command_makes_the_page(html: str, names: tuple[str, ...], lang: str) -> None:
    assert f"otoyol report {' '.join(names)} --lang {lang}" in html


def test_hostile_names_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should a spec ever be able to carry such a name (it refuses to), the page shows it as text."""
    name = "</style><script>alert('&')</script><img src=x onerror=y>"
    for module in ("otoyol.report", "otoyol.report.view", "otoyol.draw.labels"):
        monkeypatch.setattr(f"{module}.spec_name", lambda spec: name)
    page = Page(report.html([otoyol.parse("cifar_resnet20")] * 2, date=DATE))
    assert not page.of("script") and not page.of("img")
    assert name in page.said("h2") and name in page.said("svg")


def test_refusals(tmp_path: Path) -> None:
    spec = otoyol.parse("cifar_resnet20")
    for specs in ([], [spec] * 27):
        with pytest.raises(SpecError, match=r"specs: got .* designs; allowed: 1 to 26"):
            report.html(specs)
    with pytest.raises(SpecError, match="batch: got 0; allowed: a whole number from 1 to 1048576"):
        report.html([spec], batch=0)
    with pytest.raises(SpecError, match="dtype: got int8; allowed: float64, float32, float16, bfloat16"):
        report.html([spec], dtype="int8")
    with pytest.raises(SpecError, match="lang"):
        report.write([spec], tmp_path / "page.html", "de")
    with pytest.raises(OtoyolError, match="cannot write"):
        report.write([spec], tmp_path / "nowhere" / "page.html")
    assert not list(tmp_path.iterdir())
    report.write([spec], tmp_path / "page.html", date=DATE)
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == report.html([spec], date=DATE)


def test_every_sentence_of_the_report_is_used() -> None:
    home = resources.files("otoyol.report")
    source = "".join(path.read_text(encoding="utf-8") for path in home.iterdir() if path.name.endswith((".py", ".j2")))
    for key in catalogue("en"):
        table, _, name = key.rpartition(".")
        if table.startswith("report"):
            spoken = f'"{key}"' in source or f"words.{name}" in source or f'"{name}"' in source
            assert spoken, key


def test_nothing_heavy_is_loaded() -> None:
    code = "import sys, otoyol.report; print(sorted({'torch', 'matplotlib', 'numpy'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("others", [(), ("resnet18",)])
def test_a_family_of_its_own_is_told_in_a_form_that_is_read_back(others: tuple[str, ...]) -> None:
    """The page gives the text form, and the command that writes the page again."""
    own = otoyol.parse("resnet18@attention=se").model_copy(update={"family": "street"})
    text = report.html([own, *map(otoyol.parse, others)], "en", date=DATE)
    assert "street (custom@" in text  # its title
    form = otoyol.to_text(own.model_copy(update={"family": "custom"}))
    assert f">{form}<" in text and f"otoyol report {form} " in text
