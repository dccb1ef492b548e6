"""While a design cannot be shown: every tab has the last one, offers hold nobody up, and the focus is never lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import opened, serving

from otoyol.cost import training
from otoyol.spec import parse

Visit = Callable[..., Any]
# Answers from a path come later.
LATE = """([path, ms]) => {
  const asked = window.fetch;
  window.fetch = async (...given) => {
    if (String(given[0]).endsWith(path)) await new Promise((done) => setTimeout(done, ms));
    return asked(...given);
  };
}"""
FOCUS = "() => document.activeElement.outerHTML.slice(0, 200)"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("runs")
    for name, spec in (("a", "resnet18@attention=se"), ("b", "resnet34")):
        (folder / name).mkdir()
        (folder / name / "result.json").write_text(json.dumps({"spec": spec, "accuracy": 0.75}))
    with serving(folder=folder) as url:
        yield url


def wrong_groups(page: Any, value: str = "3") -> Any:
    groups = page.locator("[data-key=groups] input[type=number]")
    groups.fill(value)
    groups.press("Enter")
    return groups


def focused(page: Any, selector: str) -> None:
    found = page.evaluate(FOCUS)
    assert page.evaluate("selector => document.activeElement.matches(selector)", selector), found


def test_every_tab_shows_the_last_design_meanwhile(visit: Visit, address: str) -> None:
    page = opened(visit, address, "spec=resnet18")
    wrong_groups(page)
    page.wait_for_selector(".offers button")
    page.locator("#tab-memory").click()
    page.wait_for_selector("#panel-memory tbody tr")
    page.wait_for_selector("#panel-memory.stale")
    option = page.evaluate("""async () => {
      const { getInstanceByDom } = await import("/static/vendor/echarts.js");
      const { series, legend } = getInstanceByDom(document.querySelector("#panel-memory .chart")).getOption();
      return [series[0].data, legend[0].data];
    }""")
    assert option[0][0] == training(parse("resnet18"), "standard").peak_bytes
    assert option[1] == ["peak", "held"]  # nothing is pinned
    page.locator("#tab-network").click()
    page.wait_for_selector("#panel-network.stale svg")
    assert page.locator(".offers button").count() > 0
    page.locator(".offers button").first.click()
    page.wait_for_selector("#panel-network:not(.stale) svg")
    page.locator("#tab-memory").click()
    page.wait_for_selector("#panel-memory:not(.stale) tbody tr")


def test_a_pinned_design_is_named_in_the_memory_chart(visit: Visit, address: str) -> None:
    page = opened(visit, address, "spec=resnet18&pin=resnet34&view=memory")
    page.wait_for_selector("#panel-memory tbody tr small")
    names = page.evaluate("""async () => {
      const { getInstanceByDom } = await import("/static/vendor/echarts.js");
      return getInstanceByDom(document.querySelector("#panel-memory .chart")).getOption().legend[0].data;
    }""")
    assert names == ["peak", "held", "baseline"]


def test_a_move_does_not_wait_for_offers(visit: Visit, address: str) -> None:
    page = opened(visit, address, "spec=resnet50")
    page.evaluate(LATE, ["/api/nearest", 8000])
    groups = wrong_groups(page)
    page.wait_for_selector("[data-key=groups] .wrong:not([hidden])")
    groups.fill("2")
    groups.press("Enter")
    page.wait_for_selector("code.spec:text-is('resnet50@groups=2')", timeout=4000)
    assert page.locator(".notice").inner_text() == ""


def test_an_unknown_family_is_offered_known_ones(visit: Visit, address: str) -> None:
    page = visit(f"{address}/#v=1&spec=resnet51@attention=se")
    page.wait_for_selector(".offers button")
    page.locator(".offers button").filter(has_text="resnet50 ").first.click()
    page.wait_for_selector("code.spec:text-is('resnet50@attention=se')")
    focused(page, "[data-key=family] select")


def test_offers_give_the_focus_to_what_they_changed(visit: Visit, address: str) -> None:
    page = opened(visit, address, "spec=resnet50")
    groups = wrong_groups(page)
    page.wait_for_selector(".offers button")
    page.locator(".offers button").filter(has_text="groups").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("code.spec:text-is('resnet50@groups=4')")
    focused(page, "[data-key=groups] input[type=number]")
    assert groups.input_value() == "4"
    # Of a column, the entry of the stage that has changed.
    page.evaluate("hash => { location.hash = hash; }", "v=1&spec=resnet18@depths=2-2-9000-2")
    page.wait_for_selector(".offers button:has-text('depths')")
    page.locator(".offers button").filter(has_text="depths").first.click()
    page.wait_for_selector("code.spec:text('resnet18')")
    page.wait_for_function("() => document.querySelector('.notice').textContent === ''")
    focused(page, "[data-key='stage3.depths'] input[type=number]")


def test_the_focus_stays_with_the_language_and_the_operator(visit: Visit, address: str) -> None:
    page = opened(visit, address, "spec=resnet18")
    page.get_by_label("Language").focus()
    page.get_by_label("Language").select_option("tr")
    page.wait_for_selector("html[lang=tr] #panel-figures dd:not(:empty)")
    focused(page, "select[aria-label=Dil]")
    operator = "#panel-block g[data-op='stages.1.0.branch.conv2']"
    page.wait_for_selector(operator)
    page.locator(operator).focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#panel-block .formulas dd")
    page.locator("#panel-block .op-head button").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#panel-block .op[hidden]", state="attached")
    focused(page, operator.removeprefix("#panel-block "))


def test_the_focus_stays_where_a_design_is_loaded(visit: Visit, address: str) -> None:
    page = opened(visit, address, "spec=cifar_resnet20&count=40&view=explore")
    page.wait_for_selector("table.front tbody button")
    page.get_by_label("Design number").fill("3")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_function("() => location.hash.includes('spec=cifar_resnet20@')")
    page.wait_for_selector("code.spec:text('cifar_resnet20@')")
    focused(page, ".picked button")


def test_the_focus_stays_among_the_runs(visit: Visit, address: str) -> None:
    page = opened(visit, address, "view=runs&files=a/result.json|b/result.json")
    page.wait_for_selector(".panel-runs .files li:nth-child(2)")
    page.get_by_role("button", name="Load resnet18@attention=se").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("code.spec:text-is('resnet18@attention=se')")
    page.wait_for_timeout(200)
    focused(page, "[data-of='a/result.json resnet18@attention=se']")
    for left in ("[data-of='b/result.json']", ".drop button"):
        page.locator(".panel-runs .files [data-remove]").first.focus()
        page.keyboard.press("Enter")
        focused(page, left)


def test_a_baseline_is_pinned_and_unpinned_while_a_refusal_stands(visit: Visit, address: str) -> None:
    page = opened(visit, address, "spec=resnet18")
    wrong_groups(page)
    page.wait_for_selector("section.stale")
    pin = page.locator("button[aria-pressed]", has_text="Pin")
    pin.click()
    page.wait_for_selector("button[aria-pressed=true]:has-text('Unpin')")
    page.locator("button[aria-pressed=true]", has_text="Unpin").click()
    page.wait_for_selector("button[aria-pressed=false]:has-text('Pin as baseline')")
    assert page.locator("section.stale").count() > 0


def test_a_batch_that_cannot_be_is_no_fault_of_the_design(visit: Visit, address: str) -> None:
    page = opened(visit, address, "spec=resnet18")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    batch = page.get_by_role("spinbutton", name="Batch")
    batch.fill("2000000")
    batch.press("Enter")
    page.wait_for_selector("section.stale")
    page.wait_for_timeout(300)
    assert not [url for url in asked if url.endswith("/api/nearest")]
