"""Take the pictures of the README from the running product: `python -m tests.browser.screenshots`.

A day of synthetic patients, scored by the real model, is put into a log of its own; the pictures
are what Chromium shows of it. Drift is shown over the history of `make demo`, and the load tests
are the newest that `make bench` kept in perf/results/; where it kept none, their picture stays.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from db.ids import new_id
from db.migrate import migrate
from db.writer.results import add_load_test
from demo import build_history
from pipeline.dataset.heart import HEART_CSV, Coding, read_patients
from pipeline.dataset.synthetic import smoothed_bootstrap
from pipeline.load_tests.benchmark import KIND
from pipeline.model import load
from pipeline.monitoring.schedule import monitor
from pipeline.schema import NAMES, Row
from settings import Settings
from tests.browser.conftest import (
    FLAGS,
    PATIENT,
    Program,
    Servers,
    chromium_path,
    estimate,
    new_context,
    settled,
)
from tests.db.rows import row as stored
from tests.db.rows import running_log
from tests.programs import ROOT, free_port

OUT = ROOT / "docs" / "img"
WIDTH = 1440
DAY_S = 24 * 3600
MAX_BYTES = 150_000


def day_of_patients(url: str, model_dir: Path, n: int = 400) -> None:
    """Write patients of the last 24 hours, more by day than by night."""
    model = load(model_dir)
    real = read_patients(HEART_CSV, Coding.UCI).features
    rng = np.random.default_rng(0)
    ages_s = np.sort(DAY_S * (0.5 + 0.5 * rng.beta(2, 2, n) - 0.48 * rng.random(n)))[::-1]
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    rows = []
    for age_s, values in zip(ages_s, smoothed_bootstrap(real, n), strict=True):
        row: Row = tuple(None if np.isnan(value) else float(value) for value in values)
        probability, made = model.probability(row), new_id(now_ms - int(age_s * 1000))
        took_ms = float(rng.lognormal(0.2, 0.4))
        scored = {"probability": probability, "prediction": int(probability >= 0.5)}
        scored |= {"model_version": model.version, "latency_ms": took_ms, "source": "synthetic"}
        rows.append(stored(id=made, **dict(zip(NAMES, row, strict=True)), **scored))

    async def write() -> None:
        async with running_log(url) as log:
            await log.register_model(model.version, model.scorecard)
            await log.append(rows)

    asyncio.run(write())


def take(page: Page, name: str, *, height: int) -> None:
    """Save what the page shows, from its top, as a picture small enough for a repository."""
    page.set_viewport_size({"width": WIDTH, "height": height})
    page.get_by_test_id("stMain").evaluate("main => main.scrollTo(0, 0)")
    page.mouse.move(0, 0)
    settled(page)
    page.evaluate("document.fonts.ready")
    page.wait_for_timeout(1000)  # the charts' entry animation, 300 ms
    picture = Image.open(io.BytesIO(page.screenshot()))
    path = OUT / f"{name}.webp"
    for quality in (90, 80, 70, 60):
        picture.save(path, "WEBP", quality=quality, method=6)
        if path.stat().st_size <= MAX_BYTES:
            break
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")


def main() -> None:
    """Start the product in a temporary folder, take the pictures, stop it."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.browser.screenshots", description=__doc__
    )
    parser.add_argument("--model-dir", type=Path, default=Path("var/models"))
    model_dir = parser.parse_args().model_dir
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        url = f"sqlite:///{name}/log.db"
        migrate(url, lambda _: None)
        day_of_patients(url, model_dir)
        list(monitor(url, model_dir))
        weeks = history(Path(name), model_dir)  # before Playwright: its event loop blocks asyncio's
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium_path(), args=FLAGS)
            try:
                take_all(browser, Path(name), url, model_dir)
                take_history(browser, Path(name), weeks)
            finally:
                browser.close()


def take_all(browser: Browser, folder: Path, url: str, model_dir: Path) -> None:
    """Take a picture of each page of the running product."""
    api = Program("api", free_port(), folder, database_url=url, model_dir=model_dir.resolve())
    dashboard = Program(
        "dashboard", free_port(), folder, database_url=url, api_url=api.url,
        model_dir=model_dir.resolve(),
    )  # fmt: skip
    try:
        api.start()
        dashboard.start()
        page = new_context(browser).new_page()
        page.goto(dashboard.url)
        expect(page.get_by_role("heading", name="Scoring latency")).to_be_visible()
        take(page, "overview", height=1720)
        page.goto(f"{dashboard.url}/predictions")
        expect(page.get_by_test_id("stDataFrame")).to_be_visible()
        take(page, "predictions", height=1110)
        for name, card, height in (
            ("explanations", "Feature importance table", 1500),
            ("fairness", "Demographic parity and equalized odds", 1700),
            ("poisoning", "Dose-response curves", 1500),
            ("model", "Comparison with challenger models", 1750),
        ):
            page.goto(f"{dashboard.url}/{name}")
            expect(page.get_by_role("heading", name=card)).to_be_visible()
            take(page, name, height=height)
        estimate(page, Servers(api, dashboard, url), PATIENT | {"trestbps": 140, "chol": 234})
        take(page, "patient", height=2330)
    finally:
        dashboard.stop()
        api.stop()


def history(folder: Path, model_dir: Path) -> str:
    """Copy the history of `make demo`, made if need be, and add the newest load test to it."""
    made = ROOT / "var" / "demo.db"
    build_history(Settings(model_dir=model_dir), made, print)
    url = f"sqlite:///{shutil.copy(made, folder / 'history.db')}"
    for kept in sorted((ROOT / "perf" / "results").glob("*.json"))[-1:]:
        add_load_test(url, KIND, json.loads(kept.read_text("utf-8")))
    return url


def take_history(browser: Browser, folder: Path, url: str) -> None:
    """Take pictures of the pages that show what happened over weeks."""
    dashboard = Program("dashboard", free_port(), folder, database_url=url)
    try:
        dashboard.start()
        page = new_context(browser).new_page()
        page.goto(f"{dashboard.url}/drift")
        expect(page.get_by_role("heading", name="Monitoring history")).to_be_visible()
        page.get_by_role("radio", name="7 days").click()
        take(page, "drift", height=2700)
        page.goto(f"{dashboard.url}/load-tests")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        settled(page)
        if page.get_by_role("heading", name="Throughput (requests/s)").count():
            take(page, "load-tests", height=1900)
    finally:
        dashboard.stop()


if __name__ == "__main__":
    main()
