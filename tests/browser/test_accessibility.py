"""axe-core finds nothing on any page, in any state, light and dark, and on a phone."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENT, Servers, enter, estimate, fits, settled
from tests.browser.test_batch import choose
from tests.browser.test_pages import open_first_row
from tests.dashboard.benchmarks import benchmark, store

AXE = next(
    path.read_text()
    for folder in (files("axe_playwright_python"),)
    for path in folder.rglob("axe.min.js")  # type: ignore[attr-defined]
)


RUN = """async () => {
    const found = await axe.run({resultTypes: ['violations']})
    const broken = found.violations.flatMap(
        rule => rule.nodes.map(node => [rule.id, node.html.slice(0, 200)])
    )
    return [found.passes.length, broken]
}"""


def violations(page: Page) -> list[list[str]]:
    """Return what axe finds: rule and element."""
    passes, broken = page.evaluate(RUN)  # not all that axe has seen: megabytes on some pages
    assert passes, "axe looked at nothing"
    return broken  # type: ignore[no-any-return]


def overview(page: Page, servers: Servers) -> None:
    page.goto(servers.dashboard.url)
    expect(page.get_by_role("heading", name="Rejected requests")).to_be_visible()


def empty_form(page: Page, servers: Servers) -> None:
    page.goto(f"{servers.dashboard.url}/patient")
    expect(page.get_by_role("button", name="Estimate risk")).to_be_visible()


def refused_form(page: Page, servers: Servers) -> None:
    empty_form(page, servers)
    page.get_by_role("button", name="Estimate risk").click()
    expect(page.get_by_text("Age and Sex are required.")).to_be_visible()


def result_and_comparison(page: Page, servers: Servers) -> None:
    estimate(page, servers, {**PATIENT, "age": 95})
    page.get_by_text("What if a finding were different?").click()
    page.get_by_role("button", name="Compare").press("Enter")  # it moves while the form opens
    expect(page.get_by_role("heading", name="Comparison")).to_be_visible()


def changed_entries(page: Page, servers: Servers) -> None:
    estimate(page, servers, {"age": 50, "sex": "female"})
    enter(page, {"age": 51})
    expect(page.get_by_text("Entries changed - estimate again").first).to_be_visible()


def batch(page: Page, servers: Servers) -> None:
    choose(page, servers, "age,sex\n63,male\n")
    expect(page.get_by_text("1 patient can be sent")).to_be_visible()


def broken_batch(page: Page, servers: Servers) -> None:
    choose(page, servers, "age,sex,chol\n63,male,5.2\n")
    expect(page.get_by_text("1 error in the file.")).to_be_visible()


def log(page: Page, servers: Servers) -> None:
    page.goto(f"{servers.dashboard.url}/predictions")
    expect(page.get_by_test_id("stDataFrame")).to_be_visible()


def drawer(page: Page, servers: Servers) -> None:
    log(page, servers)
    open_first_row(page)
    expect(page.get_by_role("dialog").get_by_role("heading", name="Explanation")).to_be_visible()


def nothing_found(page: Page, servers: Servers) -> None:
    page.goto(f"{servers.dashboard.url}/predictions?source=Replay")
    expect(page.get_by_role("heading", name="No matching predictions")).to_be_visible()


def no_load_test(page: Page, servers: Servers) -> None:
    page.goto(f"{servers.dashboard.url}/load-tests")
    expect(page.get_by_role("heading", level=1)).to_be_visible()


def load_tests(page: Page, servers: Servers) -> None:
    for _ in range(2):
        store(servers.database_url, benchmark())
    page.goto(f"{servers.dashboard.url}/load-tests")
    heading = page.get_by_role("heading", name="Throughput ratio to the echo")
    for _ in range(5):  # what was read a moment ago is shown for 5 s
        settled(page)
        if heading.count():
            break
        page.wait_for_timeout(2000)
        page.reload()
    expect(heading).to_be_visible()


def drift(page: Page, servers: Servers) -> None:
    page.goto(f"{servers.dashboard.url}/drift")
    expect(page.get_by_role("heading", name="Distribution of one finding")).to_be_visible()


def explanations(page: Page, servers: Servers) -> None:
    page.goto(f"{servers.dashboard.url}/explanations")
    expect(page.get_by_role("heading", name="Individual predictions")).to_be_visible()


def one_finding(page: Page, servers: Servers) -> None:
    explanations(page, servers)
    page.get_by_role("radio", name="Dependence").click()
    expect(page.get_by_text("Gradient boosting (shap")).to_be_visible()


def fairness(page: Page, servers: Servers) -> None:
    page.goto(f"{servers.dashboard.url}/fairness")
    expect(page.get_by_role("heading", name="All rates and gaps")).to_be_visible()


def model_card(page: Page, servers: Servers) -> None:
    page.goto(f"{servers.dashboard.url}/model")
    expect(page.get_by_role("heading", name="Criteria for retraining")).to_be_visible()


STATES = (
    overview, empty_form, refused_form, result_and_comparison, changed_entries, batch,
    broken_batch, log,
    drawer, nothing_found, no_load_test, load_tests, drift, explanations, one_finding, fairness,
    model_card,
)  # fmt: skip


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_axe_finds_no_violation_and_everything_fits(
    page: Page, servers: Servers, state: Callable[[Page, Servers], None]
) -> None:
    state(page, servers)
    page.evaluate(AXE)
    page.add_style_tag(content="* { transition: none !important }")  # no colours in between
    looks: tuple[tuple[Literal["light", "dark"], int], ...] = (
        ("light", 1440), ("dark", 1440), ("light", 390),
    )  # fmt: skip
    for scheme, width in looks:
        switch(page, scheme)
        page.set_viewport_size({"width": width, "height": 900})
        settled(page)
        assert violations(page) == [], (scheme, width)
    assert cut_tables(page) == []  # in the window of a telephone
    for width in (800, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        settled(page)
        assert fits(page), width


def switch(page: Page, scheme: Literal["light", "dark"]) -> None:
    """Change the system's colour scheme, which the page follows, and wait until it has."""
    page.emulate_media(color_scheme=scheme)
    page.wait_for_function(
        """scheme => {
            const app = document.querySelector('[data-testid="stApp"]')
            return getComputedStyle(app).colorScheme === scheme
        }""",
        arg=scheme,
    )


WIDEN = """new MutationObserver(() => {
    const svg = document.querySelector('[data-testid="stEChartsChart"][aria-busy="false"] svg')
    if (svg && !window.widened) {
        window.widened = true
        setTimeout(() => svg.setAttribute('width', 3000))
    }
}).observe(document, {childList: true, subtree: true, attributeFilter: ['aria-busy']})"""


def test_a_chart_that_was_made_too_wide_is_drawn_anew(page: Page, servers: Servers) -> None:
    """Streamlit leaves a chart as wide as its place was when the drawing began."""
    page.add_init_script(WIDEN)
    estimate(page, servers, PATIENT)
    page.wait_for_timeout(500)
    settled(page)
    assert page.evaluate("widened")


def cut_tables(page: Page) -> list[str]:
    """Return the names of the tables that are wider than their place."""
    cut: list[str] = page.evaluate(
        """() => [...document.querySelectorAll('[data-testid="stTable"] > div')]
            .filter(box => box.scrollWidth > box.clientWidth)
            .map(box => box.innerText.slice(0, 80))"""
    )
    return cut
