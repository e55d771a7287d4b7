"""A closed-loop client: each connection sends its next request as soon as the last is answered."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter

from perf.load.http_client import Connection, connect
from perf.load.server_process import ServerFailed


@dataclass
class ClosedLoopClient:
    """Sends requests and counts the answers.

    Attributes
    ----------
    limit
        How many requests to send; None = go on until the service has closed every connection.
    on_answer
        Receives the status and body of each answer.
    statuses
        Answers by HTTP status.
    lost
        Requests whose connection broke before the answer.
    """

    requests: Sequence[bytes]
    limit: int | None = None
    on_answer: Callable[[int, bytes], object] = lambda _status, _body: None
    statuses: Counter[int] = field(default_factory=Counter)
    lost: int = 0
    _sent: int = 0
    _open: int = 0

    async def run(self, port: int, connections: int) -> float:
        """Send everything and return the seconds from the first request to the last answer."""
        self._done = asyncio.Event()
        self._open = connections
        opened = await connect(port, connections, self._on_answer, self._on_loss)
        began = perf_counter()
        for connection in opened:
            self._send(connection)
        await self._done.wait()
        elapsed = perf_counter() - began
        for connection in opened:
            connection.close()
        return elapsed

    def require(self, status: int) -> None:
        """Raise ServerFailed unless every request was answered with this status."""
        if self.lost or set(self.statuses) != {status}:
            raise ServerFailed(
                f"expected {status} for every request, got {dict(self.statuses)} and "
                f"{self.lost} broken connections"
            )

    def _send(self, connection: Connection) -> None:
        if not connection.ending and (self.limit is None or self._sent < self.limit):
            connection.send(self.requests[self._sent % len(self.requests)])
            self._sent += 1

    def _on_answer(self, connection: Connection, status: int, body: bytes) -> None:
        self.statuses[status] += 1
        self.on_answer(status, body)
        self._send(connection)
        self._check_end()

    def _on_loss(self, connection: Connection) -> None:
        self.lost += connection.waiting
        self._open -= 1
        self._check_end()

    def _check_end(self) -> None:
        if not self._open or self.statuses.total() + self.lost == self.limit:
            self._done.set()
