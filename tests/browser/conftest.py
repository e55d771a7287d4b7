"""Real Chromium on the real dashboard, API, log and model, each on a port of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from db.migrate import migrate
from pipeline.schema import BY_NAME, Kind
from tests.programs import ROOT, environment, free_port, wait_for

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
SECONDS = 90  # pages that compute, on a busy machine
"""A slow machine's longest wait for something to appear."""

PATIENT = {
    "age": 63, "sex": "male", "cp": "asymptomatic", "trestbps": 137.25, "chol": 233.5,
    "fbs": True, "restecg": "normal", "thalach": 150, "exang": False, "oldpeak": 2.3,
    "slope": "flat", "ca": 0, "thal": "reversible defect",
}  # fmt: skip


def chromium_path() -> str:
    """Return where Chromium is; without it skip with the command that installs it, fail in CI."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    reason = "no Chromium: sudo apt-get install --no-install-recommends chromium"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = chromium_path()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


class Program:
    """One of the project's servers; what it prints is kept."""

    def __init__(self, name: str, port: int, folder: Path, **settings: object) -> None:
        self.name, self.url = name, f"http://127.0.0.1:{port}"
        self._settings = settings | {f"{name}_port": port}
        self._printed = folder / f"{name}.log"
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        with self._printed.open("a") as printed:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self.name],
                cwd=ROOT, env=environment(**self._settings), stdout=printed, stderr=printed,
                text=True,
            )  # fmt: skip
        path = {"api": "/readyz", "dashboard": "/_stcore/health"}[self.name]
        wait_for(self.url + path, self._process)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=40)
            self._process = None

    @property
    def process_id(self) -> int:
        assert self._process is not None
        return self._process.pid

    def printed(self) -> str:
        return self._printed.read_text()


@dataclass
class Servers:
    """The running product."""

    api: Program
    dashboard: Program
    database_url: str

    def predict(self, source: str = "synthetic", **changes: object) -> str:
        """Send a patient to the API; return the prediction's id."""
        answer = httpx.post(
            f"{self.api.url}/predict",
            params={"source": source},
            json=PATIENT | changes,
            trust_env=False,
        )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])


@pytest.fixture(scope="package")
def servers(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[Servers]:
    """The product with 30 synthetic patients in its log."""
    folder = tmp_path_factory.mktemp("servers")
    url = f"sqlite:///{folder}/log.db"
    migrate(url, lambda _: None)
    api = Program("api", free_port(), folder, database_url=url, model_dir=model_dir)
    dashboard = Program("dashboard", free_port(), folder, database_url=url, api_url=api.url)
    try:
        api.start()
        dashboard.start()
        servers = Servers(api, dashboard, url)
        for age in range(40, 70):
            servers.predict(age=age)
        yield servers
    finally:
        dashboard.stop()
        api.stop()


class Recorder:
    """Everything that a page asks for, and every complaint of the browser."""

    def __init__(self, page: Page) -> None:
        self.urls: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.urls.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._listen)

    def _listen(self, message: object) -> None:
        # A page of its own address looks for the server below that address first: two 404s.
        if message.type == "error" and "/_stcore/" not in message.location["url"]:  # type: ignore[attr-defined]
            self.complaints.append(message.text)  # type: ignore[attr-defined]

    def foreign(self, *own: str) -> list[str]:
        return [u for u in self.urls if not u.startswith((*own, "data:", "blob:"))]


def new_context(browser: Browser, *, width: int = 1440) -> BrowserContext:
    """Return a visitor: a profile with its own cache, language and time zone."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="light",
        locale="en-GB",
        timezone_id="Europe/Berlin",
        accept_downloads=True,
    )
    context.set_default_timeout(SECONDS * 1000)
    expect.set_options(timeout=SECONDS * 1000)
    return context


@pytest.fixture(scope="package")
def visitor(browser: Browser) -> Iterator[BrowserContext]:
    """One visitor for all tests: the cache saves loading the scripts for each."""
    context = new_context(browser)
    yield context
    context.close()


@pytest.fixture
def recorder(page: Page) -> Recorder:
    return page.recorder  # type: ignore[attr-defined, no-any-return]


@pytest.fixture
def page(visitor: BrowserContext, servers: Servers) -> Iterator[Page]:
    """A fresh page; at its end nothing foreign was asked for and nothing went wrong."""
    page = visitor.new_page()
    page.recorder = recorder = Recorder(page)  # type: ignore[attr-defined]
    yield page
    page.close()
    assert recorder.foreign(servers.dashboard.url) == []
    assert recorder.complaints == []


def settled(page: Page) -> None:
    """Wait until the page's script has ended and its charts are drawn and in their places."""
    page.wait_for_function(
        """() => {
            const app = document.querySelector('[data-testid="stApp"]')
            const drawn = (charts, drawing) =>
                [...document.querySelectorAll(charts)].every(chart => {
                    const svg = chart.querySelector(drawing)?.getBoundingClientRect()
                    const place = chart.closest('[data-testid="stElementContainer"]')
                    return svg && svg.width <= place.clientWidth + 1
                        && svg.height <= place.clientHeight + 1 // Plotly's first is 450 px high
                })
            return app && app.dataset.testScriptState === 'notRunning'
                && !document.querySelector('[data-stale="true"], [data-testid="stSkeleton"]')
                && drawn('[data-testid="stEChartsChart"]', 'svg')
                && drawn('[data-testid="stPlotlyChart"]', '.main-svg')
        }"""
    )


def fits(page: Page) -> bool:
    """Tell whether the page becomes no wider than its window, once it is laid out anew.

    What was made for a wider window keeps its old width for some 400 ms.
    """
    try:
        page.wait_for_function(
            """() => {
                const main = document.querySelector('[data-testid="stMain"]')
                return main && main.scrollWidth <= main.clientWidth
            }""",
            timeout=10_000,
        )
    except PlaywrightTimeout:
        return False
    return True


def enter(page: Page, patient: Mapping[str, object], within: str = "patient") -> None:
    """Fill the form as a person does; what is not in `patient` stays as it is."""
    form = page.locator(f".st-key-{within}")
    for name, value in patient.items():
        feature, field = BY_NAME[name], form.locator(f"[data-name={name}]")
        word = (
            {True: "yes", False: "no"}[bool(value)] if feature.kind is Kind.BOOLEAN else str(value)
        )
        if feature.kind is Kind.NUMBER:
            field.get_by_role("textbox").fill(word)
        else:
            choice = field.get_by_role("radio", name=word, exact=True)
            if within == "patient":
                choice.check()
            else:  # by keyboard: it moves while it opens, and a click may miss
                choice.press("Space")
                expect(choice).to_be_checked()


def estimate(page: Page, servers: Servers, patient: Mapping[str, object]) -> None:
    """Open the Patient page, enter a patient and wait for the estimate."""
    page.goto(f"{servers.dashboard.url}/patient")
    enter(page, patient)
    page.get_by_role("button", name="Estimate risk").click()
    expect(page.get_by_role("heading", name="Explanation")).to_be_visible()
    settled(page)
