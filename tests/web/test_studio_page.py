"""The page in a real browser: charts by their options, diagrams by their elements, state by its URL."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import serving
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import specs

import otoyol
from otoyol.audit import highway
from otoyol.cost import count, training
from otoyol.cost.stages import stage_costs
from otoyol.explain import audit
from otoyol.explain.text import catalogue, number
from otoyol.ops.shallow import lower_one
from otoyol.search import EQUAL
from otoyol.spec.text import leaves
from otoyol.web.code import code

Visit = Callable[..., Any]
FIGURES = "#panel-figures [data-figure={}] dd"
OPTION = """async (selector) => {
  const { getInstanceByDom } = await import("/static/vendor/echarts.js");
  const option = getInstanceByDom(document.querySelector(selector)).getOption();
  return JSON.parse(JSON.stringify({ series: option.series, yAxis: option.yAxis, textStyle: option.textStyle }));
}"""
# Elements past the right edge, and text that is cut off where nothing scrolls and no ellipsis says so.
CLIPPED = """() => [...document.querySelectorAll("body *")]
  .filter((e) => e.offsetParent !== null
    && !e.closest("svg, .box, .wide, pre, .diagram, .tabs, .said, .skip, .preview"))
  .filter((e) => e.getBoundingClientRect().right > innerWidth + 1
    || (e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0
      && ["hidden", "clip"].includes(getComputedStyle(e).overflowX)
      && getComputedStyle(e).textOverflow !== "ellipsis"))
  .map((e) => e.outerHTML.slice(0, 90))"""
SHOWN = """(spec) => new Promise((done, fail) => {
  const due = setTimeout(() => fail(new Error(`never shown: ${spec}`)), 15000);
  const look = () => {
    if (document.querySelector("code.spec")?.textContent !== spec) return void setTimeout(look, 20);
    clearTimeout(due);
    done();
  };
  look();
})"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving() as url:
        yield url


def at(address: str, **state: object) -> str:
    return address + "/#v=1" + "".join(f"&{key}={value}" for key, value in state.items())


def wait(page: Any, spec: str) -> None:
    page.evaluate(SHOWN, otoyol.to_text(otoyol.parse(spec)))


def until(page: Any, condition: str) -> None:
    """Wait for a JavaScript expression; wait_for_function would need the policy to allow eval."""
    for _ in range(500):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(20)
    raise AssertionError(f"never: {condition}")


def test_charts_and_diagrams_show_the_design_and_its_baseline(visit: Visit, address: str) -> None:
    design = "resnetv2_50@attention=se"
    page = visit(at(address, spec=design, pin="resnet50"))
    wait(page, design)
    spec, base = otoyol.parse(design), otoyol.parse("resnet50")
    option = page.evaluate(OPTION, "#panel-costs .chart")
    series = {one["id"]: one["data"] for one in option["series"]}
    for name, whose in (("design", spec), ("baseline", base)):
        for metric in ("macs", "params", "activations", "train_bytes"):
            assert series[f"{name}-{metric}"] == [getattr(part, metric) for part in stage_costs(whose)]
    assert option["yAxis"][0]["data"] == ["stem", "stage 1", "stage 2", "stage 3", "stage 4", "head"]
    drawn = page.eval_on_selector_all("#panel-block g[data-op]", "all => all.map(g => g.dataset.op)")
    assert sorted(drawn) == sorted(op.name for op in lower_one(spec, 1, 0))
    cost, old = count(spec), count(base)
    cells = page.locator(FIGURES.format("params")).all_inner_texts()
    change = cost.params - old.params
    assert cells[:2] == [number(cost.params, "en", "si"), f"{cost.params:,}"]
    assert cells[2].startswith("+" + number(change, "en", "si")) and f"{change / old.params:+.1%}" in cells[2]
    rows = page.locator("#panel-stages tbody tr")
    assert rows.count() == 6
    assert "4 × bottleneck-v2" in rows.nth(2).inner_text()
    assert page.locator("#panel-road .lane .clear").count() == 12
    assert "resnet50" in page.locator(".pinned").inner_text()


