"""Limits on the connections of a process: enough descriptors for them, and room for new ones."""

from __future__ import annotations

import asyncio
import resource
import time
from functools import cache
from heapq import nsmallest
from itertools import count
from operator import attrgetter
from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    from api.server.connection import Connection

MAX_IDLE = 4096
"""Idle connections at once; one that was answered and is kept alive takes some 30 KB."""

_MAX_OPEN = 6144
"""Connections at once: by calculation 280 MB, of a pod's 384."""

_RESERVED_FILES = 64
"""Descriptors for the log, the database and the program itself."""

_ACTIVE_S = 1.0
"""A client that was answered less than this ago is about to send again, as under load."""

FIRST_REQUEST_GRACE_S = 0.1
"""Time in which the first request is read before a new connection counts as idle."""


_open: WeakSet[Connection] = WeakSet()
_opened = count(1)


def raise_file_limit() -> None:
    """Raise the limit of open files, within the hard limit, to what all connections need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = _MAX_OPEN + _RESERVED_FILES
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, needed)), hard))


@cache
def _file_limit() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


@cache
def max_idle() -> int:
    """Return how many idle connections are kept, within the limit of open files."""
    return max(_RESERVED_FILES, min(MAX_IDLE, _file_limit() - _RESERVED_FILES))


def track(connection: Connection) -> None:
    """Track a new connection; every so often close idle ones, or abort it if there is no room."""
    _open.add(connection)
    if next(_opened) % (max_idle() // 16) == 0:  # scans all connections
        _close_idle()
    if len(_open) > min(_MAX_OPEN, _file_limit() - _RESERVED_FILES // 2):
        connection.transport.abort()


def untrack(connection: Connection) -> None:
    """Forget a connection."""
    _open.discard(connection)


def _close_idle() -> None:
    """Close the connections that have been idle longest, until a sixteenth of all is free."""
    step = max_idle() // 16
    surplus = len(_open) + step - max_idle()
    if surplus > 0:
        files_run_out = len(_open) + step > _file_limit() - _RESERVED_FILES
        before = time.monotonic() - (0.0 if files_run_out else _ACTIVE_S)
        idle = [one for one in _open if one.is_idle() and one.idle_since < before]
        for connection in nsmallest(surplus, idle, key=attrgetter("idle_since")):
            connection.transport.close()


async def enforce_timeouts() -> None:
    """Once a second check every connection, and close those whose clients took too long."""
    while True:
        await asyncio.sleep(1)
        _close_idle()  # without a free descriptor no new connection calls `track`
        now = time.monotonic()
        for connection in list(_open):
            if connection.check_timeouts(now):
                await asyncio.sleep(0)  # requests are answered between two of a thousand
