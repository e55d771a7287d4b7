"""`python -m dashboard`: where it listens, and under which names it opens a session."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path

import pytest

from tests.programs import free_port, run, running, wait_for

pytestmark = pytest.mark.slow

WELCOME = "101"


def answer_to_session(port: int, name: str) -> str:
    """Ask for a WebSocket as a browser does under a host name; return the status code."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=30)) as browser:
        browser.sendall(
            f"GET /_stcore/stream HTTP/1.1\r\nHost: {name}\r\nOrigin: https://{name}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        return browser.recv(100).split(b" ")[1].decode()


def test_it_opens_sessions_under_its_own_names_alone(tmp_path: Path) -> None:
    port = free_port()
    secret = tmp_path / "cookie-secret"
    secret.write_text("0" * 64)
    with running(
        "-m", "dashboard", dashboard_port=port, dashboard_names="heart.example",
        cookie_secret_file=secret,
    ) as dashboard:  # fmt: skip
        wait_for(f"http://127.0.0.1:{port}/_stcore/health", dashboard)

        answers = {n: answer_to_session(port, n) for n in ("heart.example", "other.example")}

    assert answers["heart.example"] == WELCOME
    assert answers["other.example"] != WELCOME


@pytest.mark.parametrize(
    ("setting", "value"),
    [("dashboard_host", "0.0.0.0"), ("cookie_secret_file", "/no/such/file")],  # noqa: S104
)
def test_it_says_in_one_line_why_it_does_not_start(setting: str, value: str) -> None:
    ended = run("-m", "dashboard", dashboard_port=free_port(), **{setting: value})

    assert ended.returncode == 4
    assert f"CARDIOWATCH_{setting.upper()}" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize("content", [b"", b"\n" * 64, b"0" * 31, b"\xff" * 64])
def test_a_file_that_holds_no_secret_ends_the_start(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "cookie-secret"
    file.write_bytes(content)
    ended = run("-m", "dashboard", dashboard_port=free_port(), cookie_secret_file=file)

    assert ended.returncode == 4
    assert "CARDIOWATCH_COOKIE_SECRET_FILE" in ended.stderr
    assert "openssl rand -hex 32" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
