"""The model card: the page in a browser, and the file that it gives."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Recorder, Servers, new_context
from tests.browser.test_accessibility import AXE, model_card, violations

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def downloaded(page: Page, servers: Servers, folder: Path) -> Path:
    model_card(page, servers)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as HTML").click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_the_card_is_drawn_with_its_verdict_and_its_pictures(page: Page, servers: Servers) -> None:
    model_card(page, servers)
    expect(page).to_have_title("Model card · Cardiowatch")
    expect(page.get_by_role("heading", level=1)).to_contain_text("pairs ranked correctly")
    expect(page.get_by_test_id("stPlotlyChart")).to_have_count(3)


def test_the_file_opens_from_a_disk_asks_for_nothing_and_is_accessible_in_every_window(
    page: Page, servers: Servers, browser: Browser, tmp_path: Path
) -> None:
    path = downloaded(page, servers, tmp_path)
    assert path.name.startswith("cardiowatch-model-")
    context = new_context(browser)
    for scheme in SCHEMES:
        for width in (420, 1280):
            reader = context.new_page()
            recorder = Recorder(reader)
            reader.emulate_media(color_scheme=scheme)
            reader.set_viewport_size({"width": width, "height": 900})
            reader.goto(path.as_uri())
            heading = reader.get_by_role("heading", level=1)
            expect(heading).to_contain_text("pairs ranked correctly")
            assert recorder.urls == [path.as_uri()]
            assert recorder.complaints == []
            reader.evaluate(AXE)
            assert violations(reader) == [], (scheme, width)
            wide = reader.evaluate("document.documentElement.scrollWidth")
            assert wide <= width
            reader.close()
    context.close()
