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
"""Connections at once that may be idle; one that has its answer and is kept takes some 30 KB."""

_MOST_BUSY = 6144
"""Connections at once: by reckoning 280 MB, of the 384 that a pod has."""

_OTHERS = 64
"""Files of the log, the database and the program itself."""

_LOOK_S = 1.0

_REST_S = 1.0
"""Who had an answer less than that ago is about to ask again, as callers under load do."""

FIRST_S = 0.1
"""Time for a new connection's first request to be read before it counts as idle."""


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
    """Raise the limit of open files, as far as this process may, to what all connections need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = _MOST_BUSY + _OTHERS
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, needed)), hard))


@cache
def _files() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


@cache
def most() -> int:
    """Return how many connections are kept that are idle, as far as the limit of files allows."""
    return max(_OTHERS, min(MOST, _files() - _OTHERS))


def enter(connection: Kept) -> None:
    """Take a connection into view; now and then close others to make room for it.

    Where nobody can go it is closed itself, before memory ends, or the files that the log needs.
    """
    _open.add(connection)
    if next(_made) % (most() // 16) == 0:  # each costs a look at all of them
        _make_room()
    if len(_open) > min(_MOST_BUSY, _files() - _OTHERS // 2):
        connection.transport.abort()


def leave(connection: Kept) -> None:
    """Forget a connection."""
    _open.discard(connection)


def _make_room() -> None:
    """Close those that have been idle longest, until a sixteenth of all has room."""
    step = most() // 16
    surplus = len(_open) + step - most()
    if surplus > 0:
        files_end = len(_open) + step > _files() - _OTHERS
        before = time.monotonic() - (0.0 if files_end else _REST_S)
        idle = [one for one in _open if one.is_idle() and one.idle_since < before]
        for connection in nsmallest(surplus, idle, key=attrgetter("idle_since")):
            connection.transport.close()


async def watch() -> None:
    """Look at every connection again and again, and close those that keep us waiting."""
    while True:
        await asyncio.sleep(_LOOK_S)
        _make_room()  # once no file is left nobody enters any more
        now = time.monotonic()
        for connection in list(_open):
            if connection.look(now):
                await asyncio.sleep(0)  # others are answered between two of a thousand
