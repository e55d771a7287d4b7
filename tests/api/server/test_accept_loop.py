from __future__ import annotations

import asyncio
import socket
import time
from contextlib import ExitStack, closing

import pytest
import uvloop

from api.server.accept_loop import Loop
from api.server.load_shedding import Crowd
from api.wire.problems import Problem


async def _let_in_within_rounds(rounds: int, callers: int, busy_s: float = 0) -> int:
    """Return how many of the callers that wait are connected after so many rounds of the loop."""
    entered: list[asyncio.Protocol] = []

    class Entering(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            entered.append(self)
            transport.close()

    server = await asyncio.get_running_loop().create_server(Entering, "127.0.0.1", 0, backlog=2048)
    with ExitStack() as stack:
        for _ in range(callers):
            address = server.sockets[0].getsockname()
            stack.enter_context(closing(socket.create_connection(address)))
        for _ in range(rounds):
            time.sleep(busy_s)
            await asyncio.sleep(0)
        number = len(entered)
    server.close()
    await server.wait_closed()
    return number


def test_those_who_wait_are_let_in_a_few_at_a_time_in_each_round_of_the_loop() -> None:
    with asyncio.Runner(loop_factory=Loop) as runner:
        assert runner.run(_let_in_within_rounds(100, callers=300)) == 300


def test_a_thousand_who_come_at_once_do_not_take_a_whole_round_for_themselves() -> None:
    with asyncio.Runner(loop_factory=Loop) as runner:
        assert runner.run(_let_in_within_rounds(4, callers=300)) <= 4 * 5


def test_the_longer_a_round_takes_the_more_are_let_in() -> None:
    with asyncio.Runner(loop_factory=Loop) as runner:
        assert runner.run(_let_in_within_rounds(7, callers=300, busy_s=0.1)) == 300


def test_uvloop_alone_lets_in_one_a_round_and_when_it_no_longer_does_the_doors_can_go() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(_let_in_within_rounds(10, callers=300)) <= 10


async def _taken_of(answer: bytes) -> int:
    """Write to a caller who reads nothing; return how many bytes the kernel takes."""
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


def test_who_reads_nothing_of_an_answer_keeps_little_of_it_in_the_kernel() -> None:
    with asyncio.Runner(loop_factory=Loop) as runner:
        assert 0 < runner.run(_taken_of(b"x" * 20_000_000)) < 1_000_000


def test_who_comes_when_the_oldest_of_many_has_waited_too_long_is_told_to_come_back() -> None:
    crowd = Crowd(patience_s=0.01)
    for _ in range(200):
        crowd.enter(now=100.0)

    assert not crowd.is_full(now=100.005)
    assert crowd.is_full(now=100.02)
    with pytest.raises(Problem) as refused:
        asyncio.run(crowd.turn_away())
    assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "1"})


def test_a_few_may_wait_for_as_long_as_the_log_lets_them() -> None:
    crowd = Crowd(patience_s=0.01)
    places = [crowd.enter(now=100.0) for _ in range(200)]
    crowd.leave(places[7])

    assert not crowd.is_full(now=200.0)


def test_once_the_oldest_has_its_answer_the_next_oldest_counts() -> None:
    crowd = Crowd(patience_s=0.01)
    first = crowd.enter(now=100.0)
    for _ in range(200):
        crowd.enter(now=100.005)

    assert crowd.is_full(now=100.012)
    crowd.leave(first)
    assert not crowd.is_full(now=100.012)
