from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import House, settled
from tests.browser.test_accessibility import AXE, switch


def opened(page: Page, house: House) -> None:
    page.goto(f"{house.dashboard.url}/poisoning")
    expect(page.get_by_role("heading", name="Run it again")).to_be_visible()
    settled(page)


def hidden_disease(page: Page, house: House) -> None:
    opened(page, house)
    page.get_by_role("radio", name="Disease hidden").click()
    page.get_by_text("Strong L2 penalty", exact=True).first.click()
    expect(page.get_by_text("Sick patients drawn at random are labelled healthy")).to_be_visible()


def running(page: Page, house: House) -> None:
    opened(page, house)
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_role("progressbar")).to_be_visible()


def cancelled(page: Page, house: House) -> None:
    running(page, house)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Cancelled.")).to_be_visible()
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_visible()


def test_the_page_begins_with_its_verdict_and_draws_its_curves(page: Page, house: House) -> None:
    opened(page, house)
    expect(page.get_by_role("heading", level=1)).to_contain_text("One label in five")
    expect(page.get_by_test_id("stPlotlyChart")).to_have_count(1)
    expect(page).to_have_title("Poisoning · Cardiowatch")


@pytest.mark.parametrize("state", [hidden_disease, cancelled], ids=lambda state: state.__name__)
def test_axe_finds_no_violation(
    page: Page, house: House, state: Callable[[Page, House], None]
) -> None:
    state(page, house)
    page.evaluate(AXE)
    page.add_style_tag(content="* { transition: none !important }")
    for scheme in ("light", "dark"):
        switch(page, scheme)  # type: ignore[arg-type]
        settled(page)
        found = page.evaluate("axe.run()")
        assert found["passes"], "axe looked at nothing"
        rules = [(r["id"], [n["html"][:200] for n in r["nodes"]]) for r in found["violations"]]
        assert rules == [], scheme


def test_a_running_calculation_has_an_accessible_progress(page: Page, house: House) -> None:
    running(page, house)
    page.evaluate(AXE)
    found = page.evaluate("axe.run()")  # it draws itself again each second: one look, as it is
    assert [rule["id"] for rule in found["violations"]] == []
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Cancelled.")).to_be_visible()


def test_the_page_is_not_wider_than_a_narrow_window(page: Page, house: House) -> None:
    opened(page, house)
    for width in (800, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        settled(page)
        main = page.get_by_test_id("stMain")
        assert main.evaluate("main => main.scrollWidth - main.clientWidth") <= 0, width
