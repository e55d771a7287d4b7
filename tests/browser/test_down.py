"""What a visitor sees when nothing is there yet: no database, then an empty log, never an API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from db.migrate import migrate
from tests.browser.conftest import Program
from tests.programs import free_port


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("down")


@pytest.fixture(scope="module")
def dashboard(folder: Path) -> Iterator[Program]:
    dashboard = Program(
        "dashboard", free_port(), folder,
        database_url=f"sqlite:///{folder}/log.db", api_url=f"http://127.0.0.1:{free_port()}",
    )  # fmt: skip
    dashboard.start()
    yield dashboard
    dashboard.stop()


@pytest.fixture
def page(visitor: BrowserContext) -> Iterator[Page]:
    page = visitor.new_page()
    yield page
    page.close()


@pytest.mark.parametrize("path", ["", "/predictions"])
def test_without_a_database_there_is_a_calm_screen_then_an_empty_log(
    page: Page, dashboard: Program, folder: Path, path: str
) -> None:
    (folder / "log.db").unlink(missing_ok=True)
    page.goto(dashboard.url + path)
    expect(page.get_by_role("heading", name="The log cannot be read")).to_be_visible()
    migrate(f"sqlite:///{folder}/log.db", lambda _: None)
    expect(page.get_by_role("heading", name="No predictions yet", exact=True)).to_be_visible(
        timeout=60_000
    )
    page.get_by_role("link", name="Enter a patient").click()
    expect(page.get_by_role("button", name="Estimate risk")).to_be_visible()
