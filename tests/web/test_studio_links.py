"""Links pasted over a page that is open, languages that come late or not at all: the page follows whole, or stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import opened, serving

Visit = Callable[..., Any]
GO = "hash => { location.hash = hash; }"
EXPLORE = "view=explore&spec=cifar_resnet20"
# Answers about the words of a language are kept back, or never come.
HOLD_WORDS = """([path, ms, come]) => {
  const asked = window.fetch;
  window.asked = 0;
  window.fetch = async (...given) => {
    if (!String(given[0]).startsWith(path)) return asked(...given);
    window.asked += 1;
    await new Promise((done) => setTimeout(done, ms));
    if (come) return asked(...given);
    throw new TypeError("no such server");
  };
}"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("runs")
    for name, loss in (("a", 2.5), ("b", 1.5)):
        (folder / name).mkdir()
        (folder / name / "metrics.csv").write_text(f"step,loss\n1,{loss}\n2,{loss / 2}\n")
    with serving(folder=folder) as url:
        yield url


def told(page: Any) -> str:
    page.wait_for_selector("table.front tbody button")
    return page.locator(".panel-explore .told").text_content()


def test_a_link_is_followed_by_explore(visit: Visit, address: str) -> None:
    page = opened(visit, address, f"{EXPLORE}&count=40&seed=1")
    first = told(page)
    link = f"{EXPLORE}&count=30&seed=2&budgets=macs<=60M&ranges=depth::20&x=params"
    page.evaluate(GO, f"v=1&{link}")
    page.wait_for_function("text => (document.querySelector('.told')?.textContent || text) !== text", arg=first)
    other = opened(visit, address, link)
    assert told(page) == told(other)
    for page_ in (page, other):
        fields = [page_.locator(f"#explore-{name}").input_value() for name in ("count", "seed", "budgets", "x")]
        assert fields == ["30", "2", "macs<=60M", "params"]
    rows = [one.locator("table.front tbody button").all_text_contents() for one in (page, other)]
    assert rows[0] == rows[1]


def test_a_link_is_followed_by_runs(visit: Visit, address: str) -> None:
    page = opened(visit, address, "view=runs&files=a/metrics.csv")
    listed = page.locator(".panel-runs .files code")
    page.wait_for_selector(".panel-runs .files code:text-is('a/metrics.csv')")
    page.evaluate(GO, "v=1&view=runs&files=b/metrics.csv")
    page.wait_for_selector(".panel-runs .files code:text-is('b/metrics.csv')")
    assert listed.all_text_contents() == ["b/metrics.csv"]
    # Another language keeps what is there.
    page.get_by_label("Language").select_option("tr")
    page.wait_for_selector("html[lang=tr] .panel-runs .files code:text-is('b/metrics.csv')")
    assert listed.all_text_contents() == ["b/metrics.csv"]
    page.wait_for_function(
        "() => location.hash.includes('files=b%2Fmetrics.csv') || location.hash.includes('b/metrics')"
    )


def test_a_link_is_checked_as_an_address_is(visit: Visit, address: str) -> None:
    page = opened(visit, address, "spec=resnet18")
    page.evaluate(GO, "v=1&spec=resnet34&pin=resnet18&equal=latency&table=ort,b1,t2&block=9.4097&ask=nonsense")
    page.wait_for_selector("code.spec:text-is('resnet34')")
    assert page.get_by_label("Equal budget").input_value() == ""
    said = page.locator("#said").text_content()
    for name in ("equal", "table", "block", "ask"):
        assert name in said
    page.wait_for_function("() => location.hash === '#v=1&spec=resnet34&pin=resnet18'")


def test_what_the_page_writes_is_no_link(visit: Visit, address: str) -> None:
    page = opened(visit, address, "spec=resnet50")
    page.evaluate("() => { document.querySelector('.panel-figures').dataset.mark = 'mine'; }")
    page.locator("[data-key='stage1.depths'] input[type=range]").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => location.hash.includes('depths=4-4-6-3')")
    page.locator("#tab-memory").click()
    page.wait_for_function("() => location.hash.includes('view=memory')")
    assert page.locator(".panel-figures[data-mark=mine]").count() == 1


def test_a_language_that_does_not_come_is_let_go(visit: Visit, address: str) -> None:
    page = opened(visit, address, "spec=resnet18")
    page.evaluate(HOLD_WORDS, ["/api/words/", 10, False])
    page.get_by_label("Language").select_option("tr")
    page.wait_for_function("() => document.querySelector('#said').textContent.includes('does not answer')")
    page.wait_for_timeout(300)
    assert page.evaluate("window.asked") == 1
    assert page.get_by_label("Language").input_value() == "en"
    assert page.evaluate("document.documentElement.lang") == "en"
    page.wait_for_function("() => location.hash === '#v=1&spec=resnet18'")


def test_the_language_wanted_last_is_the_one_that_is_shown(visit: Visit, address: str) -> None:
    page = opened(visit, address, "spec=resnet18")
    page.evaluate(HOLD_WORDS, ["/api/words/tr", 500, True])
    page.get_by_label("Language").select_option("tr")
    page.get_by_label("Language").select_option("en")
    page.wait_for_timeout(900)
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.get_by_label("Language").input_value() == "en"
    page.wait_for_function("() => location.hash.endsWith('lang=en')")


def test_a_page_mounted_anew_leaves_no_listener_behind(visit: Visit, address: str) -> None:
    page = opened(visit, address, "spec=resnet18")
    page.evaluate("""() => {
      const add = document.addEventListener.bind(document);
      window.added = [];
      document.addEventListener = (kind, ...rest) => { window.added.push(kind); add(kind, ...rest); };
    }""")
    page.get_by_label("Language").select_option("tr")
    page.wait_for_selector("html[lang=tr] .menu > summary")
    assert page.evaluate("window.added") == []
    page.locator(".menu > summary").click()
    page.wait_for_selector(".menu[open]")
    page.locator("h1").click()
    page.wait_for_selector(".menu:not([open])")


def test_a_cut_off_answer_is_a_server_that_has_gone(visit: Visit, address: str) -> None:
    page = opened(visit, address, "spec=resnet18")
    page.evaluate("""() => {
      window.fetch = async () => new Response(new ReadableStream({ start(body) {
        body.enqueue(new TextEncoder().encode('{"spec": "res'));
        body.error(new TypeError("network"));
      } }), { headers: { "content-type": "application/json" } });
    }""")
    page.locator("[data-key='stage1.depths'] input[type=range]").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => document.querySelector('.notice').textContent.includes('does not answer')")
    assert page.locator("#panel-figures.stale").count() == 1


def test_a_message_stays_as_long_as_the_last_one_is_new(visit: Visit, address: str) -> None:
    page = opened(visit, address, "spec=resnet18")
    page.evaluate("""() => {
      const real = window.setTimeout.bind(window);
      window.setTimeout = (work, ms) => real(work, ms / 5);
    }""")
    page.locator(".menu > summary").click()
    page.locator("[data-take=link]").click()
    page.wait_for_selector("#said.seen")
    page.wait_for_timeout(800)  # of 1200
    page.locator("[data-take=link]").click()
    page.wait_for_timeout(800)
    assert page.locator("#said.seen").count() == 1
    page.wait_for_selector("#said:not(.seen)", state="attached")
