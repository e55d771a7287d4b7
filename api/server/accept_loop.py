"""uvloop, except that waiting connections are accepted several at a time.

uvloop accepts one connection per iteration of its loop (libuv since 1.45, its pull request 3696).
Under load an iteration answers hundreds of requests, so most of 2,000 clients that connected
together stayed in the kernel's queue, connected and unread, beyond their timeouts. Accepting all
of them at once would be wrong, too: a thousand silent clients then delay everybody else by 0.1 s.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from time import monotonic
from typing import Any

import uvloop

from api.server.connection_limits import enforce_timeouts

_MAX_UNSENT = 128 * 1024
"""Bytes that the kernel buffers ahead of the network; by default megabytes for a stalled client.

It asks for more when half are sent; a client that takes so few in ten seconds (below 7 KB/s) is
cut off.
"""

_MIN_ACCEPTED, _MAX_ACCEPTED = 4, 512
"""Per iteration; of several processes on one address none takes a whole burst."""

_ACCEPTED_PER_S = 2_500
"""For each second of the last iteration; several times slower than those accepted delay it."""


class AcceptLoop(uvloop.Loop):
    """uvloop with an acceptor of our own beside each listening socket."""

    draining = False
    """Set when the server is closed: from then on a response is its connection's last."""

    async def create_server(
        self, protocol_factory: Callable[[], asyncio.BaseProtocol], *args: Any, **kwargs: Any
    ) -> Any:
        """Listen as uvloop does, accept in groups, and enforce the connections' timeouts."""
        server: Any = await super().create_server(protocol_factory, *args, **kwargs)
        self._timeouts = self.create_task(enforce_timeouts())  # or nothing would hold the task
        return AcceptingServer(self, server, protocol_factory)


class AcceptingServer:
    """The part of `asyncio.Server` that uvicorn uses, accepting on copies of the descriptors."""

    def __init__(
        self,
        loop: AcceptLoop,
        server: asyncio.Server,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
    ) -> None:
        self._loop, self._server, self._protocol_factory = loop, server, protocol_factory
        self.sockets = server.sockets
        self._copies = [socket.socket(fileno=os.dup(sock.fileno())) for sock in server.sockets]
        self._tasks: set[asyncio.Task[Any]] = set()  # or nothing would hold these tasks
        self._more_waiting_since: float | None = None
        for copy in self._copies:
            copy.setblocking(False)
            # Accepted connections inherit this.
            copy.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _MAX_UNSENT)
            loop.add_reader(copy, self._accept, copy)

    def close(self) -> None:
        """Stop accepting."""
        self._loop.draining = True
        for copy in self._copies:
            self._loop.remove_reader(copy)
            copy.close()
        self._server.close()

    async def wait_closed(self) -> None:
        """Wait until the sockets are closed."""
        await self._server.wait_closed()

    def _accept(self, listening: socket.socket) -> None:
        now = monotonic()
        since = self._more_waiting_since
        busy_s = 0.0 if since is None else now - since
        for _ in range(min(_MAX_ACCEPTED, max(_MIN_ACCEPTED, round(busy_s * _ACCEPTED_PER_S)))):
            try:
                client, _address = listening.accept()
            except OSError:  # none is waiting; or no descriptor is left, which uvloop handles
                self._more_waiting_since = None
                return
            connecting = self._loop.connect_accepted_socket(self._protocol_factory, client)
            task = self._loop.create_task(connecting)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._more_waiting_since = now