def test_operators_and_answers_stand_beside_the_baselines(visit: Visit, address: str) -> None:
    op = "stages.1.0.branch.conv2"
    page = visit(at(address, spec="resnet50@widths=64-144-256-512", pin="resnet50", op=op, lang="tr"))
    page.wait_for_selector("#panel-block .formulas small:not(:empty)")
    told = page.locator("#panel-block .formulas").inner_text()
    more = 9 * (144**2 - 128**2)  # weights of a 3x3 between so many channels, by hand
    assert f"+{number(more, 'tr', 'si')} (+{number(144**2 / 128**2 - 1, 'tr', '.1%')})" in told
    assert "Tek bir görüntü için." in page.locator("#panel-block .op").inner_text()
    page.evaluate("hash => { location.hash = hash; }", "v=1&spec=resnetv2_50&pin=resnet50&view=why&lang=en")
    page.wait_for_selector("#panel-highway .other:not([hidden])")
    headline = audit(otoyol.parse("resnet50")).headline
    assert page.locator("#panel-highway .other").inner_text() == f"The baseline: {headline}"
    page.evaluate("hash => { location.hash = hash; }", "v=1&spec=resnetv2_50&pin=resnet50")
    page.wait_for_selector("#panel-road small:not(:empty)")
    pure = [highway(otoyol.parse(name)).pure for name in ("resnetv2_50", "resnet50")]
    assert page.locator("#panel-road small").inner_text().startswith(f"+{pure[0] - pure[1]}")


def test_a_slider_moves_everything_and_the_address(visit: Visit, address: str) -> None:
    page = visit(at(address, spec="resnet50"))
    wait(page, "resnet50")
    slider = page.locator("[data-key='stage3.depths'] input[type=range]")
    slider.focus()
    page.keyboard.press("ArrowRight")
    wait(page, "resnet50@depths=3-4-7-3")
    macs = count(otoyol.parse("resnet50@depths=3-4-7-3")).macs
    assert page.locator(FIGURES.format("macs")).nth(1).inner_text() == f"{macs:,}"
    until(page, "location.hash === '#v=1&spec=resnet50@depths=3-4-7-3'")
    # An operator's formula, by keyboard.
    page.locator("#panel-block g[data-op='stages.1.0.branch.conv2']").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#panel-block .formulas dd")
    assert "3² · 128 · 128 · 28 · 28" in page.locator("#panel-block .formulas").inner_text()
    assert page.evaluate("document.activeElement.dataset.op") == "stages.1.0.branch.conv2"
    # A fourth stage less, and the tabs by keyboard.
    page.locator("[data-group=stages] .count-row button").first.click()
    wait(page, "resnet50@depths=3-4-7,widths=64-128-256,strides=1-2-2,dilations=1-1-1")
    assert page.locator("fieldset.stage").count() == 3
    page.locator("#tab-overview").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#panel-memory tbody tr")
    shown = otoyol.parse(page.locator("code.spec").inner_text())
    option = page.evaluate(OPTION, "#panel-memory .chart")
    assert option["series"][0]["data"][0] == training(shown, "standard").peak_bytes
    assert "otoyol measure" in page.locator("#panel-latency").inner_text()


def test_what_cannot_be_built_explains_itself_and_offers_what_can(visit: Visit, address: str) -> None:
    page = visit(at(address, spec="resnet50"))
    wait(page, "resnet50")
    groups = page.locator("[data-key=groups] input[type=number]")
    groups.fill("3")
    groups.press("Enter")
    page.wait_for_selector(".offers button")
    wrong = page.locator("[data-key=groups] .wrong")
    assert "a divisor of the 64 channels" in wrong.inner_text()
    assert groups.get_attribute("aria-invalid") == "true"
    assert groups.get_attribute("aria-describedby") == wrong.get_attribute("id")
    assert page.locator("#panel-figures.stale").count() == 1
    assert page.locator("code.spec").inner_text() == "resnet50"
    page.locator(".offers button").first.click()
    wait(page, "resnet50@groups=4")
    assert page.locator(".notice").inner_text() == "" and not wrong.is_visible()
    assert groups.input_value() == "4"
    # A shared address that cannot be built shows its family, and says why.
    page.goto(at(address, spec="resnet18@act=tanh"))
    page.reload()
    page.wait_for_selector(".notice p")
    assert "act" in page.locator(".notice").inner_text()
    assert page.locator("[data-key=widths]").count() and page.locator("fieldset.stage").count() == 4


