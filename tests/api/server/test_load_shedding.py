from __future__ import annotations

import asyncio
import time

from api.server.load_shedding import LoadShedder


def test_new_requests_are_rejected_once_the_oldest_of_many_has_waited_too_long() -> None:
    shedder = LoadShedder(max_age_s=0.01)
    for _ in range(200):
        shedder.admit(now=100.0)

    assert not shedder.is_overloaded(now=100.005)
    assert shedder.is_overloaded(now=100.02)


def test_a_rejection_is_delayed_by_the_greatest_age() -> None:
    began = time.monotonic()
    asyncio.run(LoadShedder(max_age_s=0.2).delay())

    assert time.monotonic() - began >= 0.2


def test_a_few_requests_may_wait_as_long_as_they_need() -> None:
    shedder = LoadShedder(max_age_s=0.01)
    tokens = [shedder.admit(now=100.0) for _ in range(200)]
    shedder.release(tokens[7])

    assert not shedder.is_overloaded(now=200.0)


def test_once_the_oldest_is_answered_the_next_oldest_counts() -> None:
    shedder = LoadShedder(max_age_s=0.01)
    first = shedder.admit(now=100.0)
    for _ in range(200):
        shedder.admit(now=100.005)

    assert shedder.is_overloaded(now=100.012)
    shedder.release(first)
    assert not shedder.is_overloaded(now=100.012)
