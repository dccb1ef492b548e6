"""What is typed: a comma or a blank is no accident for the design, and what is refused is mended where it was typed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import opened, serving

import otoyol

Visit = Callable[..., Any]
SLOTS = "norm act / conv1 norm act conv3 norm act conv1 // x4"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving() as url:
        yield url


def entered(page: Any, key: str, text: str) -> Any:
    entry = page.locator(f"[data-key='{key}'] input[type=text]")
    entry.fill(text)
    entry.press("Enter")
    return entry


@pytest.mark.parametrize("text", ["1,5", " 3 / 2 ", "1.5"])
def test_a_ratio_with_a_decimal_comma(visit: Visit, address: str, text: str) -> None:
    page = opened(visit, address, "spec=resnet50")
    entry = entered(page, "expansion", text)
    page.wait_for_selector("code.spec:text-is('resnet50@expansion=3/2')")
    assert entry.input_value() in ("1.5", "3/2")


@pytest.mark.parametrize("text", ["24, 24, 64", "24 24 64", "24x24x64", "24;24-64 "])
def test_a_list_as_people_write_lists(visit: Visit, address: str, text: str) -> None:
    page = opened(visit, address, "spec=resnet50@stem=deep")
    page.locator("[data-group=stem] > summary").click()
    entry = entered(page, "stem.widths", text)
    wanted = otoyol.to_text(otoyol.parse("resnet50@stem=deep,stem.widths=24-24-64"))
    page.wait_for_selector(f"code.spec:text-is('{wanted}')")
    assert entry.input_value() == "24-24-64"


def test_slots_with_blanks(visit: Visit, address: str) -> None:
    page = opened(visit, address, "spec=resnet50")
    page.locator("[data-key=block] select").select_option(label="own slots…")
    entered(page, "block", SLOTS)
    wanted = otoyol.to_text(otoyol.parse("resnet50@block=norm.act/conv1.norm.act.conv3.norm.act.conv1//x4"))
    page.wait_for_selector(f"code.spec:text-is('{wanted}')")


def test_what_no_text_can_hold_is_told_and_mended_where_it_was_typed(visit: Visit, address: str) -> None:
    page = opened(visit, address, "spec=resnet50")
    entry = entered(page, "expansion", "1;5")
    page.wait_for_selector("[data-key=expansion] .wrong:not([hidden])")
    assert entry.get_attribute("aria-invalid") == "true"
    assert page.locator(".field.bad").count() == 1
    entered(page, "expansion", "2")
    page.wait_for_selector("code.spec:text-is('resnet50@expansion=2')")
    assert page.locator(".field.bad").count() == 0


def test_a_link_with_half_a_field_is_mended_by_any_control(visit: Visit, address: str) -> None:
    page = visit(f"{address}/#v=1&spec=resnet50@expansion=1,5")
    page.wait_for_selector(".notice p")
    entered(page, "expansion", "2")
    page.wait_for_selector("code.spec:text-is('resnet50@expansion=2')")