def test_equal_budget_holds_while_something_else_moves(visit: Visit, address: str) -> None:
    page = visit(at(address, spec="resnet18"))
    wait(page, "resnet18")
    page.get_by_label("Equal budget").select_option("macs")
    page.wait_for_selector(".matched:not([hidden])")
    entry = page.locator("[data-key='stage3.depths'] input[type=number]")
    entry.fill("6")
    entry.press("Enter")
    until(page, "document.querySelector('code.spec').textContent.includes('depths=2-2-6-2')")
    shown = otoyol.parse(page.locator("code.spec").inner_text())
    wanted = count(otoyol.parse("resnet18")).macs
    assert abs(count(shown).macs / wanted - 1) <= 0.01
    assert shown.stages[2].width != 256
    assert f"Width {shown.stages[2].width}" in page.locator(".rescaled").nth(2).inner_text()
    assert entry.input_value() == "6"  # controls keep what was asked


def test_every_field_has_a_control(visit: Visit, address: str) -> None:
    design = "resnet50@stage2.attention=se"
    page = visit(at(address, spec=design))
    wait(page, design)
    page.locator(".own > summary").nth(1).click()
    keys = set(page.eval_on_selector_all("[data-key]", "all => all.map(e => e.dataset.key)"))
    wanted = set(leaves(otoyol.parse(design))) | {"family", "batch", "dtype", "optimizer", "stem"}
    wanted |= {f"stage{i}.{column}" for i in range(1, 5) for column in ("depths", "widths", "strides", "dilations")}
    wanted |= {
        f"stage2.{name}" for name in ("block", "expansion", "groups", "group_width", "stride_at", "shortcut", "act")
    }
    assert wanted <= keys
    unnamed = page.evaluate("[...document.querySelectorAll('#controls input, #controls select')]"
                            ".filter(e => !e.labels.length && !e.getAttribute('aria-label')).length")  # fmt: skip
    assert unnamed == 0
    assert page.locator("[data-key='stage2.attention'] select").input_value() == "se"


WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
AXIS = st.sampled_from(("macs", "params:more", "latency_ms@ort,b1,t2:less"))
# Every field of the page's state but spec and pin.
STATES = {
    "equal": st.sampled_from(("", *EQUAL, "latency")), "vary": st.sampled_from(("widths", "depths", "both")),
    "table": st.sampled_from(("", "ort,b1,t2")), "batch": st.integers(1, 1 << 20),
    "dtype": st.sampled_from(("float64", "float32", "float16", "bfloat16")),
    "optimizer": st.sampled_from(("sgd", "momentum", "adamw")),
    "view": st.sampled_from(("overview", "network", "memory", "why", "explore", "runs")),
    "block": st.sampled_from(("", "0.0", "15.4095")), "op": st.sampled_from(("", "stages.1.0.branch.conv2")),
    "ask": st.sampled_from(("", "bottleneck", "preact,expansion")),
    "space": st.sampled_from(("around", "classification", "detection", "text")),
    "around": st.sampled_from(("", "resnet18@attention=se")), "text": WORDS,
    "count": st.integers(1, 5_000), "seed": st.integers(0, 999_999_999), "budgets": WORDS,
    "predict": st.sampled_from(("", "yes")), "x": AXIS, "y": AXIS,
    "ranges": st.sampled_from(("", "macs:1e9..2e9;latency_ms@ort,b1:..3")), "files": WORDS, "figure": WORDS,
    "lang": st.sampled_from(("", "en", "tr")), "theme": st.sampled_from(("", "light", "dark")),
}  # fmt: skip


