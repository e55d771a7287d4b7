"""Connections of a toy application: slow ones are closed, large ones stay small, good ones stay."""

from __future__ import annotations

import contextlib
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from api.server.connection import REQUEST_TIMEOUT_S
from tests.api.server.client import HEAD, READ, answer, connect

pytestmark = pytest.mark.slow

LATEST_S = 15.0


def seconds_until_closed(port: int, first: bytes, drop: bytes) -> tuple[float, bytes]:
    """Send something, then a little every second; return how long that went on, and the answer."""
    began, received = time.monotonic(), b""
    with contextlib.closing(connect(port)) as caller:
        caller.sendall(first)
        caller.settimeout(1)
        while time.monotonic() - began < 2 * LATEST_S:
            try:
                piece = caller.recv(4096)
            except TimeoutError:
                with contextlib.suppress(ConnectionError):
                    caller.sendall(drop)
                continue
            except ConnectionError:
                break
            if not piece:
                break
            received += piece
    return time.monotonic() - began, received


def seconds_until_reset(port: int, requests: bytes) -> float:
    """Ask for much and take none of it; return how long the service put up with it."""
    began = time.monotonic()
    with contextlib.closing(connect(port)) as caller:
        caller.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            caller.send(requests)
        while time.monotonic() - began < 2 * LATEST_S:
            time.sleep(0.2)
            if caller.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                break
    return time.monotonic() - began


SLOW = {
    "says nothing": (b"", b"", b""),
    "a head by drops": (HEAD, b"X-A: b\r\n", b"408"),
    "a second head by drops": (READ + b"GET /echo HTTP/1.1\r\n", b"X-A: b\r\n", b"408"),
    "a body by drops": (HEAD + b"Content-Length: 999\r\n\r\n", b" ", b"408"),
    "chunks by drops": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", b"408"),
    "a trailer by drops": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-A: b\r\n", b"408",
    ),
    "a refused body by drops": (HEAD + b"Content-Length: 99999999\r\n\r\n", b" ", b"413"),
    "a body that nobody wants by drops": (
        READ[:-2].replace(b"/echo", b"/unread") + b"Content-Length: 999\r\n\r\n", b" ", b"200",
    ),
}  # fmt: skip


def test_slow_connections_are_closed_in_time_and_quiet_ones_that_were_answered_are_not(
    port: int,
) -> None:
    much = b"GET /huge HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with contextlib.closing(connect(port)) as kept, ThreadPoolExecutor(16) as callers:
        kept.sendall(READ)
        assert answer(kept)[0] == 200
        found = {name: callers.submit(seconds_until_closed, port, *kind[:2])
                 for name, kind in SLOW.items()}  # fmt: skip
        greedy = callers.submit(seconds_until_reset, port, much)
        for name, closed in found.items():
            seconds, received = closed.result()
            assert REQUEST_TIMEOUT_S - 1 < seconds <= LATEST_S, name
            assert SLOW[name][2] in received.rpartition(b"HTTP/1.1 ")[2][:3], name
        assert greedy.result() <= LATEST_S
        kept.sendall(READ)
        assert answer(kept)[0] == 200


def test_a_refused_body_may_be_sent_to_its_end_and_the_connection_used_again(port: int) -> None:
    with contextlib.closing(connect(port)) as caller:
        caller.sendall(HEAD + b"Content-Length: 30000000\r\n\r\n")
        assert answer(caller)[0] == 413  # before anything of it was sent
        caller.sendall(b"x" * 30_000_000)
        caller.sendall(READ)
        assert answer(caller)[0] == 200


def test_a_refused_body_in_chunks_is_dropped_too(port: int) -> None:
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    with contextlib.closing(connect(port)) as caller:
        caller.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 200 + b"0\r\n\r\n")
        assert answer(caller)[0] == 413
        caller.sendall(READ)
        assert answer(caller)[0] == 200
