"""Reports and drawings in a real browser: quiet, self-contained, and nothing overflows or overlaps."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import otoyol
from otoyol import report
from otoyol.draw import METRICS, bars_svg, block_svg, network_svg

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: the browser checks cannot run")

DESIGNS = (
    "resnet50", "resnetv2_50", "resnet50d", "seresnet50", "cifar_resnet20", "cifar_resnet110_exclusive",
    "cifar_resnet110_scale_both", "resnet50@block=inverted,shortcut=none,attention=cbam",
    "resnetv2_50@attention=cbam,attention.place=start", "resnet50@attention=se,attention.place=spatial,drop_path=0.2",
    "resnext50_32x4d@attention=eca,dilations=1-1-1-2,strides=1-2-2-1",
    "resnetv2_50@shortcut.gate=exclusive,attention=se",
    "resnet50@widths=65536-65536-65536-65536,expansion=1", "custom",
    "resnet50@depths=" + "-".join("1" * 16) + ",widths=" + "-".join("8" * 16) + ",strides=" + "-".join("1" * 16),
    "resnet50@block=norm.act/conv3.norm.act.dw5.norm.act.conv31.norm.act.conv1.norm/norm.act.norm/x3,shortcut.reads=raw",
)  # fmt: skip

# Pairs of texts that touch, and texts that leave their picture.
MEETING = """() => {
  const bad = [];
  for (const svg of document.querySelectorAll('svg')) {
    const { width, height } = svg.viewBox.baseVal;
    const texts = [...svg.querySelectorAll('text')].map(t => [t.textContent, t.getBBox()]);
    texts.forEach(([text, a], i) => {
      const inside = a.x >= 2 && a.y >= 0 && a.x + a.width <= width - 2 && a.y + a.height <= height;
      if (!inside) bad.push([svg.id, 'outside', text]);
      for (const [other, b] of texts.slice(i + 1)) {
        const across = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x);
        const down = Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y);
        if (across > 0.5 && down > 3) bad.push([svg.id, text, other]);
      }
    });
  }
  return bad;
}"""

STICKING_OUT = """() => [...document.querySelectorAll('body *')]
  .filter(e => !e.parentElement.closest('.box, .figure, pre') && !e.matches('.said, .skip'))
  .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
  .map(e => e.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is in the extra dev")
    with api.sync_playwright() as playwright:
        root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=[*root, "--disable-quic"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One design in English, three in Turkish."""
    home = tmp_path_factory.mktemp("reports")
    one, several = home / "one.html", home / "several.html"
    report.write([otoyol.parse("resnetv2_50@attention=se")], one, "en", date="2026-01-31")
    designs = [otoyol.parse(text) for text in ("resnet50", "cifar_resnet20", DESIGNS[-1])]
    report.write(designs, several, "tr", date="2026-01-31")
    return [one, several]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_a_report_is_quiet_and_fits(browser: Any, pages: list[Path], width: int, scheme: str) -> None:
    for path in pages:
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        said: list[str] = []
        asked: list[str] = []
        page.on("console", lambda message, said=said: said.append(message.text))
        page.on("pageerror", lambda error, said=said: said.append(str(error)))
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.goto(path.as_uri())
        for summary in page.locator("summary").all():
            summary.click()
        assert said == []
        assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        # Nothing sticks out of the page but what scrolls in a box of its own.
        assert page.evaluate(STICKING_OUT) == []
        assert page.evaluate(MEETING) == []
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 28)"}[scheme]
        page.close()


def test_what_scrolls_takes_the_keyboard(browser: Any, pages: list[Path]) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 800})
    page.goto(pages[0].as_uri())
    table = page.locator(".box").first
    table.focus()
    page.keyboard.press("ArrowRight")
    # A function is evaluated once and then called; an expression again at each look, which the page's policy forbids.
    page.wait_for_function("() => document.activeElement.scrollLeft > 0", timeout=5000)
    page.locator("summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("details").first.get_attribute("open") is not None
    page.close()


def test_a_printed_report_is_whole(browser: Any, pages: list[Path]) -> None:
    """On paper nothing scrolls and nothing opens: all of it fits the width of an A4 page, on white."""
    for path in pages:
        page = browser.new_page(viewport={"width": 720, "height": 1000}, color_scheme="dark")
        page.goto(path.as_uri())
        page.emulate_media(media="print")
        assert page.evaluate("document.documentElement.scrollWidth") <= 720
        assert page.locator("details:not([open]) table").last.is_visible()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        page.close()


@pytest.mark.parametrize("lang", ["en", "tr"])
def test_no_text_meets_another(browser: Any, lang: str) -> None:
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    for text in DESIGNS:
        spec = otoyol.parse(text)
        pictures = [network_svg(spec, lang)]
        pictures += [bars_svg([spec, otoyol.parse("resnet50")], metric, lang) for metric in METRICS[::3]]
        for stage in {0, min(1, len(spec.plan) - 1)}:
            pictures += [block_svg(spec, stage, block, lang) for block in range(min(2, spec.plan[stage].depth))]
        page.set_content("".join(pictures))
        assert page.evaluate("document.querySelectorAll('svg text').length") > 50
        assert page.evaluate(MEETING) == [], text
    page.close()
