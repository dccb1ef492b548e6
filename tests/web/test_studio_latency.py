"""Tables of latency: fitted while the page is open, or not to be fitted; shown, held equal and explored."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import httpx
import pytest
from conftest import Clock, serving

import otoyol
from otoyol.errors import OtoyolError, SpecError
from otoyol.explain.refusal import refusal
from otoyol.web import Later, make_app
from otoyol.web.asks import DesignAsk, MatchAsk
from otoyol.web.parts import describe

Visit = Callable[..., Any]
GOOD, BAD = "ort,b1,t1", "ort,b8,t1"
AXES = """async () => {
  const { getInstanceByDom } = await import("/static/vendor/echarts.js");
  const chart = getInstanceByDom(document.querySelectorAll(".panel-explore .chart")[1]);
  return chart.getOption().parallelAxis.filter(Boolean).map((axis) => axis.id);
}"""


class Tables:
    """Two tables: one is fitted once ``may`` is set, the other has nothing to be fitted to."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.later = Later({BAD: partial(self.make, BAD), GOOD: partial(self.make, GOOD)})

    def make(self, where: str) -> Any:
        self.may.wait(30)
        if where == BAD:
            raise ZeroDivisionError("no runs\nin the table")
        return Clock()


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "otoyol.web.later")


def test_a_table_that_cannot_be_fitted_does_not_end_the_others() -> None:
    tables = Tables()
    tables.may.set()
    tables.later.prepare()
    bad, good = describe(DesignAsk(spec="resnet18", parts=("latency",)), tables.later)["latency"]
    assert bad == {"where": BAD, "ms": None, "why": "no runs in the table"}
    assert good["where"] == GOOD and good["ms"] == 1.92
    with pytest.raises(SpecError, match=r"laws can be fitted \(no runs in the table\)") as caught:
        tables.later[BAD]
    assert refusal(caught.value, "tr").allowed == "yasaları kurulabilen bir tablo (no runs in the table)"
    with pytest.raises(KeyError):
        tables.later["none"]
    assert "none" not in tables.later and BAD in tables.later


def test_what_a_table_lacks_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def make() -> Any:
        raise OtoyolError("scikit-learn is not installed")

    caplog.set_level(logging.WARNING, "otoyol.web.later")
    Later({GOOD: make}).prepare()
    assert [record.getMessage() for record in caplog.records] == [f"{GOOD}: scikit-learn is not installed"]


def test_equal_latency_does_not_wait_for_a_table() -> None:
    tables = Tables()
    ask = DesignAsk(spec="resnet18", match=MatchAsk(baseline="resnet34", equal="latency", where=GOOD))
    worker = threading.Thread(target=tables.later.prepare)
    worker.start()
    with pytest.raises(SpecError, match="will be in a minute or so") as caught:
        describe(ask, tables.later)
    told = refusal(caught.value, "tr")
    assert told.allowed == "yasaları kurulmuş bir tablo; bununkiler bir dakika kadar sonra hazır"
    assert told.message == f"table: verilen {GOOD}; izin verilen: {told.allowed}"
    tables.may.set()
    worker.join(10)
    assert describe(ask, tables.later)["match"]["within"]
    lacking = ask.model_copy(update={"match": MatchAsk(baseline="resnet34", equal="latency", where=BAD)})
    with pytest.raises(SpecError, match="laws can be fitted"):
        describe(lacking, tables.later)


def asked(app: Any, path: str, body: Any, lang: str = "en") -> dict[str, Any]:
    async def one() -> httpx.Response:
        headers = {"accept-language": lang, "x-refusals": "answers"}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return await client.post(path, json=body, headers=headers)

    told: dict[str, Any] = asyncio.run(one()).json()
    return told


def test_a_space_is_explored_by_the_tables_that_can_be_fitted() -> None:
    """The other is named with its reason; a budget by it is refused, one that names no table means the good one."""
    tables = Tables()
    tables.may.set()
    app = make_app(tables.later)
    ask = {"spec": "cifar_resnet20", "count": 40, "latency": True, "budgets": ["latency_ms<=60"]}
    ambiguous = asked(app, "/api/budgets", {"budgets": ask["budgets"]})  # nobody has tried the tables yet
    assert ambiguous["error"]["field"] == "budget"
    drawn = asked(app, "/api/explore", ask)  # which tries them
    assert drawn["unfit"] == [{"where": BAD, "why": "no runs in the table"}]
    assert f"latency_ms@{GOOD}" in drawn["values"] and f"latency_ms@{BAD}" not in drawn["values"]
    assert [limit["quantity"] for limit in drawn["budgets"]] == [f"latency_ms@{GOOD}"]
    assert asked(app, "/api/explore", {**ask, "budgets": []})["values"] == drawn["values"]
    for body, path in (({**ask, "budgets": [f"latency_ms<=60@{BAD}"]}, "/api/explore"),
                       ({"budgets": [f"latency_ms<=60@{BAD}"]}, "/api/budgets")):  # fmt: skip
        wrong = asked(app, path, body, "tr")["error"]
        assert (wrong["field"], wrong["given"]) == ("budget", f"latency_ms<=60@{BAD}")
        assert wrong["allowed"] == "yasaları kurulabilen bir tablo (no runs in the table)"
    assert asked(app, "/api/explore", {**ask, "latency": False, "budgets": []})["unfit"] == []


