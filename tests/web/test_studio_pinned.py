"""A pinned baseline: every figure shows its difference, against what the library counts of both designs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import Clock, milliseconds, serving

import otoyol
from otoyol.cost import count, training
from otoyol.cost.stages import stage_costs
from otoyol.explain.text import number
from otoyol.ops import lower
from otoyol.web import Later
from otoyol.web.asks import DesignAsk
from otoyol.web.parts import describe

Visit = Callable[..., Any]
WHERE = "ort,b1,t1"
COUNTED = ("params", "macs", "activations", "train_bytes", "train_bytes_lean", "peak_inference_bytes")
# Rows of a table as [[text, difference]], blanks and joiners as they are typed.
ROWS = """(table) => [...document.querySelectorAll(`${table} tbody tr`)].map((row) => [...row.cells].map((cell) =>
  [cell.firstChild?.nodeType === 3 ? cell.firstChild.data : cell.textContent,
    cell.querySelector("small")?.textContent ?? ""]
    .map((text) => text.replaceAll("\\u00a0", " ").replaceAll("\\u2060", ""))))"""
CARD = """() => [...document.querySelectorAll(".picked [data-figure]")].map((figure) =>
  [...figure.children].map((part) => part.textContent))"""
TIP = """async ([chart, series, index]) => {
  const { getInstanceByDom } = await import("/static/vendor/echarts.js");
  const option = getInstanceByDom(document.querySelector(chart)).getOption();
  const value = option.series[series].data[index];
  const name = option.yAxis[0].data?.[index];
  return option.tooltip[0].formatter({
    seriesName: option.series[series].name, name, value, seriesIndex: series, dataIndex: index,
  });
}"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(scorers={WHERE: Clock()}) as url:
        yield url


def at(address: str, **state: object) -> str:
    return address + "/#v=1" + "".join(f"&{key}={value}" for key, value in state.items())


def difference(value: float, base: float, form: str = "", lang: str = "en") -> str:
    """``+1.2 M (+4.7%)`` as the library writes its numbers."""
    if value == base:
        return "="
    share = abs(value - base) / abs(base)
    sign = "+" if value > base else "−"
    told = number(share, lang, ".1%" if share >= 0.01 else ".2%")
    return f"{sign}{number(abs(value - base), lang, form)} ({sign}{told})"


def figures(text: str) -> list[tuple[float, str]]:
    """What Explore tells of a design and how it is written, in the order of a sample's columns."""
    spec = otoyol.parse(text)
    counted = [(getattr(count(spec), name), "bytes" if "bytes" in name else "si") for name in COUNTED]
    # A CIFAR network of two convolutions a block has 2 · blocks + 2 layers.
    layers = 2 * sum(stage.depth for stage in spec.stages) + 2
    return [
        *counted, (layers, "si"), (lower(spec).taps[-1].receptive_field, "si"), (milliseconds(spec), ".3g"),
    ]  # fmt: skip


def compared(text: str, base: str) -> list[list[str]]:
    pairs = zip(figures(text), figures(base), strict=True)
    return [[number(now, "en", form), difference(now, old, form)] for (now, form), (old, _) in pairs]


def test_explores_card_and_list(visit: Visit, address: str) -> None:
    start = {"view": "explore", "spec": "cifar_resnet20", "count": 60, "seed": 5, "predict": "yes"}
    page = visit(at(address, **start, pin="cifar_resnet32"))
    page.wait_for_selector("table.front td small")
    rows = page.evaluate(ROWS, "table.front")
    assert len(rows) > 3
    for (design, _), macs, params, *rest in rows:  # the plane's two first
        assert [params, macs, *rest] == compared(design, "cifar_resnet32"), design
    page.get_by_label("Design number").fill("20")
    page.keyboard.press("Enter")
    design = page.locator(".picked code").text_content()
    assert [told[1:] for told in page.evaluate(CARD)] == compared(design, "cifar_resnet32")
    # Another baseline, and none: the card and the list follow, and the focus stays where it is.
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Load it"
    page.evaluate("() => document.querySelector('[aria-pressed]').click()")
    page.wait_for_function("() => !document.querySelector('table.front td small')")
    assert [told[2] for told in page.evaluate(CARD)] == [""] * 9
    page.evaluate("() => document.querySelector('[aria-pressed]').click()")
    page.wait_for_selector("table.front td small")
    assert [told[1:] for told in page.evaluate(CARD)] == compared(design, "cifar_resnet20")
    assert page.evaluate("document.activeElement.textContent") == "Load it"


