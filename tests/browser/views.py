"""What a view of each page costs the dashboard: `python -m tests.browser.views`.

400 synthetic patients are in a log of its own. Each page is opened in Chromium once and then three
times more, further apart than the dashboard keeps what it read, so that every view reads the log.
CPU is the dashboard process alone; bytes are what came over the network, as the browser counts.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
import time
from pathlib import Path
from statistics import median

from playwright.sync_api import Browser, Error, Page, Request, WebSocket, sync_playwright

from db.migrate import migrate
from tests.browser.conftest import FLAGS, Program, chromium_path, new_context, settled
from tests.browser.screenshots import day_of_patients
from tests.programs import free_port

PAGES = ("", "patient", "batch", "predictions", "explanations", "model", "fairness", "drift",
         "poisoning", "load-tests")  # fmt: skip
VIEWS = 3
FORGOTTEN_S = 6.0
"""Longer than what was read from the log is shown again (`dashboard.shared.data_access`)."""


class Wire:
    """Counts the bytes that a page receives."""

    def __init__(self, page: Page) -> None:
        self.received = 0
        page.on("requestfinished", self._finished)
        page.on("websocket", self._watch)

    def _finished(self, request: Request) -> None:
        # Below zero when it came from the browser's cache; gone when the visitor left meanwhile.
        with contextlib.suppress(Error):
            self._add(max(request.sizes()["responseBodySize"], 0))

    def _add(self, size: int) -> None:
        self.received += size

    def _watch(self, socket: WebSocket) -> None:
        socket.on("framereceived", lambda payload: self._add(len(payload)))


def cpu_s(process: int) -> float:
    """Return the CPU seconds of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def view(page: Page, url: str, wire: Wire, process: int) -> tuple[float, int]:
    """Open a page; return the CPU seconds of the server and the bytes that came."""
    before, wire.received = cpu_s(process), 0
    page.goto(url)
    settled(page)
    time.sleep(1)
    return cpu_s(process) - before, wire.received


def measure(browser: Browser, dashboard: Program) -> list[str]:
    """Return a line of a Markdown table for each page."""
    lines = []
    for name in PAGES:
        with new_context(browser) as context:
            context.set_default_timeout(120_000)
            page = context.new_page()
            wire = Wire(page)
            seen = []
            for _ in range(1 + VIEWS):
                seen.append(view(page, f"{dashboard.url}/{name}", wire, dashboard.process_id))
                time.sleep(FORGOTTEN_S)
        again = [1000 * spent for spent, _ in seen[1:]]
        sizes = [size / 1000 for _, size in seen]
        lines.append(
            f"| {name or 'overview'} | {1000 * seen[0][0]:.0f} | {median(again):.0f} "
            f"| {sizes[0]:,.0f} | {median(sizes[1:]):,.0f} |"
        )
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    """Start API and dashboard in a temporary folder, look, stop them."""
    parser = argparse.ArgumentParser(prog="python -m tests.browser.views", description=__doc__)
    parser.add_argument("--model-dir", type=Path, default=Path("var/models"))
    model_dir = parser.parse_args().model_dir.resolve()
    print("| page | first view, CPU ms | further views, CPU ms | first, kB | further, kB |")
    print("| --- | ---: | ---: | ---: | ---: |", flush=True)
    with tempfile.TemporaryDirectory() as name:
        url = f"sqlite:///{name}/log.db"
        migrate(url, lambda _: None)
        day_of_patients(url, model_dir)
        api = Program("api", free_port(), Path(name), database_url=url, model_dir=model_dir)
        dashboard = Program("dashboard", free_port(), Path(name), database_url=url,
                            api_url=api.url, model_dir=model_dir)  # fmt: skip
        try:
            api.start()
            dashboard.start()
            with sync_playwright() as playwright:
                path = chromium_path()
                browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
                measure(browser, dashboard)
                browser.close()
        finally:
            dashboard.stop()
            api.stop()


if __name__ == "__main__":
    main()
