from __future__ import annotations

import csv
import json
import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from db.reader.queries import Reader
from tests.browser.conftest import PATIENT, Recorder, Servers, enter, estimate, settled


def logged(servers: Servers, **wanted: Any) -> list[dict[str, Any]]:
    reader = Reader(servers.database_url)
    try:
        return reader.page(**wanted)[0]
    finally:
        reader.close()


def all_logged(servers: Servers, source: str | None = None) -> list[dict[str, Any]]:
    """Return every row, of however many pages: other tests log a thousand patients."""
    reader = Reader(servers.database_url)
    try:
        return list(reader.stream(source=source))
    finally:
        reader.close()


def open_first_row(page: Page) -> None:
    """Press "Details" in the first row; the table is a canvas, so by its place."""
    table = page.get_by_test_id("stDataFrame").locator("canvas").first
    expect(table).to_be_visible()
    settled(page)
    table.click(position={"x": 30, "y": 38 + 17}, force=True)  # a layer above it takes the click
    expect(page.get_by_role("dialog")).to_be_visible()


def test_the_overview_begins_with_its_verdict(page: Page, servers: Servers) -> None:
    page.goto(servers.dashboard.url)
    expect(page.get_by_role("heading", level=1)).to_contain_text("The service is up")
    expect(page.get_by_role("link", name="Fairness →")).to_be_visible()
    expect(page).to_have_title("Overview · Cardiowatch")
    settled(page)
    for panel in ("Predictions over time", "Scoring latency", "Rejected requests"):
        expect(page.get_by_role("heading", name=panel)).to_be_visible()
    with_a_date = page.locator(".xtick").filter(has_text=re.compile(r"\d+ [A-Z][a-z]{2} 20\d\d$"))
    expect(with_a_date).not_to_have_count(0)


def test_the_bar_on_top_leads_to_every_page(page: Page, servers: Servers) -> None:
    page.goto(servers.dashboard.url)
    names = (
        "Patient", "Batch", "Predictions", "Explanations", "Model card", "Fairness", "Drift",
        "Poisoning", "Load tests", "Overview",
    )  # fmt: skip
    for name in names:
        page.get_by_role("link", name=name, exact=True).click()
        expect(page).to_have_title(f"{name} · Cardiowatch")
    links = page.get_by_role("banner").get_by_role("link").count()
    assert links in (len(names), len(names) + 1)  # with the logo


def test_a_patient_entered_in_the_browser_is_found_in_the_log(
    page: Page, servers: Servers, recorder: Recorder
) -> None:
    estimate(page, servers, PATIENT)
    row = logged(servers, source="live", limit=1)[0]
    assert (row["age"], row["sex"], row["cp"], row["thal"]) == (63, 1, 4, 7)
    assert (row["trestbps"], row["chol"], row["oldpeak"]) == (137.25, 233.5, 2.3)
    said = page.get_by_text("such patients would be", exact=False).first.inner_text()
    assert f"About {round(row['probability'] * 100)} of 100 such patients" in said
    expect(page.get_by_text("Not for diagnosis.").first).to_be_visible()
    # Addresses and log lines carry no patient's value.
    said_elsewhere = "\n".join(
        [*recorder.urls, page.url, servers.dashboard.printed(), servers.api.printed()]
    )
    assert "137.25" not in said_elsewhere
    assert "233.5" not in said_elsewhere


def test_an_empty_form_shows_no_risk(page: Page, servers: Servers) -> None:
    before = logged(servers, limit=1)[0]["id"]
    page.goto(f"{servers.dashboard.url}/patient")
    page.get_by_role("button", name="Estimate risk").click()
    expect(page.get_by_text("Age and Sex are required.")).to_be_visible()
    expect(page.get_by_role("textbox", name="Age")).to_be_focused()
    expect(page.get_by_test_id("stMetric")).to_have_count(0)
    assert logged(servers, limit=1)[0]["id"] == before