def test_a_budget_by_a_table_that_turns_out_unfit_is_refused() -> None:
    """Not before the table was tried, for until then it may be as good as any."""
    tables = Tables()
    tables.may.set()
    ask = {"spec": "cifar_resnet20", "count": 40, "latency": True, "budgets": [f"latency_ms<=60@{BAD}"]}
    assert "laws can be fitted" in asked(make_app(tables.later), "/api/explore", ask)["error"]["allowed"]


@pytest.fixture(scope="module")
def studio() -> Iterator[tuple[str, Tables]]:
    tables = Tables()
    with serving(scorers=tables.later) as address:
        threading.Thread(target=tables.later.prepare, daemon=True).start()
        yield address, tables
        tables.may.set()


def test_latency_in_the_page(visit: Visit, studio: tuple[str, Tables]) -> None:
    """Before its laws are fitted, then shown, held equal and explored."""
    address, tables = studio
    page = visit(f"{address}/#v=1&spec=resnet18@depths=2-2-4-2&pin=resnet18&equal=latency&table={GOOD}&view=memory")
    page.wait_for_selector(".notice p")
    assert "in a minute or so" in page.locator(".notice").inner_text()
    assert page.locator(".offers").count() == 0
    rows = page.locator("#panel-latency tbody tr")
    page.wait_for_selector("#panel-latency tbody tr")
    assert page.locator("code.spec").inner_text() == "resnet18@depths=2-2-4-2"  # as asked for, and not rescaled
    assert ["being fitted" in text for text in rows.all_inner_texts()] == [True, True]
    tables.may.set()
    page.wait_for_function("() => !document.querySelector('#panel-latency').textContent.includes('being fitted')")
    page.wait_for_selector(".matched:not([hidden])")  # the page has asked again by itself
    assert "no runs in the table" in rows.nth(0).inner_text()
    shown = otoyol.parse(page.locator("code.spec").inner_text())
    ms, wanted = (Clock().predict(spec).ms for spec in (shown, otoyol.parse("resnet18")))
    assert abs(ms / wanted - 1) <= 0.01
    assert f"{ms:.3g}" in rows.nth(1).inner_text()
    page.locator("#tab-explore").click()
    page.get_by_label("Predict latency").check()
    page.wait_for_selector(f"text={BAD}: its laws cannot be fitted: no runs in the table")
    assert page.locator(".panel-explore .wrong").is_hidden()
    page.wait_for_function(
        "name => document.querySelector('#explore-x').innerHTML.includes(name)", arg=f"latency_ms@{GOOD}"
    )
    page.locator("#tab-memory").click()
    # A table that there is not is put back, and told.
    page.evaluate("hash => { location.hash = hash; }", "v=1&spec=resnet18&pin=resnet34&equal=latency&table=ort,b2,t1")
    page.wait_for_function("() => document.querySelector('#said').textContent.includes('table')")
    page.wait_for_function("() => !location.hash.includes('table')")


@pytest.fixture(scope="module")
def fitted() -> Iterator[str]:
    with serving(scorers={GOOD: Clock()}) as address:
        yield address


def test_latency_is_an_axis_while_it_is_predicted(visit: Visit, fitted: str) -> None:
    page = visit(f"{fitted}/#v=1&spec=cifar_resnet20&count=60&view=explore&predict=yes&x=latency_ms@{GOOD}")
    page.wait_for_selector("table.front tbody button")
    name = f"latency_ms@{GOOD}"
    assert page.evaluate(AXES)[-1] == name
    assert page.locator("table.front thead th").count() == 10
    page.get_by_label("Predict latency").uncheck()
    page.wait_for_function("() => document.querySelectorAll('table.front thead th').length === 9")
    assert name not in page.evaluate(AXES) and len(page.evaluate(AXES)) == 8
    assert page.locator("#explore-x").input_value() == "macs"
    page.get_by_label("Predict latency").check()
    page.wait_for_function("() => document.querySelectorAll('table.front thead th').length === 10")
    axes = page.evaluate(AXES)
    assert sorted(axes) == sorted(set(axes)) and name in axes


def test_a_latency_budget_is_held_against_latencies(visit: Visit, fitted: str) -> None:
    """Also where nobody has asked for latency to be predicted."""
    page = visit(f"{fitted}/#v=1&spec=cifar_resnet20&count=60&view=explore&budgets=latency_ms<=0.000001")
    page.wait_for_selector("details.left-out", state="attached")
    page.locator("details.left-out summary").click()
    page.wait_for_selector("details.left-out li")
    assert re.search(r": (\d+) of \1 miss it", page.locator("details.left-out li").first.inner_text())
    page.goto(f"{fitted}/#v=1&spec=cifar_resnet20&count=60&view=explore")
    page.wait_for_selector("table.front tbody button")
    page.locator("#explore-budgets").fill("latency_ms<=0.000001")
    page.locator("#explore-budgets").press("Enter")
    page.wait_for_selector("details.left-out li:has-text('miss it, the nearest by')", state="attached")
