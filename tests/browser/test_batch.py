"""The Batch page in a real browser: a file of patients, its errors, its results."""

from __future__ import annotations

import csv

from playwright.sync_api import Page, expect

from tests.browser.conftest import Servers
from tests.browser.test_pages import logged

HEAD = "age,sex,cp,chol"


def choose(page: Page, servers: Servers, text: str) -> None:
    page.goto(f"{servers.dashboard.url}/batch")
    page.locator("input[type=file]").set_input_files(
        {"name": "patients.csv", "mimeType": "text/csv", "buffer": text.encode()}
    )


def test_a_thousand_patients_are_logged_once_and_come_back_as_a_file(
    page: Page, servers: Servers
) -> None:
    lines = [f"{30 + n % 45},{('male', 'female')[n % 2]},asymptomatic,{150 + n % 200}"
             for n in range(1000)]  # fmt: skip
    choose(page, servers, "\n".join([HEAD, *lines]))
    expect(page.get_by_text("1,000 patients can be sent")).to_be_visible()
    page.get_by_role("button", name="Estimate 1,000 patients").dblclick()
    expect(page.get_by_text("1,000 patients estimated and logged")).to_be_visible()
    with page.expect_download() as waited:
        page.get_by_role("button", name="Download the results").click()
    rows = list(csv.DictReader(waited.value.path().read_text().splitlines()))
    assert len({row["id"] for row in rows}) == 1000
    assert [row["age"] for row in rows[:3]] == ["30", "31", "32"]
    newest = logged(servers, source="live", limit=1000)
    assert {row["id"] for row in newest} == {row["id"] for row in rows}


def test_a_wrong_cell_is_named_and_nothing_is_sent(page: Page, servers: Servers) -> None:
    before = logged(servers, limit=1)[0]["id"]
    choose(page, servers, f"{HEAD}\n63,male,asymptomatic,233\n64,male,typical,5.2\n")
    expect(page.get_by_text("2 errors in the file.")).to_be_visible()
    table = page.get_by_test_id("stTable").last
    expect(table).to_contain_text("Looks like mmol/l")
    expect(table).to_contain_text("Choose one of: typical angina")
    expect(page.get_by_role("button", name="Estimate")).to_have_count(0)
    assert logged(servers, limit=1)[0]["id"] == before


def test_the_template_is_downloaded(page: Page, servers: Servers) -> None:
    page.goto(f"{servers.dashboard.url}/batch")
    with page.expect_download() as waited:
        page.get_by_role("button", name="Download the template").click()
    assert waited.value.path().read_text().startswith("age,sex,cp,")