def test_entries_survive_while_the_service_is_down(page: Page, servers: Servers) -> None:
    page.goto(f"{servers.dashboard.url}/patient")
    enter(page, PATIENT)
    servers.api.stop()
    try:
        page.get_by_role("button", name="Estimate risk").click()
        expect(page.get_by_text("The service is not responding.")).to_be_visible()
        expect(page.get_by_test_id("stMetric")).to_have_count(0)
        age = page.get_by_role("textbox", name="Age")
        expect(age).to_have_value("63")
    finally:
        servers.api.start()
    page.get_by_role("button", name="Estimate risk").click()
    expect(page.get_by_role("heading", name="Explanation")).to_be_visible()


@pytest.mark.parametrize("values", [{}, {"age": 50, "sex": "female"}], ids=["refused", "answered"])
def test_whoever_presses_estimate_sees_what_came_of_it_without_scrolling(
    page: Page, servers: Servers, values: dict[str, object]
) -> None:
    page.goto(f"{servers.dashboard.url}/patient")
    settled(page)
    enter(page, values)
    page.mouse.move(400, 500)
    page.mouse.wheel(0, 5_000)
    button = page.get_by_role("button", name="Estimate risk")
    expect(button).to_be_in_viewport(ratio=1)
    button.click()
    form = page.locator(".st-key-patient")
    if values:
        came = [form.get_by_role("status").get_by_text("Estimated risk: ")]
    else:  # the page goes up to the first entry that is refused, where the reason stands
        age = form.get_by_role("textbox", name="Age")
        expect(age).to_be_focused()
        came = [age, *(form.get_by_text(f"{name} is required.") for name in ("Age", "Sex"))]
    for what in came:
        expect(what).to_be_in_viewport(ratio=1)


def test_what_if_compares_and_is_logged_as_what_if(page: Page, servers: Servers) -> None:
    estimate(page, servers, PATIENT)
    page.get_by_text("What if a finding were different?").click()
    enter(page, {"thal": "normal"}, within="changed")
    page.get_by_role("button", name="Compare").press("Enter")  # it moves while the form opens
    expect(page.get_by_role("heading", name="Comparison")).to_be_visible()
    expect(page.get_by_text("percentage points lower")).to_be_visible()
    row = logged(servers, source="what-if", limit=1)[0]
    assert row["thal"] == 3


def test_a_row_opens_its_explanation_and_takes_an_outcome(page: Page, servers: Servers) -> None:
    newest = servers.predict()
    page.goto(f"{servers.dashboard.url}/predictions")
    open_first_row(page)
    expect(page).to_have_url(f"{servers.dashboard.url}/predictions?id={newest}")
    drawer = page.get_by_role("dialog")
    expect(drawer.get_by_role("heading", name="Explanation")).to_be_visible()
    drawer.get_by_role("radio", name="Disease found").click()
    drawer.get_by_role("textbox", name="Examination date").fill("2026-01-31")
    drawer.get_by_role("button", name="Record outcome").click()
    expect(drawer.get_by_text("Recorded outcome: disease found.")).to_be_visible()
    row = logged(servers, limit=1)[0]
    assert (row["id"], row["outcome"]) == (newest, 1)
    page.reload()
    expect(
        page.get_by_role("dialog").get_by_text("Recorded outcome: disease found.")
    ).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page).to_have_url(f"{servers.dashboard.url}/predictions")


def test_filters_stand_in_the_address_and_survive_a_reload(page: Page, servers: Servers) -> None:
    page.goto(f"{servers.dashboard.url}/predictions")
    page.get_by_role("radio", name="Positive").click()
    page.wait_for_url("**/predictions?*result=*")
    settled(page)
    page.reload()
    expect(page.get_by_role("radio", name="Positive")).to_be_checked()


def test_pages_of_the_log_are_turned_over(page: Page, servers: Servers) -> None:
    page.goto(f"{servers.dashboard.url}/predictions")
    page.get_by_role("button", name="Older", exact=True).click()
    page.wait_for_url("**/predictions?before=*")
    page.get_by_role("button", name="Latest", exact=True).click()
    page.wait_for_url("**/predictions")


