"""From a signed-in person's estimate to the sealed row, the response, export and erasure."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from sqlalchemy import select

from api.auth.api_keys import create_key, edit_keys
from db.audit.seal_key import SealKey
from db.engine import open_engine, session
from db.migrate import migrate
from db.schema import predictions, responses
from tests.browser.conftest import (
    PATIENT,
    Program,
    Servers,
    enter,
    estimate,
    fits,
    new_context,
    settled,
)
from tests.browser.test_login import LOGIN, GuardedDashboard, log_in
from tests.dashboard import providers
from tests.programs import free_port, invoke

REFERENCE = "ward 3/bed 7"


@pytest.fixture
def settings(tmp_path: Path, key: SealKey) -> dict[str, Any]:
    url = f"sqlite:///{tmp_path}/log.db"
    migrate(url, lambda _: None)
    return {"database_url": url, "log_hmac_key_file": key.path}


@pytest.fixture
def guarded(
    tmp_path: Path, model_dir: Path, settings: dict[str, Any]
) -> Iterator[GuardedDashboard]:
    """A sealed log, and a dashboard with a login whose key may name people."""
    with edit_keys(tmp_path / "keys.json") as keys:
        made, text = create_key("dashboard", ["predict", "read", "outcome", "on-behalf"])
        keys.append(made)
    port, own = free_port(), free_port()
    address = f"http://127.0.0.1:{own}"
    file = tmp_path / "login.toml"
    file.write_text(LOGIN.format(dashboard=address, provider=f"http://127.0.0.1:{port}"))
    api = Program(
        "api", free_port(), tmp_path, model_dir=model_dir, keys_file=tmp_path / "keys.json",
        **settings,
    )  # fmt: skip
    dashboard = Program(
        "dashboard", own, tmp_path, database_url=settings["database_url"], api_url=api.url,
        api_key=text, login_file=file,
    )  # fmt: skip
    with providers.provider(port, address):
        try:
            api.start()
            dashboard.start()
            yield GuardedDashboard(address, dashboard)
        finally:
            dashboard.stop()
            api.stop()


def card(page: Page) -> Locator:
    return page.get_by_test_id("stForm").filter(has_text="Record response")


def picture(page: Page, name: str) -> None:
    if folder := os.environ.get("PICTURES"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def test_a_signed_in_persons_estimate_is_overridden_exported_and_erased(
    browser: Browser, guarded: GuardedDashboard, settings: dict[str, Any], key: SealKey
) -> None:
    with new_context(browser) as context:
        page = context.new_page()
        page.goto(guarded.url)
        log_in(page, guarded, "ward-3")
        page.goto(f"{guarded.url}/patient")
        enter(page, PATIENT)
        page.get_by_label("Patient reference").fill(REFERENCE)
        page.get_by_role("button", name="Estimate risk").click()
        expect(page.get_by_text("kept as a keyed hash").first).to_be_visible()
        card(page).get_by_role("radio", name="Override").click()
        card(page).get_by_role("combobox", name="Reason").click()
        page.get_by_role("option", name="Findings that the model does not use").click()
        card(page).get_by_role("button", name="Record response").click()
        expect(page.get_by_text("Response recorded.")).to_be_visible()
        settled(page)
        picture(page, "response")

    with session(open_engine(settings["database_url"])) as connection:
        (row,) = connection.execute(select(predictions)).all()
        (said,) = connection.execute(select(responses)).all()
    assert row.patient == key.hash_patient_reference(REFERENCE)
    assert row.actor is not None
    assert (said.decision, said.reason, said.actor) == ("override", "other-findings", row.actor)
    verified = invoke("verify", **settings)
    assert verified.stdout.startswith("1 predictions, 0 outcomes and 1 responses of 1 writers: ")
    exported = invoke("export", "--patient", REFERENCE, "--format", "jsonl", **settings)
    assert json.loads(exported.stdout)["decision"] == "override"
    erased = invoke("erase", "--patient", REFERENCE, **settings)
    left = invoke("export", "--patient", REFERENCE, "--format", "jsonl", **settings)
    after = invoke("verify", **settings)
    assert (erased.returncode, left.stdout, after.returncode) == (0, "", 0)
    if folder := os.environ.get("PICTURES"):
        told = (verified, exported, erased, left, after)
        (Path(folder) / "response.txt").write_text("\n".join(one.stdout for one in told))


@pytest.mark.parametrize("width", [1440, 390])
def test_a_response_takes_two_keys_and_fits_a_phone(
    browser: Browser, servers: Servers, width: int
) -> None:
    with new_context(browser, width=width) as context:
        page = context.new_page()
        estimate(page, servers, PATIENT)
        card(page).get_by_role("radio", name="Agree").focus()
        page.keyboard.press("Space")
        card(page).get_by_role("button", name="Record response").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_text("Response recorded.")).to_be_visible()
        settled(page)
        assert fits(page)
        picture(page, f"response-{width}")
