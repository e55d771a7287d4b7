from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack, closing

import pytest
import uvloop

from api.crowd import Crowd
from api.doors import Loop
from api.errors import Problem


async def _let_in_within_rounds(rounds: int, callers: int) -> int:
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
            await asyncio.sleep(0)
        number = len(entered)
    server.close()
    await server.wait_closed()
    return number


def test_everybody_who_waits_is_let_in_within_a_few_rounds_of_the_loop() -> None:
    with asyncio.Runner(loop_factory=Loop) as runner:
        assert runner.run(_let_in_within_rounds(10, callers=300)) == 300


def test_uvloop_alone_lets_in_one_a_round_and_when_it_no_longer_does_the_doors_can_go() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(_let_in_within_rounds(10, callers=300)) <= 10


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
