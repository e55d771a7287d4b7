"""The connections that a process keeps: files for all of them, and room for who comes next."""

from __future__ import annotations

import asyncio
import resource
import time
from functools import cache
from heapq import nsmallest
from itertools import count
from operator import attrgetter
from typing import Protocol
from weakref import WeakSet

MOST = 4096
"""Connections at once; one that has its answer and is kept takes some 30 KB."""

_OTHERS = 64
"""Files of the log, the database and the program itself."""

_LOOK_S = 1.0


class Kept(Protocol):
    """A connection as it is looked at here."""

    transport: asyncio.Transport
    idle_since: float

    def is_idle(self) -> bool:
        """Say whether nothing is under way."""

    def look(self, now: float) -> bool:
        """Close it when it has waited too long for its caller, and say so."""


_open: WeakSet[Kept] = WeakSet()
_made = count(1)


def allow_files() -> None:
    """Raise the limit of open files, as far as this process may, to what `MOST` needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, MOST + _OTHERS)), hard))


@cache
def most() -> int:
    """Return how many connections the limit of open files leaves room for."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return max(_OTHERS, min(MOST, files - _OTHERS))


def enter(connection: Kept) -> None:
    """Take a connection into view; now and then close others to make room for it."""
    _open.add(connection)
    step = most() // 16
    if next(_made) % step == 0:  # each costs a look at all of them
        _make_room(step)


def leave(connection: Kept) -> None:
    """Forget a connection."""
    _open.discard(connection)


def _make_room(step: int) -> None:
    """Close those that have been idle longest, until the next `step` have room."""
    surplus = len(_open) + step - most()
    if surplus > 0:
        idle = [connection for connection in _open if connection.is_idle()]
        for connection in nsmallest(surplus, idle, key=attrgetter("idle_since")):
            connection.transport.close()


async def watch() -> None:
    """Look at every connection again and again, and close those that keep us waiting."""
    while True:
        await asyncio.sleep(_LOOK_S)
        now = time.monotonic()
        for connection in list(_open):
            if connection.look(now):
                await asyncio.sleep(0)  # others are answered between two of a thousand