def test_a_table_that_is_fitted_while_its_sample_is_waited_for(visit: Visit) -> None:
    may = threading.Event()

    def make() -> Clock:
        may.wait(30)
        return Clock()

    with serving(scorers=Later({WHERE: make})) as address:
        start = {"view": "explore", "spec": "cifar_resnet20", "count": 30, "predict": "yes", "pin": "cifar_resnet32"}
        page = visit(at(address, **start))
        page.wait_for_selector("#panel-figures .diff:not(:empty)")  # the baseline is known, without its latency
        may.set()
        page.wait_for_selector("table.front td:nth-child(10) small")
        for (design, _), *_, latency in page.evaluate(ROWS, "table.front"):
            ms, old = (milliseconds(otoyol.parse(text)) for text in (design, "cifar_resnet32"))
            assert latency == [number(ms, "en", ".3g"), difference(ms, old, ".3g")]


def test_what_a_point_says(visit: Visit, address: str) -> None:
    page = visit(at(address, view="explore", spec="cifar_resnet20", count=60, seed=5, pin="cifar_resnet32"))
    page.wait_for_selector("table.front td small")
    said = page.evaluate(TIP, [".panel-explore .chart", 3, 0]).splitlines()
    design = "".join(said[:-2])
    spec, base = count(otoyol.parse(design)), count(otoyol.parse("cifar_resnet32"))
    assert said[-2:] == [
        f"MACs: {number(spec.macs, 'en', 'si')} {difference(spec.macs, base.macs, 'si')}",
        f"Parameters: {number(spec.params, 'en', 'si')} {difference(spec.params, base.params, 'si')}",
    ]


def test_taps_and_stages(visit: Visit, address: str) -> None:
    """ResNet-50 with one stage wider and one deeper, against ResNet-50 v1 on 256 pixels. Receptive fields of the two as
    they are without: 427 and 483."""
    design, pinned = "resnet50@widths=64-144-256-512,depths=3-4-7-3", "resnetv1_50@input=3x256x256"
    page = visit(at(address, view="network", spec=design, pin=pinned))
    page.wait_for_selector("#panel-taps td small:not(:empty)")
    spec, base = otoyol.parse(design), otoyol.parse(pinned)
    rows = page.evaluate(ROWS, "#panel-taps")
    for row, tap, old in zip(rows, lower(spec).taps, lower(base).taps, strict=True):
        less = old.height - tap.height
        assert row[1] == [f"{tap.channels:,}", difference(tap.channels, old.channels)]
        assert row[2] == [f"{tap.height} × {tap.width}", f"−{less} × −{less}"]
        assert row[3] == [str(tap.stride), "="]
        assert row[4] == [str(tap.receptive_field), difference(tap.receptive_field, old.receptive_field)]
        assert row[5][1] == difference(tap.offset, old.offset)
    assert rows[2][1] == ["576", "+64 (+12.5%)"] and rows[4][4][1] == "−24 (−5.0%)"  # 427 + 32 against 483
    told = page.evaluate(TIP, ["#panel-taps .chart", 0, 4])
    assert told.endswith("459 px −24 (−5.0%)")
    shapes = {"stage 2": ["576×28×28", "+64 × −4 × −4"], "head": ["1000×1×1", "="]}
    inside = {"stage 2": ["144 · stride 2", "+16 (+12.5%)"], "stage 3": ["256 · stride 2", "="]}
    blocks = {"stage 2": ["4 × bottleneck", "="], "stage 3": ["7 × bottleneck", "+1 (+16.7%)"]}

    def asserted(table: str) -> None:
        rows = {row[0][0]: row for row in page.evaluate(ROWS, table)}
        assert len(rows) == 6
        for column, expected in ((1, shapes), (2, blocks), (3, inside)):
            assert {part: rows[part][column] for part in expected} == expected

    asserted("#panel-network")
    page.evaluate("() => document.querySelector('#tab-overview').click()")
    page.wait_for_selector("#panel-stages td small:not(:empty)")
    asserted("#panel-stages")
    assert page.locator("#panel-stages tfoot small").first.text_content() == "+1 (+6.2%)"
    assert page.locator("#panel-figures [data-figure=pure] .diff").text_content() == "= of +1 (+6.2%)"
    of = "#panel-costs .chart"
    macs = [stage_costs(one)[2].macs for one in (spec, base)]
    assert page.evaluate(TIP, [of, 0, 2]).endswith(f"{number(macs[0], 'en', 'si')} {difference(*macs, 'si')}")
    # Stride, groups and dilation where they differ; a stage that the baseline has not got has nothing to differ from.
    other = "resnet50@groups=2,strides=1-2-2-1,dilations=1-1-1-2"
    page.evaluate("hash => { location.hash = hash; }", f"v=1&spec={other}&pin=resnet50@depths=3-4-6,widths=64-128-256")
    page.wait_for_function("() => document.querySelectorAll('#panel-stages tbody tr')[5]?.textContent.includes('head')")
    rows = page.evaluate(ROWS, "#panel-stages")
    assert rows[2][3] == ["128 · stride 2 · 2 groups", "= · +1 groups"]
    assert rows[4][3] == ["512 · dilation 2 · 2 groups", ""] and rows[4][1][1] == rows[4][2][1] == ""
    assert page.evaluate(ROWS, "#panel-network") == []


