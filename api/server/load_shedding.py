"""Load shedding: rejects new requests while those under way have waited too long.

A client that is told in time to come back later is better off than one that times out in a queue.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

_MIN_REQUESTS = 200
"""Fewer may take as long as they need: then a disk is slow, not the load too high."""


class LoadShedder:
    """The requests under way, oldest first.

    New ones are rejected while `_MIN_REQUESTS` or more are under way and the oldest of them is
    older than `max_age_s` seconds.
    """

    def __init__(self, max_age_s: float) -> None:
        self._max_age_s = max_age_s
        self._admitted: OrderedDict[object, float] = OrderedDict()

    def is_overloaded(self, now: float) -> bool:
        """Return whether a request that arrives `now` (of `perf_counter`) is to be rejected."""
        admitted = self._admitted
        return (
            len(admitted) >= _MIN_REQUESTS and now - next(iter(admitted.values())) > self._max_age_s
        )

    async def delay(self) -> None:
        """Wait before a rejection: an immediate one brings clients that ignore it back at once."""
        await asyncio.sleep(self._max_age_s)

    def admit(self, now: float) -> object:
        """Count a request as under way; return its token for `release`."""
        token = object()
        self._admitted[token] = now
        return token

    def release(self, token: object) -> None:
        """Forget an answered request."""
        del self._admitted[token]
