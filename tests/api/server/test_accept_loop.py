from __future__ import annotations

import asyncio
import socket
import time
from contextlib import ExitStack, closing

import uvloop

from api.server.accept_loop import AcceptLoop


async def _accepted_within_iterations(iterations: int, clients: int, busy_s: float = 0) -> int:
    """Return how many waiting clients are accepted within some iterations of the loop."""
    accepted: list[asyncio.Protocol] = []

    class Accepting(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            accepted.append(self)
            transport.close()

    server = await asyncio.get_running_loop().create_server(Accepting, "127.0.0.1", 0, backlog=2048)
    with ExitStack() as stack:
        for _ in range(clients):
            address = server.sockets[0].getsockname()
            stack.enter_context(closing(socket.create_connection(address)))
        for _ in range(iterations):
            time.sleep(busy_s)
            await asyncio.sleep(0)
        number = len(accepted)
    server.close()
    await server.wait_closed()
    return number


def test_waiting_connections_are_accepted_a_few_at_a_time_in_each_iteration_of_the_loop() -> None:
    with asyncio.Runner(loop_factory=AcceptLoop) as runner:
        assert runner.run(_accepted_within_iterations(100, clients=300)) == 300


def test_a_burst_of_connections_does_not_take_a_whole_iteration_for_itself() -> None:
    with asyncio.Runner(loop_factory=AcceptLoop) as runner:
        assert runner.run(_accepted_within_iterations(4, clients=300)) <= 4 * 5


def test_the_longer_an_iteration_takes_the_more_connections_are_accepted() -> None:
    with asyncio.Runner(loop_factory=AcceptLoop) as runner:
        assert runner.run(_accepted_within_iterations(7, clients=300, busy_s=0.1)) == 300


def test_uvloop_alone_accepts_one_per_iteration_or_else_our_acceptor_can_go() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(_accepted_within_iterations(10, clients=300)) <= 10


async def _bytes_buffered_of(answer: bytes) -> int:
    """Write to a client that reads nothing; return how many bytes the kernel takes."""
    written: asyncio.Future[asyncio.Transport] = asyncio.get_running_loop().create_future()

    class Telling(asyncio.Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            transport.write(answer)
            written.set_result(transport)

    server = await asyncio.get_running_loop().create_server(Telling, "127.0.0.1", 0)
    with closing(socket.create_connection(server.sockets[0].getsockname())):
        transport = await written
        await asyncio.sleep(0.2)
        taken = len(answer) - transport.get_write_buffer_size()
        transport.abort()
    server.close()
    return taken


def test_a_client_that_reads_nothing_of_its_response_keeps_little_of_it_in_the_kernel() -> None:
    with asyncio.Runner(loop_factory=AcceptLoop) as runner:
        assert 0 < runner.run(_bytes_buffered_of(b"x" * 20_000_000)) < 1_000_000
