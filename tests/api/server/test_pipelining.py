"""Requests that are sent in a row on one connection, before the answers to those before."""

from __future__ import annotations

import asyncio
import contextlib
from unittest.mock import Mock

import pytest
from starlette.types import Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from api.server.connection import Connection
from tests.api.server.client import HEAD, READ, connect
from tests.api.server.toy import respond


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


def test_pipelined_requests_are_answered_in_order_before_a_broken_one_ends_the_connection(
    port: int,
) -> None:
    with contextlib.closing(connect(port)) as caller:
        caller.sendall(READ + READ + b"nonsense\r\n\r\n")
        received = b""
        while piece := caller.recv(65536):
            received += piece

    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert b"HTTP/1.1 400" not in received


def test_requests_that_are_pipelined_a_few_at_a_time_are_all_answered(port: int) -> None:
    with contextlib.closing(connect(port)) as caller:
        received = b""
        for sent in range(10, 610, 10):  # 25 KB in all
            caller.sendall(READ * 10)
            while received.count(b"HTTP/1.1 200 OK") < sent:
                piece = caller.recv(65536)
                assert piece
                received += piece


def test_a_body_behind_another_request_is_read(port: int) -> None:
    body = b" " * 5_000
    with contextlib.closing(connect(port)) as caller:
        caller.sendall(READ + HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body + READ)
        received = b""
        while received.count(b"HTTP/1.1 ") < 3:
            piece = caller.recv(65536)
            assert piece
            received += piece

    assert received.count(b"HTTP/1.1 200 OK") == 3


async def answers(_scope: object, _receive: object, send: Send) -> None:
    await asyncio.sleep(0)
    await respond(send, 200, b"")


@pytest.mark.parametrize("requests", [160, 12_000])
def test_of_many_pipelined_requests_few_are_parsed_and_the_connection_ends_with_their_responses(
    requests: int,
) -> None:
    wire = Wire()

    async def flood() -> int:
        connection = wire.connect(answers, asyncio.get_running_loop())
        connection.data_received(b"GET /echo HTTP/1.1\r\n\r\n" * requests)
        ahead = len(connection.pipeline)
        assert not wire.reads
        for _ in range(1_000):
            await asyncio.sleep(0)
        return ahead

    assert asyncio.run(flood()) == 16
    assert wire.written.count(b"200 OK") == 17
    assert wire.written.count(b"connection: close") == 1
    assert wire.closed


def test_of_small_requests_behind_a_body_few_are_parsed_and_then_the_connection_is_closed() -> None:
    wire = Wire()
    before = READ[:-2] + b"Content-Length: 5000\r\n\r\n" + b" " * 5000

    async def flood() -> int:
        connection = wire.connect(answers, asyncio.get_running_loop())
        connection.data_received(before + b"GET /echo HTTP/1.1\r\n\r\n" * 160)
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
        connection.data_received(READ[:-2] + b"Content-Length: 200000\r\n\r\n" + b" " * 200_000)
        while b"200 OK" not in wire.written:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        return connection.cycle.body

    assert asyncio.run(send()) == b""
