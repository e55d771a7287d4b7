"""The fixed-rate client: what it counts, and that a stall cannot hide from it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

from perf.load.fixed_rate_client import measure_fixed_rate
from perf.load.http_client import Connection, encode_requests
from pipeline.load_tests.benchmark import OpenLoop

REQUESTS = encode_requests([json.dumps({"age": age}).encode() for age in (50, 60)])


def answer(status: str, body: bytes = b"{}", head: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def measured(
    rate: float, seconds: float, reply: Callable[[], Awaitable[bytes]], connections: int = 4
) -> OpenLoop:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.partition(b"Content-Length: ")[2].split()[0])
                await reader.readexactly(length)
                writer.write(await reply())
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        return await measure_fixed_rate(
            port, lambda number: REQUESTS[number % 2], rate, seconds, connections
        )


def test_it_sends_as_many_as_are_due() -> None:
    async def reply() -> bytes:
        return answer("200 OK")

    result = asyncio.run(measured(200, 0.5, reply))

    assert (result.ok, result.failed, result.unanswered) == (100, 0, 0)


def test_an_answer_other_than_200_is_a_failure() -> None:
    replies = iter([answer("503 Service Unavailable"), *[answer("200 OK")] * 9])

    async def reply() -> bytes:
        return next(replies)

    result = asyncio.run(measured(100, 0.1, reply))

    assert (result.ok, result.failed) == (9, 1)


def test_a_stall_is_in_the_latency_of_everything_that_was_due_during_it() -> None:
    open_again: list[float] = []

    async def reply() -> bytes:
        now = asyncio.get_running_loop().time()
        open_again.append(now + 0.5)
        await asyncio.sleep(max(0.0, open_again[0] - now))
        return answer("200 OK")

    result = asyncio.run(measured(200, 1, reply))

    # Half of 200 were due while nothing was answered. A closed-loop client with these four
    # connections would have sent four, 2 %, and called its median a fraction of a millisecond.
    assert result.ok == 200
    assert result.p99_ms > 450


def test_an_answer_may_come_in_pieces() -> None:
    heard: list[tuple[int, bytes]] = []
    connection = Connection(lambda _, status, body: heard.append((status, body)), lambda _: None)

    whole = answer("200 OK", b'{"id":"a"}')
    for end in range(len(whole)):
        connection.data_received(whole[end : end + 1])

    assert heard == [(200, b'{"id":"a"}')]
    assert not connection.ending


def test_a_service_that_says_close_is_not_asked_again_on_that_connection() -> None:
    connection = Connection(lambda *_: None, lambda _: None)

    connection.data_received(answer("200 OK", head="Connection: close\r\n"))

    assert connection.ending
