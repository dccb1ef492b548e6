"""Explore and runs in a real browser: what the page shows is what Python finds, whichever way it is filtered."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from conftest import serving  # type: ignore[import-not-found]

from otoyol.search.pareto import non_dominated
from otoyol.web.explore import ready, sample, space_of

COUNT = 300
START = f"/#v=1&view=explore&spec=cifar_resnet20&count={COUNT}&seed=5"
BUDGET = 60e6
PAGE = Callable[..., Any]

# What a chart was told, and where a point of it is on the screen.
CHART = (
    "async (n) => { const { getInstanceByDom } = await import('/static/vendor/echarts.js');"
    " const chart = getInstanceByDom(document.querySelectorAll('.panel-explore .chart')[n]);"
)
POINTS = CHART + " return chart.getOption().series.map(s => s.data); }"
PIXEL = (
    "async ([n, at]) => { const { getInstanceByDom } = await import('/static/vendor/echarts.js');"
    " const root = document.querySelectorAll('.panel-explore .chart')[n]; const box = root.getBoundingClientRect();"
    " const [x, y] = getInstanceByDom(root).convertToPixel({ gridIndex: 0 }, at); return [box.x + x, box.y + y]; }"
)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("runs")
    (folder / "first").mkdir()
    (folder / "first" / "metrics.csv").write_text("step,loss,accuracy\n1,2.5,\n2,1.5,0.25\n3,0.5,0.75\n")
    (folder / "first" / "result.json").write_text(json.dumps({"spec": "resnet18@attention=se", "accuracy": 0.75}))
    with serving(folder=folder) as address:
        yield address


@pytest.fixture(scope="module")
def drawn() -> dict[str, Any]:
    return sample(ready(space_of("around", "cifar_resnet20")), count=COUNT, seed=5)


def text_of(drawn: dict[str, Any], row: int) -> str:
    structure, *numbers = drawn["designs"][row]
    half = len(numbers) // 2
    depths, widths = ("-".join(map(str, part)) for part in (numbers[:half], numbers[half:]))
    return f"{drawn['structures'][structure]}depths={depths},widths={widths}"


def best(drawn: dict[str, Any], keep: Callable[[float, float], bool]) -> set[str]:
    """The front over fewer MACs and more parameters of the designs to keep, by otoyol.search."""
    values = np.array([drawn["values"]["macs"], drawn["values"]["params"]], dtype=float).T
    rows = np.array([i for i, (macs, params) in enumerate(values.tolist()) if keep(macs, params)])
    signed = values[rows] * [1, -1]
    chosen = rows[non_dominated(signed)]
    return {text_of(drawn, row) for row in chosen.tolist()}


def listed(page: Any) -> set[str]:
    return set(page.locator("table.front tbody button").all_text_contents())


def started(visit: PAGE, address: str, **options: Any) -> Any:
    page = visit(address, **options)
    page.wait_for_selector("table.front tbody button")
    return page


def drag(page: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*[(a + b) / 2 for a, b in zip(start, end, strict=True)], steps=3)
    page.mouse.move(*end, steps=3)
    page.mouse.up()


def test_the_front_is_pareto_and_loads(visit: PAGE, studio: str, drawn: dict[str, Any]) -> None:
    page = started(visit, f"{studio}{START}&budgets=macs<={BUDGET:.0f}")
    assert listed(page) == best(drawn, lambda macs, _: macs <= BUDGET)
    over, aside, within, front, _ = page.evaluate(POINTS, 0)
    assert len(over) == sum(macs > BUDGET for macs in drawn["values"]["macs"]) and aside == []
    assert len(over) + len(within) == len(drawn["designs"])
    assert [drawn["values"]["macs"][i] for *_, i in front] == [macs for macs, _, _ in front]
    page.locator("table.front tbody button").nth(1).focus()
    wanted = page.locator("table.front tbody button").nth(1).text_content()
    page.keyboard.press("Enter")
    row = next(i for i in range(len(drawn["designs"])) if text_of(drawn, i) == wanted)
    exact = f"{drawn['values']['params'][row]:,}"
    page.wait_for_function("text => document.querySelector('.panel-figures').textContent.includes(text)", arg=exact)
    assert "spec=cifar_resnet20@" in page.url or page.wait_for_url("**spec=cifar_resnet20@**") is None
    # Budgets change without another sample; what is no budget says so.
    field = page.locator("#explore-budgets")
    field.fill("macs <= 40M, params>=100k")
    field.press("Tab")
    page.wait_for_function("() => document.querySelector('.left-out').textContent.includes('params>=100k')")
    assert listed(page) == best(drawn, lambda macs, params: macs <= 40e6 and params >= 100e3)
    field.fill("macs<40M")
    field.press("Tab")
    page.wait_for_selector(".panel-explore [role=alert]:not([hidden])")
    assert "macs<=4.1e9" in page.locator(".panel-explore [role=alert]").text_content()
    assert field.get_attribute("aria-invalid") == "true"


def test_brushes_filter_both_pictures_and_stand_in_the_address(visit: PAGE, studio: str, drawn: dict[str, Any]) -> None:
    page = started(visit, studio + START)
    macs = sorted(drawn["values"]["macs"])
    low, high = macs[COUNT // 4], macs[3 * COUNT // 4]
    params = drawn["values"]["params"]
    page.locator(".panel-explore .chart").first.scroll_into_view_if_needed()
    ends = [page.evaluate(PIXEL, [0, at]) for at in ([low, max(params)], [high, min(params)])]
    drag(page, (ends[0][0], ends[0][1] - 4), (ends[1][0], ends[1][1] + 4))
    page.wait_for_function("() => /ranges=/.test(location.hash)")
    given = dict(re.findall(r"(\w+):([\d.e+]+:[\d.e+]+)", page.evaluate("decodeURIComponent(location.hash)")))
    bounds = [float(word) for word in given["macs"].split(":")]
    assert bounds == pytest.approx([low, high], rel=0.02)
    kept = [bounds[0] <= value <= bounds[1] for value in drawn["values"]["macs"]]
    over, aside, within, *_ = page.evaluate(POINTS, 0)
    assert (len(over), len(aside)) == (0, kept.count(False))
    assert len(within) == kept.count(True)
    # The lines outside of the ranges are there, and pale: their axis holds the same interval.
    intervals = page.evaluate(CHART + " return chart.getModel().getComponent('parallelAxis', 1).activeIntervals; }", 1)
    assert intervals[0] == pytest.approx(bounds, rel=1e-3)
    # A drag along an axis of the parallel coordinates does the same to its quantity.
    place = page.evaluate(
        "async () => { const { getInstanceByDom } = await import('/static/vendor/echarts.js');"
        " const root = document.querySelectorAll('.panel-explore .chart')[1]; root.scrollIntoView({ block: 'center' });"
        " const box = root.getBoundingClientRect(); const model = getInstanceByDom(root).getModel();"
        " const layout = model.getComponent('parallel', 0).coordinateSystem.getAxisLayout('dim6');"
        " return [box.x + layout.position[0], box.y + layout.position[1] - 100]; }"
    )
    drag(page, (place[0], place[1] + 40), (place[0], place[1] - 40))
    page.wait_for_function("() => /depth/.test(decodeURIComponent(location.hash).split('ranges=')[1])")
    shown = listed(page)
    again = started(visit, page.url)
    assert listed(again) == shown
    # Typing is the brush of who has no mouse.
    again.locator(".range-fields summary").click()
    again.get_by_role("button", name="Clear all ranges").click()
    assert listed(again) == best(drawn, lambda *_: True)
    field = again.get_by_label("MACs to", exact=True)
    field.fill(str(low))
    field.press("Tab")
    assert listed(again) == best(drawn, lambda macs, _: macs <= low)


def test_an_infeasible_design_says_why(visit: PAGE, studio: str, drawn: dict[str, Any]) -> None:
    page = started(visit, f"{studio}{START}&budgets=macs<={BUDGET:.0f}")
    row = int(np.argmax(drawn["values"]["macs"]))
    at = [drawn["values"]["macs"][row], drawn["values"]["params"][row]]
    page.locator(".panel-explore .chart").first.scroll_into_view_if_needed()
    page.mouse.click(*page.evaluate(PIXEL, [0, at]))
    card = page.locator(".picked")
    card.locator("code").wait_for()
    assert text_of(drawn, row) in card.text_content()
    assert f"misses macs<={BUDGET:.0f} by {(at[0] / BUDGET - 1) * 100:,.1f}%" in card.text_content()
    assert "spec=cifar_resnet20&" in page.url
    card.get_by_role("button").click()
    page.wait_for_function("() => location.hash.includes('spec=cifar_resnet20@')")
    page.locator(".left-out summary").click()
    over = [macs for macs in drawn["values"]["macs"] if macs > BUDGET]
    said = f"{len(over)} of {len(drawn['designs'])} miss it, the nearest by {(min(over) / BUDGET - 1) * 100:.1f}%"
    assert said in page.locator(".left-out").text_content()


def test_every_design_is_reached_by_its_number(visit: PAGE, studio: str, drawn: dict[str, Any]) -> None:
    page = started(visit, f"{studio}{START}&budgets=macs<={BUDGET:.0f}")
    order = np.argsort(drawn["values"]["macs"], kind="stable")
    number, card = page.get_by_label("Design number"), page.locator(".picked")
    for place, misses in ((1, 0), (len(order), 1)):
        number.fill(str(place))
        number.press("Enter")
        card.locator("code").wait_for()
        assert card.locator("code").text_content() == text_of(drawn, int(order[place - 1]))
        assert card.locator("li").count() == misses
    number.fill("1")
    number.press("Enter")
    number.press("Tab")
    page.keyboard.press("Enter")  # the button that loads it
    page.wait_for_function("() => location.hash.includes('spec=cifar_resnet20@')")


def test_a_space_as_text(visit: PAGE, studio: str) -> None:
    page = started(visit, studio + START)
    page.get_by_role("button", name="Edit this space as text").click()
    text = page.locator("#explore-text")
    assert "base: cifar_resnet20" in text.input_value()
    text.fill("base: cifar_resnet20\nchoices: {block: [basic, nonsense], shortcut: [B]}\nwidths: {low: 8, high: 16}")
    page.get_by_role("button", name="Draw a sample").click()
    page.wait_for_function("() => document.querySelector('.left-out').textContent.includes('nonsense')")
    assert "block=nonsense" in page.locator(".left-out").text_content()
    text.fill("base: [")
    page.get_by_role("button", name="Draw a sample").click()
    page.wait_for_selector(".panel-explore [role=alert]:not([hidden])")
    assert "valid YAML" in page.locator(".panel-explore [role=alert]").text_content()
    assert text.get_attribute("aria-invalid") == "true"


def test_an_address_gives_the_same_sample_after_a_design_was_loaded(
    visit: PAGE, studio: str, drawn: dict[str, Any]
) -> None:
    page = started(visit, studio + START)
    shown = listed(page)
    assert shown == best(drawn, lambda *_: True)
    chosen = page.locator("table.front tbody button").nth(2)
    name = chosen.text_content()
    chosen.click()
    page.wait_for_function("() => location.hash.includes('spec=cifar_resnet20@')")
    assert "around=cifar_resnet20&" in page.url
    current = page.locator("table.front tbody button[aria-current=true]")
    current.wait_for()
    assert current.all_text_contents() == [name]
    # Another language, another number type and another visitor: still the sample around the first design.
    page.get_by_label("Language").select_option("tr")
    page.wait_for_selector("html[lang=tr] table.front tbody button")
    assert listed(page) == shown
    with page.expect_response("**/api/explore") as asked:
        page.locator("[data-key=dtype] select").select_option("bfloat16")
    assert asked.value.request.post_data_json["spec"] == "cifar_resnet20"
    page.wait_for_function("() => location.hash.includes('dtype=bfloat16')")
    again = started(visit, page.url)
    assert listed(again) == shown
    assert again.locator("table.front tbody button[aria-current=true]").all_text_contents() == [name]
    # Asked for a new one, it is drawn for the design that is shown.
    with again.expect_response("**/api/explore") as asked:
        again.get_by_role("button", name="Örneklem çek").click()
    assert asked.value.request.post_data_json["spec"].startswith("cifar_resnet20@")


def test_typed_ranges_are_kept_to_the_last_digit(visit: PAGE, studio: str, drawn: dict[str, Any]) -> None:
    page = started(visit, studio + START)
    macs = sorted(drawn["values"]["macs"])[COUNT // 3]
    page.locator(".range-fields summary").click()
    field = page.get_by_label("MACs to", exact=True)
    field.fill(str(macs))
    field.press("Tab")
    wanted = best(drawn, lambda value, _: value <= macs)
    assert listed(page) == wanted
    page.wait_for_function("text => location.hash.includes(text)", arg=str(macs))
    assert listed(started(visit, page.url)) == wanted


def test_budgets_of_the_last_moment_hold(visit: PAGE, studio: str) -> None:
    page = started(visit, f"{studio}{START}&budgets=macs<={BUDGET:.0f}")
    page.evaluate("""() => {
      const asked = window.fetch;
      window.fetch = async (...given) => {
        const explored = String(given[0]).endsWith("/api/explore");
        const late = explored ? 1000 : String(given[1]?.body).includes("50M") ? 600 : 0;
        await new Promise((done) => setTimeout(done, late));
        return asked(...given);
      };
    }""")
    page.locator("#explore-seed").fill("6")
    page.get_by_role("button", name="Draw a sample").click()
    field = page.locator("#explore-budgets")
    for text in ("macs<=50M", "macs<=40M"):  # the first of them is answered last
        field.fill(text)
        field.blur()
    page.wait_for_selector(".explore-form button[type=submit][aria-disabled=true]")
    page.wait_for_selector(".explore-form button[type=submit][aria-disabled=false]")
    page.wait_for_timeout(300)
    other = sample(ready(space_of("around", "cifar_resnet20")), count=COUNT, seed=6)
    assert listed(page) == best(other, lambda macs, _: macs <= 40e6)
    page.locator(".left-out summary").click()
    assert "macs<=40M" in page.locator(".left-out").text_content()
    assert "50M" not in page.locator(".left-out").text_content()


PROBE = {
    "runs": [
        {
            "spec": "cifar_resnet20", "seed": 0, "data": "digits", "batch": 8, "steps": 2, "lr": 0.05,
            "losses": [2.5, 2.25], "lesion": None,
            "snapshots": [
                {"step": step, "blocks": [
                    {"grad_in": 1.0 + step + b, "grad_out": 1.0, "weight_grad": 2.0, "skip_share": 0.5, "var_out": 1.0,
                     "var_branch": 1.0, "cosine": None, "jacobian": None} for b in range(3)]}
                for step in (0, 2)
            ],
        }
    ],
    "verdict": ["Nothing is claimed."],
}  # fmt: skip
BROKEN = {
    "cut.json": ('{"runs": [', "is no valid JSON"),
    "list.json": ("[1, 2]", "holds no JSON object"),
    "none.json": ('{"runs": []}', "holds no runs"),
    "wrong.json": (json.dumps({"runs": [{**PROBE["runs"][0], "losses": [1, "x"]}]}), "runs[0].losses[1]"),
    "lacks.json": ('{"runs": [{"spec": "x", "losses": [], "snapshots": [{"blocks": [{}]}]}]}', "grad_in is missing"),
    "cells.csv": ("step,loss\n1,2\n2\n", "row 3: 1 cell where the head has 2"),
    "words.csv": ("step,loss\n1,two\n", "row 2, loss: “two” is no number"),
    "bare.csv": ("1,2\n3,4\n", "no head of column names"),
    "empty.csv": ("", "is empty"),
}  # fmt: skip


def test_files_are_read_in_the_browser_alone(visit: PAGE, studio: str) -> None:
    page = visit(f"{studio}/#v=1&view=runs")
    page.wait_for_selector("text=first/metrics.csv")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.post_data) if request.post_data else None)
    files = [{"name": "probe.json", "mimeType": "application/json", "buffer": json.dumps(PROBE).encode()}]
    files += [{"name": name, "mimeType": "text/plain", "buffer": text.encode()} for name, (text, _) in BROKEN.items()]
    page.locator("#runs-files").set_input_files(files)
    page.wait_for_selector("text=Nothing is claimed.")
    troubles = page.locator(".panel-runs [role=alert] .wrong").all_text_contents()
    assert len(troubles) == len(BROKEN)
    for (name, (_, said)), trouble in zip(BROKEN.items(), troubles, strict=True):
        assert trouble.startswith(name) and said in trouble
    page.locator("#runs-figure").select_option("grad_in")
    cells = page.locator(".panel-runs tbody tr").filter(has_text="cifar_resnet20").all_text_contents()
    assert cells[0] == "cifar_resnet20, before training1313" and cells[1] == "cifar_resnet203535"
    assert sent and not any("losses" in body or "Nothing is claimed" in body for body in sent)


def test_served_runs_are_drawn_and_load(visit: PAGE, studio: str) -> None:
    page = visit(f"{studio}/#v=1&view=runs&files=first/metrics.csv&figure=accuracy")
    page.wait_for_selector(".panel-runs canvas")
    row = page.locator(".panel-runs tbody tr").first
    assert row.text_content() == "first/metrics.csv0.250.750.250.75"
    page.get_by_role("button", name="first/result.json").click()
    page.get_by_role("button", name="Load resnet18@attention=se").click()
    page.wait_for_function("() => location.hash.includes('spec=resnet18@attention=se')")
    page.get_by_role("button", name="Remove first/metrics.csv").click()
    assert page.locator(".panel-runs .chart").is_hidden()
