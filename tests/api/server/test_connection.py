"""Connections of the real server: slow ones are closed, large ones stay small, good ones stay."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx

from api.server.connection import PATIENCE_S
from api.wire import body as wire_body
from api.wire.problems import Problem
from tests.api.conftest import PATIENT

LATEST_S = 15.0
HEAD = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
READ = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
READY = READ.replace(b"healthz", b"readyz")


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def answer(caller: socket.socket) -> tuple[int, bytes]:
    reply = http.client.HTTPResponse(caller)
    reply.begin()
    return reply.status, reply.read()


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
    "a second head by drops": (READ + b"GET /healthz HTTP/1.1\r\n", b"X-A: b\r\n", b"408"),
    "a body by drops": (HEAD + b"Content-Length: 999\r\n\r\n", b" ", b"408"),
    "chunks by drops": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", b"408"),
    "a trailer by drops": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-A: b\r\n", b"408",
    ),
    "a refused body by drops": (HEAD + b"Content-Length: 99999999\r\n\r\n", b" ", b"413"),
    "a body that nobody wants by drops": (
        READ[:-2] + b"Content-Length: 999\r\n\r\n", b" ", b"200",
    ),
}  # fmt: skip


def test_slow_connections_are_closed_in_time_and_quiet_ones_that_were_answered_are_not(
    port: int,
) -> None:
    much = b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 1000
    with contextlib.closing(connect(port)) as kept, ThreadPoolExecutor(16) as callers:
        kept.sendall(READ)
        assert answer(kept)[0] == 200
        found = {name: callers.submit(seconds_until_closed, port, *kind[:2])
                 for name, kind in SLOW.items()}  # fmt: skip
        greedy = callers.submit(seconds_until_reset, port, much)
        for name, closed in found.items():
            seconds, received = closed.result()
            assert PATIENCE_S - 1 < seconds <= LATEST_S, name
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


def test_slow_bodies_take_no_place_from_those_who_wait(port: int) -> None:
    begun = HEAD + b"Content-Length: 999\r\n\r\n"
    with contextlib.ExitStack() as opened:
        for _ in range(300):
            caller = opened.enter_context(contextlib.closing(connect(port)))
            caller.sendall(begun)
        time.sleep(1)  # longer than a crowd is put up with
        reply = httpx.post(
            f"http://127.0.0.1:{port}/predict", json=PATIENT, trust_env=False
        )  # fmt: skip

    assert reply.status_code == 200


def test_only_so_many_large_bodies_come_in_at_once(port: int) -> None:
    begun = HEAD.replace(b"/predict", b"/predict/batch") + b"Content-Length: 900000\r\n\r\n"
    body = json.dumps([PATIENT]).encode() + b" " * 900_000
    with contextlib.ExitStack() as opened:
        for _ in range(wire_body.LARGE_AT_ONCE):
            caller = opened.enter_context(contextlib.closing(connect(port)))
            caller.sendall(begun + b" " * (wire_body.LARGE + 1))
        time.sleep(0.5)
        batch = f"http://127.0.0.1:{port}/predict/batch"
        headers = {"Content-Type": "application/json"}
        refused = httpx.post(batch, content=body, headers=headers, trust_env=False)
        small = httpx.post(batch, json=[PATIENT], trust_env=False)
    time.sleep(0.5)
    let_in = httpx.post(batch, content=body, headers=headers, trust_env=False)

    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert (small.status_code, let_in.status_code) == (200, 200)


def test_once_half_of_the_places_for_large_bodies_are_taken_a_key_has_a_quarter_at_most() -> None:
    begun = {"type": "http.request", "body": b" " * (wire_body.LARGE + 1), "more_body": True}

    async def refused(*key_ids: str) -> list[str]:
        """Begin large bodies that never end; return the keys of those that are refused."""

        def begin(key_id: str) -> asyncio.Task[bytes]:
            pieces = asyncio.Queue[dict[str, object]]()
            pieces.put_nowait(begun)
            headers = {b"content-type": b"application/json"}
            return asyncio.create_task(
                wire_body.read_json_body(headers, pieces.get, 2**20, key_id)  # type: ignore[arg-type]
            )

        sending = [begin(key_id) for key_id in key_ids]
        await asyncio.sleep(0.1)
        ended = [isinstance(one.exception(), Problem) if one.done() else False for one in sending]
        for one in sending:
            one.cancel()
        await asyncio.wait(sending)
        return [key_id for key_id, is_over in zip(key_ids, ended, strict=True) if is_over]

    assert asyncio.run(refused(*"a" * 33, "b")) == ["a"]
    assert asyncio.run(refused(*"a" * 32, *"b" * 17)) == ["b"]
    assert asyncio.run(refused(*"abcd" * 16, "e")) == ["e"]
    assert asyncio.run(refused(*[""] * 65)) == [""]
