"""Connections of the real server: slow ones are closed, large ones stay small, good ones stay."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import Mock

import httpx
import pytest
from starlette.types import Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from api import bodies, connections
from api.connections import PATIENCE_S, Connection
from api.cycles import reply
from api.errors import Problem
from db.migrate import migrate
from tests.api.conftest import PATIENT
from tests.programs import free_port, running, wait_for

LATEST_S = 15.0
HEAD = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
READ = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
READY = READ.replace(b"healthz", b"readyz")


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[int]:
    url = f"sqlite:///{tmp_path_factory.mktemp('connections')}/log.db"
    migrate(url, lambda _: None)
    port = free_port()
    with running("-m", "api", api_port=port, database_url=url, model_dir=model_dir) as api:
        wait_for(f"http://127.0.0.1:{port}/readyz", api)
        yield port


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


class Wire:
    """In a transport's place: says whether more would be read now, and what came back."""

    def __init__(self) -> None:
        self.reads = True
        self.closed = False
        self.written = b""

    def connect(self, app: object, loop: asyncio.AbstractEventLoop) -> Connection:
        config = Config(app)  # type: ignore[arg-type]
        config.load()
        connection = Connection(config, ServerState(), {}, loop)
        connection.connection_made(
            Mock(
                is_closing=lambda: self.closed,
                close=lambda: setattr(self, "closed", True),
                pause_reading=lambda: setattr(self, "reads", False),
                resume_reading=lambda: setattr(self, "reads", True),
                write=lambda data: setattr(self, "written", self.written + data),
                get_extra_info=lambda _: None,
            )
        )
        return connection


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
        for _ in range(bodies.LARGE_AT_ONCE):
            caller = opened.enter_context(contextlib.closing(connect(port)))
            caller.sendall(begun + b" " * (bodies.LARGE + 1))
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
    begun = {"type": "http.request", "body": b" " * (bodies.LARGE + 1), "more_body": True}

    async def refused(*key_ids: str) -> list[str]:
        """Begin large bodies that never end; return the keys of those that are refused."""

        def begin(key_id: str) -> asyncio.Task[bytes]:
            pieces = asyncio.Queue[dict[str, object]]()
            pieces.put_nowait(begun)
            headers = {b"content-type": b"application/json"}
            return asyncio.create_task(
                bodies.read_json_body(headers, pieces.get, 2**20, key_id)  # type: ignore[arg-type]
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


def test_requests_sent_in_a_row_are_answered_in_a_row_before_a_broken_one_ends_it(
    port: int,
) -> None:
    with contextlib.closing(connect(port)) as caller:
        caller.sendall(READ + READ + b"nonsense\r\n\r\n")
        received = b""
        while piece := caller.recv(65536):
            received += piece

    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert b"HTTP/1.1 400" not in received


def test_many_requests_in_a_row_are_no_head_that_is_too_large(port: int) -> None:
    with contextlib.closing(connect(port)) as caller:
        caller.sendall(READ * 600 + READ[:20])  # 25 KB, and the start of one more
        caller.sendall(READ[20:])
        received = b""
        while received.count(b"HTTP/1.1 200 OK") < 601:
            piece = caller.recv(65536)
            assert piece
            received += piece


def test_of_requests_sent_in_a_row_only_one_is_parsed_ahead() -> None:
    ahead = []

    async def app(_scope: object, _receive: object, send: Send) -> None:
        ahead.append(len(connection.pipeline))
        await reply(send, 200, b"text/plain", b"")

    async def ask() -> list[int]:
        for _ in range(3):
            connection.data_received(READ * 1_000)
        while len(ahead) < 3_000:
            await asyncio.sleep(0)
        return ahead

    with asyncio.Runner() as runner:
        connection = Wire().connect(app, runner.get_loop())

        assert max(runner.run(ask())) == 1


def test_a_body_behind_another_request_is_read(port: int) -> None:
    body = json.dumps([PATIENT]).encode() + b" " * 5_000
    batch = HEAD.replace(b"/predict", b"/predict/batch")
    with contextlib.closing(connect(port)) as caller:
        caller.sendall(READ + batch + b"Content-Length: %d\r\n\r\n" % len(body) + body + READ)
        received = b""
        while received.count(b"HTTP/1.1 ") < 3:
            piece = caller.recv(65536)
            assert piece
            received += piece

    assert received.count(b"HTTP/1.1 200 OK") == 3


async def answers(_scope: object, _receive: object, send: Send) -> None:
    await asyncio.sleep(0)
    await reply(send, 200, b"text/plain", b"")


async def nothing(_scope: object, _receive: object, _send: Send) -> None:
    await asyncio.sleep(0)


def test_nothing_more_is_read_while_earlier_requests_wait_unparsed() -> None:
    wire = Wire()

    async def flood() -> int:
        connection = wire.connect(answers, asyncio.get_running_loop())
        most = 0
        for _ in range(200):
            if wire.reads:
                connection.data_received(READ * 1_000)
            most = max(most, len(connection._rest))
            await asyncio.sleep(0)
        return most

    assert asyncio.run(flood()) < 1_000 * len(READ)


def test_all_connections_together_keep_few_bytes_that_wait() -> None:
    async def flood() -> tuple[int, int]:
        before = connections._kept
        wires = [Wire() for _ in range(100)]
        loop = asyncio.get_running_loop()
        opened = [wire.connect(nothing, loop) for wire in wires]
        for connection in opened:
            connection.data_received(READ * 6_000)
        kept = sum(len(connection._rest) for connection in opened)
        for connection in opened:
            connection.connection_lost(None)
        return kept, connections._kept - before

    kept, left = asyncio.run(flood())
    assert 4_000_000 < kept <= 8 * 1024 * 1024
    assert left == 0


def test_small_requests_in_a_row_are_all_answered_and_few_are_parsed_ahead() -> None:
    wire = Wire()

    async def flood() -> int:
        connection = wire.connect(answers, asyncio.get_running_loop())
        connection.data_received(b"GET /readyz HTTP/1.1\r\n\r\n" * 160)
        ahead = len(connection.pipeline)
        for _ in range(1_000):
            await asyncio.sleep(0)
        return ahead

    assert asyncio.run(flood()) <= 16
    assert wire.written.count(b"200 OK") == 160
    assert not wire.closed


def test_of_small_requests_behind_a_body_few_are_parsed_and_then_the_connection_is_closed() -> None:
    wire = Wire()
    before = READY[:-2] + b"Content-Length: 5000\r\n\r\n" + b" " * 5000

    async def flood() -> int:
        connection = wire.connect(answers, asyncio.get_running_loop())
        connection.data_received(before + b"GET /readyz HTTP/1.1\r\n\r\n" * 160)
        ahead = len(connection.pipeline)
        for _ in range(1_000):
            await asyncio.sleep(0)
        return ahead

    assert asyncio.run(flood()) == 16
    assert wire.written.count(b"200 OK") == 17
    assert wire.written.count(b"connection: close") == 1


def test_a_body_that_nobody_read_is_not_kept_with_the_connection() -> None:
    wire = Wire()

    async def send() -> bytearray:
        connection = wire.connect(answers, asyncio.get_running_loop())
        connection.data_received(READY[:-2] + b"Content-Length: 200000\r\n\r\n" + b" " * 200_000)
        while b"200 OK" not in wire.written:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        return connection.cycle.body

    assert asyncio.run(send()) == b""