def test_an_operators_shapes(visit: Visit, address: str) -> None:
    op = "stages.1.0.branch.conv2"
    page = visit(at(address, spec="resnet50@widths=64-144-256-512", pin="resnet50", op=op))
    page.wait_for_selector("#panel-block .formulas small:not(:empty)")
    moved = page.locator("#panel-block .where").nth(1).text_content()
    assert moved == "Against the baseline: +16 × = × = · Cᵢₙ +16 (+12.5%) · Cₒᵤₜ +16 (+12.5%)"


def test_both_ends_of_the_latencys_interval(visit: Visit, address: str) -> None:
    """(2·64 + 2·128 + 4·256 + 2·512) µs against 1.92 ms; the ends are half and twice as much."""
    page = visit(at(address, view="memory", spec="resnet18@depths=2-2-4-2", pin="resnet18"))
    page.wait_for_selector("#panel-latency td small:not(:empty)")
    _, ms, interval, _ = page.evaluate(ROWS, "#panel-latency")[0]
    assert ms == ["2.43", "+0.512 (+26.7%)"]
    assert interval == ["1.22 – 4.86", "+0.256 (+26.7%) – +1.02 (+26.7%)"]
    modes = page.evaluate(ROWS, "#panel-memory")
    spec, base = otoyol.parse("resnet18@depths=2-2-4-2"), otoyol.parse("resnet18")
    for (mode, _), peak, held, _ in modes:
        now, old = training(spec, mode), training(base, mode)
        assert peak[1] == difference(now.peak_bytes, old.peak_bytes, "bytes")
        assert held[1] == difference(now.held_bytes, old.held_bytes, "bytes")
    assert page.evaluate(TIP, ["#panel-memory .chart", 0, 0]).endswith(modes[0][1][1])
    page.evaluate("hash => { location.hash = hash; }", "v=1&view=memory&spec=resnet18&pin=resnet18")
    page.wait_for_function("() => document.querySelector('#panel-latency td small')?.textContent === '='")
    assert page.evaluate(ROWS, "#panel-latency")[0][2][1] == "="