@pytest.mark.parametrize("form", ["CSV", "JSONL"])
def test_the_log_is_downloaded(page: Page, servers: Servers, form: str) -> None:
    page.goto(f"{servers.dashboard.url}/predictions")
    with page.expect_download() as waited:
        page.get_by_role("button", name=f"Download {form}").click()
    text = waited.value.path().read_text()
    rows = list(csv.DictReader(text.splitlines())) if form == "CSV" else None
    ids = [row["id"] for row in rows or map(json.loads, text.splitlines())]
    assert ids == [row["id"] for row in all_logged(servers)]


def test_a_page_looks_again_when_the_service_comes_back(page: Page, servers: Servers) -> None:
    servers.api.stop()
    try:
        page.goto(servers.dashboard.url)
        verdict = page.get_by_role("heading", level=1)
        expect(verdict).to_contain_text("The service is not responding")
        expect(page.get_by_text("The log is readable")).to_be_visible()
    finally:
        servers.api.start()
    page.reload()
    expect(verdict).to_contain_text("The service is up")


def test_the_picture_of_the_explanations_is_saved_as_svg(page: Page, servers: Servers) -> None:
    page.goto(f"{servers.dashboard.url}/explanations")
    settled(page)
    page.get_by_test_id("stPlotlyChart").first.hover()
    with page.expect_download() as waited:
        page.locator(".modebar-btn").first.click()
    assert waited.value.suggested_filename == "cardiowatch-explanations.svg"
    assert "Chest pain" in waited.value.path().read_text()


def test_a_prediction_is_explained_by_its_id(page: Page, servers: Servers) -> None:
    newest = servers.predict()
    page.goto(f"{servers.dashboard.url}/explanations")
    page.get_by_role("textbox", name="Prediction ID").fill(newest)
    page.get_by_role("button", name="Explain", exact=True).click()
    expect(page.get_by_role("dialog").get_by_role("heading", name="Explanation")).to_be_visible()


def test_the_threshold_is_a_what_if_with_its_price(page: Page, servers: Servers) -> None:
    page.goto(f"{servers.dashboard.url}/fairness")
    expect(page.get_by_text("no prediction would change")).to_be_visible()
    thumb = page.get_by_role("slider", name="Threshold")
    thumb.focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    expect(page.get_by_text("predictions would change:")).to_be_visible()


def test_a_cohort_is_chosen_once_for_all_pages(page: Page, servers: Servers) -> None:
    page.goto(f"{servers.dashboard.url}/predictions?sex=female&age=45-54")
    expect(page.get_by_text("Cohort: female, age 45-54")).to_be_visible()
    page.get_by_role("button", name="Cohort").click()
    page.get_by_role("combobox", name="Sex").click()
    page.get_by_role("option", name="All", exact=True).click()
    expect(page.get_by_text("Cohort: age 45-54")).to_be_visible()
    assert "age=45-54" in page.url
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Explanations", exact=True).click()
    expect(page.get_by_text("Cohort: age 45-54")).to_be_visible()
    page.wait_for_url("**/explanations?*age=45-54*")


def test_a_page_prints_without_what_only_a_screen_needs(page: Page, servers: Servers) -> None:
    page.goto(f"{servers.dashboard.url}/model")
    settled(page)
    page.emulate_media(media="print")
    expect(page.get_by_test_id("stHeader")).to_be_hidden()
    expect(page.get_by_text("Times in UTC")).to_be_hidden()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.emulate_media(media="screen", forced_colors="active")
    page.goto(f"{servers.dashboard.url}/fairness")
    thumb = page.get_by_role("slider", name="Threshold")
    assert thumb.evaluate("e => getComputedStyle(e).forcedColorAdjust") == "none"
    page.emulate_media(forced_colors="none")
