"""Turns callers away at the door when those inside wait too long already.

A caller who is told in time to come back later is better off than one whose time runs out in a
queue, and costs less than the answer that would have come too late.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import NoReturn

from api.wire.problems import Problem

_CROWD = 200
"""Fewer may wait for as long as the log lets them: then a disk is slow, not the crowd too large."""

_BUSY = "Too many requests wait already, so this one was not read. Nothing was logged; try again."


class Crowd:
    """The requests under way, in the order in which they came.

    Parameters
    ----------
    patience_s
        While `_CROWD` or more are under way and the oldest of them is older than this, nobody else
        is let in.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._since: OrderedDict[object, float] = OrderedDict()

    def is_full(self, now: float) -> bool:
        """Say whether who comes `now` (of `perf_counter`) has to be turned away."""
        since = self._since
        return len(since) >= _CROWD and now - next(iter(since.values())) > self._patience_s

    async def turn_away(self) -> NoReturn:
        """Refuse a request.

        Raises
        ------
        Problem
            503 with `Retry-After`, after a while: at once, it would bring those back at once who do
            not heed it.
        """
        await asyncio.sleep(self._patience_s)
        raise Problem(503, "busy", _BUSY, headers={"Retry-After": "1"})

    def enter(self, now: float) -> object:
        """Let a request in; return its token for `leave`."""
        token = object()
        self._since[token] = now
        return token

    def leave(self, token: object) -> None:
        """Forget a request that has its answer."""
        del self._since[token]
