"""What was asked for is what comes: quick moves, dropped files, loaded designs, sliders of fields left open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import opened, serving

Visit = Callable[..., Any]
# The server's answers are held back, so that two moves are made before the first of them is answered.
TWO_MOVES = """async () => {
  const asked = window.fetch;
  window.fetch = async (...given) => { await new Promise((done) => setTimeout(done, 300)); return asked(...given); };
  for (const stage of [1, 2]) {
    const slider = document.querySelector(`[data-key="stage${stage}.depths"] input[type=range]`);
    slider.value = Number(slider.value) + 1;
    slider.dispatchEvent(new Event("input", { bubbles: true }));
  }
}"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving() as url:
        yield url


def test_moves_that_come_before_an_answer_are_kept(visit: Visit, address: str) -> None:
    page = opened(visit, address, "spec=resnet50")
    page.evaluate(TWO_MOVES)
    page.wait_for_selector("code.spec:text('depths=4-5-6-3')")


def test_a_design_that_is_loaded_is_not_rescaled(visit: Visit, address: str) -> None:
    page = opened(visit, address, "spec=resnet50@expansion=6&pin=resnet18&equal=macs")
    page.wait_for_selector(".matched:not([hidden])")
    page.locator("button.pinned").click()
    page.wait_for_selector("code.spec:text-is('resnet18')")
    assert page.get_by_label("Equal budget").input_value() == ""


def test_a_slider_of_an_open_field_stands_where_the_design_does(visit: Visit, address: str) -> None:
    page = opened(visit, address, "spec=resnet50")
    slider = page.locator("[data-key=expansion] input[type=range]")
    assert slider.get_attribute("aria-valuetext") == "as usual: 4"
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("code.spec:text-is('resnet50@expansion=9/2')")
    page.locator(".own > summary").first.click()
    own = page.locator("[data-key='stage1.expansion'] input[type=range]")
    assert own.get_attribute("aria-valuetext") == "as usual: 9/2"
    names = page.locator(".own label").all_text_contents()
    assert len(names) == len(set(names)), "two controls of one name"


def test_a_refusal_stands_beside_what_was_changed(visit: Visit, address: str) -> None:
    page = opened(visit, address, "spec=resnet50")
    page.locator(".own > summary").first.click()
    groups = page.locator("[data-key=groups] input[type=number]")
    groups.fill("3")
    groups.press("Enter")
    page.wait_for_selector("[data-key=groups] .wrong:not([hidden])")
    assert page.locator("[data-key='stage1.groups'].bad").count() == 0


def test_runs_of_one_name_stand_side_by_side(visit: Visit, address: str, tmp_path: Path) -> None:
    page = opened(visit, address, "view=runs")
    for folder, loss in (("a", 2.5), ("b", 1.25)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "metrics.csv").write_text(f"step,loss\n1,{loss}\n2,{loss / 2}\n")
        page.locator("#runs-files").set_input_files(tmp_path / folder / "metrics.csv")
        page.wait_for_selector(f"text={'metrics.csv' if folder == 'a' else 'metrics (2).csv'}")
    assert page.locator(".panel-runs .files code").all_text_contents() == ["metrics.csv", "metrics (2).csv"]


def test_an_exploration_follows_a_choice_made_meanwhile(visit: Visit, address: str) -> None:
    page = opened(visit, address, "spec=cifar_resnet20&count=40&view=explore")
    page.wait_for_selector("table.front tbody button")
    page.evaluate("""() => {
      const asked = window.fetch;
      window.fetch = (...given) => new Promise((done) => setTimeout(done, 500)).then(() => asked(...given));
    }""")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.post_data) if request.url.endswith("/explore") else None)
    spaces = page.locator("#explore-space")
    spaces.select_option("detection")
    spaces.select_option("classification")
    for _ in range(200):
        if asked and '"space":"classification"' in asked[-1]:
            break
        page.wait_for_timeout(50)
    assert '"space":"classification"' in asked[-1]


def test_equal_latency_needs_a_table(visit: Visit, address: str) -> None:
    page = opened(visit, address, "spec=resnet50&pin=resnet18&equal=latency")
    assert page.get_by_label("Equal budget").input_value() == ""
    assert "equal" in page.locator("#said").text_content()


def test_a_link_holds_the_last_move(visit: Visit, address: str) -> None:
    page = opened(visit, address, "spec=resnet50")
    copied = page.evaluate("""async () => {
      const slider = document.querySelector('[data-key="stage1.depths"] input[type=range]');
      slider.value = 4;
      slider.dispatchEvent(new Event("input", { bubbles: true }));
      document.querySelector(".menu").open = true;
      document.querySelector("[data-take=link]").click();
      return document.querySelector(".preview").textContent;
    }""")
    assert "depths=5-4-6-3" in copied


@pytest.mark.parametrize(("start", "part", "word", "spec"), [
    ("resnet50@stage2.attention=se,stage2.attention.reduction=8", "attention", "cbam",
     "resnet50@stage2.attention=cbam,stage2.attention.reduction=8"),
    ("resnet50@stage2.attention=se,stage2.attention.reduction=8", "attention", "default", "resnet50"),
    ("resnet50@stage2.shortcut=D,stage2.shortcut.reads=raw", "shortcut", "C",
     "resnet50@stage2.shortcut=C,stage2.shortcut.reads=raw"),
])  # fmt: skip
def test_a_stages_own_part_takes_another_kind(
    visit: Visit, address: str, start: str, part: str, word: str, spec: str
) -> None:
    page = opened(visit, address, f"spec={start}")
    page.locator(".own > summary").nth(1).click()
    page.locator(f"[data-key='stage2.{part}'] select").select_option(word)
    page.wait_for_selector(f"code.spec:text-is('{spec}')")
    assert page.locator(".notice:visible").count() == 0
