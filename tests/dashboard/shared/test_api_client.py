from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from dashboard.shared import api_client
from dashboard.shared.api_client import (
    ApiUnavailable,
    AuthenticationFailed,
    Client,
    RequestRejected,
)

MOST = 600
"""Pieces that a service sends unless it is cut off."""


class Service:
    """A service that answers every request with a status and the same piece again and again."""

    def __init__(self, status: int, piece: bytes, times: int = 1, every_s: float = 0.0) -> None:
        self.sent = 0
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.end_headers()
                try:
                    for service.sent in range(1, times + 1):
                        self.wfile.write(piece)
                        time.sleep(every_s)
                except OSError:
                    pass

            def log_message(self, *_: object) -> None: ...

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.client = Client(f"http://127.0.0.1:{self._server.server_port}")

    def stop(self) -> None:
        self.client.close()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Service]]:
    running: list[Service] = []

    def serve(*args: object, **kwargs: object) -> Service:
        running.append(Service(*args, **kwargs))  # type: ignore[arg-type]
        return running[-1]

    yield serve
    for service in running:
        service.stop()


def test_a_body_without_end_is_not_read(serve: Callable[..., Service]) -> None:
    service = serve(200, b" " * 2**20, times=MOST)
    with pytest.raises(ApiUnavailable):
        service.client.model()
    assert service.sent < MOST


def test_a_body_that_comes_a_byte_at_a_time_is_given_up(
    serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_client, "_TOTAL_TIMEOUT_S", 0.2)
    service = serve(200, b" ", times=MOST, every_s=0.05)
    with pytest.raises(ApiUnavailable):
        service.client.model()
    assert service.sent < MOST


@pytest.mark.parametrize("body", [b"[1, 2]", b"17", b"[" * 100_000, b"<p>", b"\xff"])
@pytest.mark.parametrize("status", [200, 422])
def test_what_the_service_would_not_say_is_no_answer(
    serve: Callable[..., Service], status: int, body: bytes
) -> None:
    with pytest.raises(ApiUnavailable):
        serve(status, body).client.model()


def test_a_refusal_names_what_is_wrong(serve: Callable[..., Service]) -> None:
    body = b'{"detail": "d", "errors": [{"field": "chol", "message": "m"}]}'
    with pytest.raises(RequestRejected) as refused:
        serve(422, body).client.model()
    assert refused.value.errors == [("chol", "m")]


@pytest.mark.parametrize("status", [401, 403])
def test_an_unknown_key_is_distinguished_from_an_invalid_request(
    serve: Callable[..., Service], status: int
) -> None:
    with pytest.raises(AuthenticationFailed):
        serve(status, b'{"detail": "d"}').client.model()


def test_a_service_that_hangs_is_given_up_after_three_seconds_at_most() -> None:
    assert api_client.TIMEOUT.connect + api_client.TIMEOUT.read <= 3  # type: ignore[operator]
