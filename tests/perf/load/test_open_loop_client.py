"""The client of the load tests: what it counts, and that a stall cannot hide from it."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, Iterable

import pytest

from perf.load.http_client import Connection, encode_requests
from perf.load.open_loop_client import OpenLoopClient, _status_of, measure_fixed_rate, send_all
from perf.load.server_process import ServerFailed
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


async def _with_statuses(statuses: Iterable[int], use: Callable[[int], Awaitable[object]]) -> None:
    """Use the port of a server that answers with these statuses, and then hangs up."""
    left = iter(statuses)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readexactly(len(REQUESTS[0])):
                status = next(left, None)
                if status is None:
                    break
                writer.write(answer(f"{status} X"))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        await use(server.sockets[0].getsockname()[1])


def test_a_closed_loop_sends_its_number_of_requests() -> None:
    asyncio.run(_with_statuses([200] * 20, lambda port: send_all(port, REQUESTS, 20, 3)))


@pytest.mark.parametrize(
    ("statuses", "told"),
    [([200, 503, 200, 200], "503 without Retry-After"), ([200, 200], "'connection lost'")],
)
def test_one_other_answer_is_not_what_was_required(statuses: list[int], told: str) -> None:
    with pytest.raises(ServerFailed, match=told):
        asyncio.run(_with_statuses(statuses, lambda port: send_all(port, REQUESTS, 4, 2)))


def test_a_closed_loop_ends_when_the_service_has_hung_up() -> None:
    client = OpenLoopClient(0, math.inf, lambda _: REQUESTS[0], limit=10_000, connections=3)

    async def use(port: int) -> None:
        client.port = port
        await client.run(asyncio.Event())

    asyncio.run(_with_statuses([200] * 10, use))

    assert [a.status for a in client.answers].count("stored") == 10
    assert [a.status for a in client.answers].count("connection lost") == 3


@pytest.mark.parametrize(
    ("status", "head", "text", "told"),
    [
        (200, b"", b"", "stored"),
        (503, b"\r\nretry-after: 1", b"log-unavailable", "not stored"),
        (503, b"\r\nretry-after: 1", b"log-fate-unknown", "unknown"),
        (503, b"", b"log-unavailable", "503 without Retry-After"),
        (500, b"", b"", "status 500"),
    ],
)
def test_an_answer_is_read_as_what_it_promises(
    status: int, head: bytes, text: bytes, told: str
) -> None:
    assert _status_of(status, head, text) == told
