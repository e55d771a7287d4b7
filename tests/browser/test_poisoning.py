from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from pipeline.dataset.heart import HEART_CSV
from tests.browser.conftest import Recorder, Servers, fits, settled
from tests.browser.test_accessibility import AXE, cut_tables, switch, violations

JUDGED = 90_000
"""Milliseconds: a worker process starts, reads the training patients and refits five models."""
CUT_MS = 3_000
"""The worker tells of several steps meanwhile."""


def opened(page: Page, servers: Servers) -> None:
    page.goto(f"{servers.dashboard.url}/poisoning")
    expect(page.get_by_role("heading", name="Run with other settings")).to_be_visible()
    settled(page)


def hidden_disease(page: Page, servers: Servers) -> None:
    opened(page, servers)
    page.get_by_role("radio", name="Disease labelled healthy").click()
    page.get_by_text("Strong L2 penalty", exact=True).first.click()
    expect(page.get_by_text("Randomly chosen patients with disease")).to_be_visible()


def running(page: Page, servers: Servers) -> None:
    opened(page, servers)
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_role("progressbar")).to_be_visible()


def cancelled(page: Page, servers: Servers) -> None:
    running(page, servers)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Cancelled.")).to_be_visible()
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_visible()


HEADER, *PATIENTS = HEART_CSV.read_text().splitlines()
# One beat more: the gate leaves out the patients that the model was trained on.
PATIENTS = [
    ",".join([*cells[:7], str(int(cells[7]) + 1), *cells[8:]])
    for cells in (line.split(",") for line in PATIENTS)
]
"""In UCI codes; the label is the last column."""


def turned(line: str) -> str:
    """Turn the label of a line round."""
    return f"{line[:-1]}{1 - int(line[-1])}"


def send(page: Page, servers: Servers, lines: list[str]) -> None:
    """Choose a file as a person does, and have it judged."""
    opened(page, servers)
    page.locator('input[type="file"]').set_input_files(
        {"name": "new.csv", "mimeType": "text/csv", "buffer": "\n".join(lines).encode()}
    )
    expect(page.get_by_test_id("stFileChipName")).to_have_text("new.csv")
    page.get_by_role("button", name="Check file").click()


def judged(page: Page, servers: Servers) -> None:
    some = [turned(line) if i % 3 == 0 else line for i, line in enumerate(PATIENTS)]
    send(page, servers, [HEADER, *some])
    expect(page.get_by_text("new.csv: rejected; ")).to_be_visible(timeout=JUDGED)
    settled(page)


@pytest.mark.parametrize(
    ("lines", "verdict"),
    [
        ([HEADER, *PATIENTS[::3]], "new.csv: accepted for training"),
        ([HEADER, *map(turned, PATIENTS[::3])], "new.csv: rejected; label inverted"),
        (["not a table", "at all"], "The file could not be checked: "),
    ],
    ids=["good", "inverted", "unreadable"],
)
def test_a_file_that_is_sent_gets_its_verdict(
    page: Page, servers: Servers, lines: list[str], verdict: str
) -> None:
    send(page, servers, lines)
    expect(page.get_by_text(verdict)).to_be_visible(timeout=JUDGED)
    expect(page.get_by_test_id("stFileChipName")).to_have_text("new.csv")  # to be checked again


def test_the_page_begins_with_its_verdict_draws_its_curves_and_fits_every_window(
    page: Page, servers: Servers
) -> None:
    opened(page, servers)
    expect(page.get_by_role("heading", level=1)).to_contain_text("random label flips take the AUC")
    expect(page.get_by_test_id("stPlotlyChart")).to_have_count(1)
    expect(page).to_have_title("Poisoning · Cardiowatch")
    page.set_viewport_size({"width": 420, "height": 900})
    settled(page)
    assert cut_tables(page) == []
    for width in (800, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        settled(page)
        assert fits(page), width


@pytest.mark.parametrize(
    "state", [hidden_disease, cancelled, judged], ids=lambda state: state.__name__
)
def test_axe_finds_no_violation(
    page: Page, servers: Servers, state: Callable[[Page, Servers], None]
) -> None:
    state(page, servers)
    page.evaluate(AXE)
    page.add_style_tag(content="* { transition: none !important }")
    for scheme in ("light", "dark"):
        switch(page, scheme)  # type: ignore[arg-type]
        settled(page)
        assert violations(page) == [], scheme


def test_a_running_calculation_has_an_accessible_progress(page: Page, servers: Servers) -> None:
    running(page, servers)
    page.evaluate(AXE)
    assert violations(page) == []  # it draws itself again each second: one look, as it is
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Cancelled.")).to_be_visible()


def test_a_calculation_outlives_a_connection_that_is_lost_for_a_moment(
    page: Page, servers: Servers, recorder: Recorder
) -> None:
    connections: list[WebSocketRoute] = []
    is_cut = False

    def pass_on(of_the_page: WebSocketRoute) -> None:
        if is_cut:
            of_the_page.close()
        else:
            connections.append(of_the_page.connect_to_server())

    page.route_web_socket("**/_stcore/stream", pass_on)
    running(page, servers)
    said = page.get_by_text("Running: ")
    before = said.inner_text()
    is_cut = True
    connections[0].close()
    page.wait_for_timeout(CUT_MS)
    is_cut = False
    expect(said.or_(page.get_by_text("Cancelled."))).not_to_have_text(before)
    assert len(connections) == 2
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Cancelled.")).to_be_visible()
    recorder.complaints = [c for c in recorder.complaints if "disconnected from server" not in c]