@pytest.mark.parametrize("lang", ["en", "tr"])
def test_answers_differ_row_by_row(visit: Visit, address: str, lang: str) -> None:
    design, pinned = "resnet50@widths=64-192-256-512,depths=3-4-7-3", "resnet50"
    asked = "bottleneck,expansion,preact,projection,attention"
    page = visit(at(address, view="why", spec=design, pin=pinned, ask=asked, lang=lang))
    page.wait_for_selector("[data-question=attention] td small:not(:empty)")
    page.wait_for_selector("#panel-highway td small:not(:empty)")
    now, old = count(otoyol.parse(design)), count(otoyol.parse(pinned))

    def rows(question: str) -> dict[str, list[list[str]]]:
        return {row[0][0]: row for row in page.evaluate(ROWS, f"[data-question={question}]")}

    # This design's totals: the same quantity of both.
    totals = [row[1] for row in rows("preact").values()]
    for name, form in (("params", ""), ("macs", "si"), ("train_bytes", "bytes"), ("train_bytes_lean", "bytes"),
                       ("peak_inference_bytes", "bytes")):  # fmt: skip
        value, before = getattr(now, name), getattr(old, name)
        assert [number(value, lang, form), difference(value, before, form, lang)] in totals, name
    # A block's convolutions: 768·192 + 9·192² + 192·768 weights against 512·128 + 9·128² + 128·512.
    weights = [2 * out * mid + 9 * mid * mid for out, mid in ((768, 192), (512, 128))]
    assert rows("bottleneck")["2"][2] == [number(weights[0], lang), difference(*weights, "", lang)]
    assert rows("bottleneck")["1"][2][1] == "=" and rows("bottleneck")["1"][7] == [number(16.94, lang, ".2f"), "="]
    assert rows("expansion")["4"][2:4] == [
        ["2048", "="],
        [number(now.params, lang), difference(now.params, old.params, "", lang)],
    ]
    # The first block of stage 2 projects to other channels, and is the same block: 1×1 weights and the norm's two.
    ((_, *_, params, macs, share),) = [row for label, row in rows("projection").items() if label.startswith("2.1:")]
    projections = [256 * out + 2 * out for out in (768, 512)]
    assert params == [number(projections[0], lang), difference(*projections, "", lang)]
    assert macs[1] == difference(256 * 768 * 28**2, 256 * 512 * 28**2, "si", lang)
    shares = [round(256 * out * 28**2 / of.macs * 100, 1) for out, of in ((768, now), (512, old))]
    points = number(shares[0] - shares[1], lang, ".1f")
    assert share[1] == (f"+{points} points" if lang == "en" else f"+{points} puan")
    # Blocks 3.2 to 3.7 are others than 3.2 to 3.6: nothing to compare with. Words and dashes have no difference.
    audit = {row[0][0]: row for row in page.evaluate(ROWS, "#panel-highway")}
    assert audit["3.2–7"][3] == ["18", ""] and audit["4.1"][3] == ["4", "="]
    assert audit["4.1"][1][1] == audit["4.1"][2][1] == rows("expansion")["6"][7][1] == ""


def test_nothing_is_compared_where_nothing_is_pinned(visit: Visit, address: str) -> None:
    page = visit(at(address, view="why", spec="resnet50", ask="preact,projection"))
    page.wait_for_selector("[data-question=projection] tbody td")
    for view, filled in (("memory", "tbody td"), ("overview", "tbody td"), ("network", "#panel-network svg")):
        page.locator(f"#tab-{view}").click()
        page.wait_for_selector(f"#view-{view} {filled}")
    assert page.locator("td small").count() == 0
    assert page.locator("#panel-network .diagram").is_visible() and page.locator("#panel-network .box").is_hidden()


def test_a_baseline_in_the_terms_of_a_sample() -> None:
    ask = DesignAsk(spec="cifar_resnet32", parts=("explored",), batch=4, dtype="bfloat16")
    cost = count(otoyol.parse("cifar_resnet32"), batch=4, dtype="bfloat16")
    assert describe(ask, {WHERE: Clock()})["explored"] == {
        **{name: getattr(cost, name) for name in COUNTED},
        "depth": 32, "receptive_field": lower(otoyol.parse("cifar_resnet32")).taps[-1].receptive_field,
        f"latency_ms@{WHERE}": 5 * (16 + 32 + 64) / 1e3,
    }  # fmt: skip


def test_open_blocks_out_of_as_many(visit: Visit, address: str) -> None:
    """Of 16 blocks the first of each of 4 stages projects; after the addition of each v1 block stands a ReLU."""
    page = visit(at(address, view="overview", spec="resnet50@block=bottleneck-v2", pin="resnet50"))
    figure = page.locator("#panel-figures [data-figure=pure]")
    figure.locator(".diff:not(:empty)").wait_for()
    assert [figure.locator("dd").nth(i).text_content() for i in (0, 2)] == ["12 of 16", "+12"]
