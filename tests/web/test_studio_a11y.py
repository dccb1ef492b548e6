"""The page for everyone: axe-core finds nothing serious, the keyboard reaches everything and is never held."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import serving  # type: ignore[import-not-found]

axe = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is in the extra dev")
AXE = Path(axe.__file__).with_name("axe.min.js")
VIEWS = ("overview", "network", "memory", "why", "explore", "runs")
DESKTOP, MOBILE = {"width": 1280, "height": 900}, {"width": 375, "height": 800}
PAGE = Callable[..., Any]

# Serious and critical findings, each with the elements it is about.
RUN = """async () => {
  const found = await axe.run(document, { resultTypes: ['violations'], rules: { 'page-has-heading-one': { enabled: true } } });
  return { serious: found.violations.filter(v => ['serious', 'critical'].includes(v.impact))
             .map(v => [v.id, v.nodes.slice(0, 4).map(n => n.target.join(' ') + ' ' + n.any.concat(n.all).map(c => c.message).join('; ').slice(0, 160))]),
           passes: found.passes.length };
}"""  # noqa: E501
# What the keyboard should reach: everything that can be operated and is not folded away.
OPERABLE = """() => [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex="0"]')]
  .filter(e => !e.disabled && e.tabIndex >= 0 && e.checkVisibility({ visibilityProperty: true }))
  .map((e, i) => { e.dataset.stop = i; return i; })"""
STOP = """() => {
  const e = document.activeElement, s = getComputedStyle(e), box = e.getBoundingClientRect();
  return [
    e.dataset.stop === undefined ? -1 : Number(e.dataset.stop),
    s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2,
    e.tagName + '.' + e.className + '#' + e.id,
    box.width > 0 && box.bottom > 0 && box.top < innerHeight,
  ];
}"""


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("runs")
    (folder / "metrics.csv").write_text("step,loss\n1,2.5\n2,1.5\n")
    (folder / "result.json").write_text(json.dumps({"spec": "resnet18", "accuracy": 0.75}))
    with serving(folder=folder) as address:
        yield address


def settled(page: Any, view: str) -> None:
    """Everything of the view is there."""
    # Files are read one after another, and each makes the list anew.
    waits = {
        "explore": "table.front tbody button", "runs": ".panel-runs .files li:nth-child(2)",
        "network": ".panel-network svg",
    }  # fmt: skip
    page.wait_for_selector(waits.get(view, f"#view-{view} .panel"))
    page.wait_for_function("() => document.querySelector('.panel-figures .figures dd')?.textContent")


# Every pair of theme, language and size.
@pytest.mark.parametrize(
    ("theme", "lang", "size"),
    [("light", "en", DESKTOP), ("light", "tr", MOBILE), ("dark", "en", MOBILE), ("dark", "tr", DESKTOP)],
    ids=["light-en-desktop", "light-tr-mobile", "dark-en-mobile", "dark-tr-desktop"],
)
def test_axe_finds_nothing_serious(visit: PAGE, studio: str, theme: str, lang: str, size: dict[str, int]) -> None:
    start = f"theme={theme}&lang={lang}&spec=cifar_resnet20&pin=cifar_resnet32"
    start += "&count=120&budgets=macs<=60M&files=metrics.csv|result.json"
    page = visit(f"{studio}/#v=1&view=overview&{start}", viewport=size, bypass_csp=True)
    page.add_script_tag(path=AXE)
    for view in VIEWS:
        page.evaluate("hash => { location.hash = hash; }", f"v=1&view={view}&{start}")
        settled(page, view)
        if view == "explore":
            page.evaluate("() => document.querySelectorAll('#view-explore details').forEach(d => { d.open = true; })")
        found = page.evaluate(RUN)
        assert found["serious"] == [], view
        assert found["passes"] > 15
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], view
        assert page.evaluate("document.documentElement.lang") == lang


@pytest.mark.parametrize(
    ("theme", "lang", "size"), [("light", "tr", MOBILE), ("dark", "en", DESKTOP)], ids=["tr", "en"]
)
def test_axe_finds_nothing_serious_in_a_refusal(
    visit: PAGE, studio: str, theme: str, lang: str, size: dict[str, int]
) -> None:
    start = f"{studio}/#v=1&theme={theme}&lang={lang}&pin=resnet18&op=stages.1.0.branch.conv2&spec=resnet50"
    page = visit(start, viewport=size, bypass_csp=True)
    page.add_script_tag(path=AXE)
    settled(page, "overview")
    page.evaluate("hash => { location.hash = hash; }", f"{start.partition('#')[2]}@groups=3")
    page.wait_for_selector(".offers button")
    assert ("bir böleni" if lang == "tr" else "a divisor") in page.locator(".notice").inner_text()
    assert page.evaluate(RUN)["serious"] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]


@pytest.mark.parametrize("view", VIEWS)
def test_the_keyboard_reaches_everything(visit: PAGE, studio: str, view: str) -> None:
    page = visit(f"{studio}/#v=1&view={view}&spec=cifar_resnet20&count=40&files=metrics.csv|result.json")
    settled(page, view)
    wanted = set(page.evaluate(OPERABLE))
    assert len(wanted) > 25
    reached: list[int] = []
    page.evaluate("() => document.activeElement.blur()")
    for _ in range(3 * len(wanted)):
        page.keyboard.press("Tab")
        stop, outlined, name, in_sight = page.evaluate(STOP)
        if name.startswith("BODY"):  # past the last one: the browser's own controls are next
            break
        assert outlined, f"no visible focus on {name}"
        assert in_sight, f"{name} has the focus out of sight"
        reached.append(stop)
    else:
        pytest.fail(f"the keyboard is held: {reached[-6:]}")
    assert wanted - set(reached) == set()
    page.keyboard.press("Shift+Tab")
    assert page.evaluate(STOP)[0] == reached[-1]


def test_keys_open_views_and_change_the_design(visit: PAGE, studio: str) -> None:
    page = visit(f"{studio}/#v=1&spec=cifar_resnet20&count=40")
    settled(page, "overview")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "results"
    page.locator("#tab-overview").focus()
    for view in (*VIEWS[1:], VIEWS[0]):
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.id") == f"tab-{view}"
        assert page.locator(f"#view-{view}").is_visible()
    page.keyboard.press("End")
    assert page.locator("#view-runs").is_visible()
    before = page.locator(".panel-figures").text_content()
    page.locator("#controls input[type=range]:visible").nth(2).focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("text => document.querySelector('.panel-figures').textContent !== text", arg=before)