def test_the_address_tells_all_and_needs_no_server(visit: Visit, address: str) -> None:
    texts: list[str] = []
    states: list[dict[str, object]] = []

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(specs(), st.fixed_dictionaries(STATES))
    def collect(spec: otoyol.Spec, state: dict[str, object]) -> None:
        texts.append(otoyol.to_text(spec))
        states.append({"spec": texts[-1], "pin": texts[len(texts) // 2], **state})

    collect()
    page = visit(at(address))
    page.wait_for_selector("#panel-figures dd:not(:empty)")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    found = page.evaluate(
        """async (states) => {
          const { decode, encode, split, join, FIELDS } = await import("/static/js/state.js");
          const ordered = (state) => JSON.stringify(Object.keys(FIELDS).map((name) => [name, state[name]]));
          return states.map((state) => {
            const again = decode(new URL(`#${encode(state)}`, location.href).hash);
            const all = Object.keys(state).length === Object.keys(FIELDS).length;
            const same = all && ordered(again.state) === ordered(state);
            return [same, again.wrong.length, join(split(state.spec)) === state.spec];
          });
        }""",
        states,
    )
    assert found == [[True, 0, True]] * len(texts) and len(texts) >= 60
    assert asked == []
    wrong = page.evaluate(
        """async () => {
          const KNOWN = { ask: ["preact", "attention"], lang: ["", "en"] };
          const { decode } = await import("/static/js/state.js");
          return ["#v=2&spec=resnet18", "#v=1&batch=0", "#v=1&spec=a%20b", "#v=1&spec=%E0%A4%A", "#v=1&nonsense=1",
            "#v=1&block=0.4097", "#v=1&ask=whatever", "#v=1&ask=preact,", "#v=1&lang=xx",
            "#v=1&ask=preact,attention", "#"]
            .map((hash) => { const { state, wrong } = decode(hash, KNOWN); return [state.spec, state.batch, wrong]; });
        }"""
    )
    names = ("v", "batch", "spec", "spec", "nonsense", "block", "ask", "ask", "lang")
    assert wrong == [["resnet50", 1, [name]] for name in names] + [["resnet50", 1, []]] * 2
    for text in sorted(texts, key=len)[-3:]:
        page.goto(at(address, spec=text, batch=2))
        wait(page, text)
        params = count(otoyol.parse(text)).params
        assert page.locator(FIGURES.format("params")).nth(1).inner_text() == f"{params:,}"


@pytest.mark.parametrize("lang", ["en", "tr"])
def test_a_narrow_page_cuts_nothing_off(visit: Visit, address: str, lang: str) -> None:
    design = "resnetv2_50@attention=se,groups=2"
    page = visit(at(address, spec=design, pin="resnet50", lang=lang), viewport={"width": 375, "height": 812})
    wait(page, design)
    words = catalogue(lang)
    assert page.evaluate("document.documentElement.lang") == lang
    page.locator(".menu > summary").click()
    assert page.locator(".sheet").bounding_box()["width"] > 350
    page.keyboard.press("Escape")
    for summary in page.locator(".group > summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    assert page.evaluate(CLIPPED) == []
    for view in ("network", "memory", "why", "explore"):
        page.locator(f"#tab-{view}").click()
        page.wait_for_selector(f"#view-{view}:not([hidden]) :is(tbody tr, svg)")
        assert page.evaluate("document.documentElement.scrollWidth") <= 375, view
        assert page.evaluate(CLIPPED) == [], view
    titles = page.locator("section.panel > h2").all_text_contents()
    assert {words[f"studio.panel.{name}"] for name in ("block", "costs", "stages", "taps", "memory")} <= set(titles)


def test_language_and_theme_change_at_once(visit: Visit, address: str) -> None:
    page = visit(at(address, spec="resnet18"), color_scheme="light")
    wait(page, "resnet18")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert page.evaluate(OPTION, "#panel-costs .chart")["textStyle"]["color"] == "#16202b"
    page.locator("#tab-overview").focus()
    page.keyboard.press("End")
    page.wait_for_selector("#view-runs:not([hidden])")
    page.keyboard.press("Home")
    page.wait_for_selector("#view-overview:not([hidden])")
    page.locator("#tab-why").click()
    page.get_by_label("Language").select_option("tr")
    until(page, "document.title.includes('omurga')")
    page.wait_for_selector("#panel-answers .headline:not(:empty)")
    assert "Otoyol denetimi" in page.locator("#panel-highway").inner_text()
    page.get_by_label("Tema").select_option("dark")
    page.locator("#tab-overview").click()
    page.wait_for_selector("#panel-block svg")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    assert page.evaluate(OPTION, "#panel-costs .chart")["textStyle"]["color"] == "#eef1f5"
    assert page.evaluate("getComputedStyle(document.querySelector('#panel-block .paper')).fill") == "rgb(20, 23, 28)"
    until(page, "location.hash.endsWith('&lang=tr&theme=dark')")


FORMS = ("", "si", "bytes", ".1%", ".2%", ".1f", ".3f", ".0f", ".3g", "d", "# block|# blocks")


NUMBERS = st.one_of(
    st.integers(0, 10**13), st.floats(1e-3, 1e9, allow_nan=False), st.integers(0, 40_000).map(lambda n: n / 8)
)


def test_numbers_are_written_as_the_library_writes_them(visit: Visit, address: str) -> None:
    values: list[float] = [
        0,
        1,
        999,
        1000,
        999_500,
        1125,
        0.125,
        2.675,
        8.125,
        9.995,
        0.00123,
        1023,
        1024,
        1536,
        4_089_184_256,
    ]

    @settings(max_examples=150, deadline=None)
    @given(NUMBERS)
    def collect(value: float) -> None:
        values.append(value)

    collect()
    page = visit(at(address))
    page.wait_for_selector("#panel-figures dd:not(:empty)")
    whole = ("si", "bytes", "d", FORMS[-1])
    small = (".3g", "")  # of larger figures the library writes powers of ten
    asked = [[value, form] for value in values for form in FORMS
             if (isinstance(value, int) or form not in whole) and (value < 100 or form not in small)]  # fmt: skip
    for lang in ("en", "tr"):
        found = page.evaluate(
            """async ([asked, lang]) => {
              const { translator } = await import("/static/js/i18n.js");
              const { languages } = await (await fetch("/api/choices")).json();
              const { number } = translator({}, lang, languages[lang]);
              return asked.map(([value, form]) => number(value, form));
            }""",
            [asked, lang],
        )
        wrong = [(value, form, js, number(value, lang, form)) for (value, form), js in zip(asked, found, strict=True)
                 if js != number(value, lang, form)]  # fmt: skip
        assert wrong[:9] == []


def test_a_baseline_that_cannot_be_is_told_and_let_go(visit: Visit, address: str) -> None:
    page = visit(at(address, spec="resnet18", pin="resnet18@groups=3", equal="macs"))
    wait(page, "resnet18")
    until(page, "location.hash === '#v=1&spec=resnet18'")
    assert "resnet18@groups=3" in page.locator("#said").inner_text()


def test_copies_and_the_report_leave_the_page(visit: Visit, address: str) -> None:
    design = "resnet18@attention=eca"
    page = visit(at(address, spec=design, batch=2, dtype="float64"))
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    wait(page, design)
    page.locator(".menu > summary").click()
    wanted = code(otoyol.parse(design), 2, "float64", "momentum")
    for key in ("text", "yaml", "python", "cli"):
        page.locator(f"[data-take={key}]").click()
        until(page, f"document.querySelector('.preview').textContent === {json.dumps(wanted[key])}")
        assert page.evaluate("navigator.clipboard.readText()") == wanted[key]
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(wanted["python"], {})
    params = page.locator(FIGURES.format("params")).nth(1).inner_text()
    assert said.getvalue().splitlines()[0].split()[-1] == params
    with page.expect_download() as download:
        page.locator("[data-take=report]").click()
    assert download.value.suggested_filename == "report.html"
    html = download.value.path().read_text(encoding="utf-8")
    assert html.startswith("<!DOCTYPE html>") and design in html
    assert "2 images of 3×224×224, float64" in html
    page.keyboard.press("Escape")
    assert not page.locator(".sheet").is_visible()


def test_the_whole_page_is_small(visit: Visit, address: str) -> None:
    page = visit(at(address))
    page.wait_for_selector("#panel-figures dd:not(:empty)")
    sizes = json.loads(page.evaluate(
        "JSON.stringify([...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
        ".map(e => [e.name, e.encodedBodySize]))"
    ))  # fmt: skip
    assert any(name.endswith("echarts.js") and size > 100_000 for name, size in sizes)
    assert sum(size for _, size in sizes) < 1_500_000
