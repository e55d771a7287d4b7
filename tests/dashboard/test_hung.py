"""A service that does not answer: a page waits for it once, however often it needs it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from streamlit.testing.v1 import AppTest

from tests.dashboard.conftest import shown
from tests.programs import free_port

pytestmark = pytest.mark.slow

Write = Callable[..., list[str]]


@pytest.fixture
def asked(pages: AppTest, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What was asked of a service that answers nothing with sense."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(500)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("CARDIOWATCH_API_URL", f"http://127.0.0.1:{server.server_port}")
    yield asked
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("name", ["explanations", "fairness", "poisoning", "model_card"])
def test_a_page_asks_a_service_that_fails_once(
    pages: AppTest, write: Write, known: str, asked: list[str], name: str
) -> None:
    write(1, model_version=known)
    pages.run()
    asked.clear()
    pages.switch_page(f"{name}/page.py").run()
    assert not pages.exception
    assert asked == ["/model"]


def test_the_overview_asks_a_service_that_fails_once(
    pages: AppTest, write: Write, asked: list[str]
) -> None:
    write(1)
    pages.run()
    assert "not responding" in shown(pages)
    assert asked == ["/readyz"]
