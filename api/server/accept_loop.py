"""The event loop, except that those who wait at the door are let in a few at a time.

uvloop lets in one connection per round of its loop (libuv since 1.45, its pull request 3696). Under
load a round answers hundreds of requests, so that of 2,000 callers who came together most stood in
the kernel's queue, connected and unread, for longer than they were ready to wait. All at once would
be wrong, too: a thousand who say nothing then make everybody else wait for a tenth of a second.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from time import monotonic
from typing import Any

import uvloop

_UNSENT = 128 * 1024
"""Bytes that the kernel takes ahead of the network: it would take megabytes for who reads none.

It asks for more when half are sent, and who takes so few in ten seconds is cut off: below 7 KB/s.
"""

_FEW, _MANY = 4, 512
"""Let in per round; of several processes at one address none takes all who come together."""

_PER_S = 2_500
"""Let in for each second that a round took; several times slower than those let in delay it."""


class Loop(uvloop.Loop):
    """uvloop, behind wider doors."""

    async def create_server(
        self, protocol_factory: Callable[[], asyncio.BaseProtocol], *args: Any, **kwargs: Any
    ) -> Any:
        """Listen as uvloop does, and open a door beside each listening socket."""
        server: Any = await super().create_server(protocol_factory, *args, **kwargs)
        for sock in server.sockets:  # what is let in there inherits this
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT)
        doors = [Door(self, sock.fileno(), protocol_factory) for sock in server.sockets]
        return Doors(server, doors)


class Doors:
    """What uvicorn asks of a server, for uvloop's own and the doors beside it."""

    def __init__(self, server: asyncio.Server, doors: list[Door]) -> None:
        self._server = server
        self._doors = doors
        self.sockets = server.sockets

    def close(self) -> None:
        """Let nobody in any more."""
        for door in self._doors:
            door.close()
        self._server.close()

    async def wait_closed(self) -> None:
        """Wait until the sockets are closed."""
        await self._server.wait_closed()


class Door:
    """Lets in those who wait at a listening socket; a copy of its descriptor is kept."""

    def __init__(
        self, loop: Loop, listening: int, protocol_factory: Callable[[], asyncio.BaseProtocol]
    ) -> None:
        self._loop = loop
        self._protocol_factory = protocol_factory
        self._socket = socket.socket(fileno=os.dup(listening))
        self._socket.setblocking(False)
        self._entering: set[asyncio.Task[Any]] = set()  # or nothing would hold these tasks
        self._left_waiting_at: float | None = None
        loop.add_reader(self._socket, self._let_in)

    def close(self) -> None:
        """Let nobody in any more."""
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _let_in(self) -> None:
        now = monotonic()
        busy_s = 0.0 if self._left_waiting_at is None else now - self._left_waiting_at
        for _ in range(min(_MANY, max(_FEW, round(busy_s * _PER_S)))):
            try:
                caller, _address = self._socket.accept()
            except OSError:  # nobody waits any more; or no file is left, which uvloop deals with
                self._left_waiting_at = None
                return
            entering = self._loop.connect_accepted_socket(self._protocol_factory, caller)
            task = self._loop.create_task(entering)
            self._entering.add(task)
            task.add_done_callback(self._entering.discard)
        self._left_waiting_at = now
