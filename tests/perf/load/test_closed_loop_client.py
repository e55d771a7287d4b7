"""The closed-loop client counts every answer, and every connection that broke before one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from perf.load.closed_loop_client import ClosedLoopClient
from perf.load.http_client import encode_requests
from perf.load.server_process import ServerFailed

REQUESTS = encode_requests([b"{}"])


async def _run(client: ClosedLoopClient, statuses: Iterable[int]) -> None:
    """Run it against a server that answers with these statuses, and then hangs up."""
    left = iter(statuses)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readexactly(len(REQUESTS[0])):
                status = next(left, None)
                if status is None:
                    break
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\n{}" % status)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        await client.run(server.sockets[0].getsockname()[1], 3)


def test_it_stops_after_its_number_of_requests() -> None:
    client = ClosedLoopClient(REQUESTS, limit=20)

    asyncio.run(_run(client, [200] * 99))

    assert client.statuses == {200: 20}
    client.require(200)


def test_one_other_status_is_not_what_was_required() -> None:
    client = ClosedLoopClient(REQUESTS, limit=4)

    asyncio.run(_run(client, [200, 503, 200, 200]))

    with pytest.raises(ServerFailed, match="503: 1"):
        client.require(200)


def test_without_a_number_it_goes_on_until_the_service_hangs_up() -> None:
    bodies: list[bytes] = []
    client = ClosedLoopClient(REQUESTS, on_answer=lambda _status, body: bodies.append(body))

    asyncio.run(_run(client, [200] * 10))

    assert (client.statuses, client.lost, len(bodies)) == ({200: 10}, 3, 10)
    with pytest.raises(ServerFailed, match="3 broken connections"):
        client.require(200)
