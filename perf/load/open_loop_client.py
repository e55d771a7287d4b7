"""An open-loop client: it sends at a fixed rate, whether or not earlier requests were answered.

A latency counts from the moment the request was due, so that a stall of the service is in the
latency of everything that was due during it (Tene's "coordinated omission" is avoided).

At an infinite rate everything is due at once, and each connection sends its next request as soon as
the last is answered: a closed loop.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import NamedTuple

import numpy as np

from perf.load.http_client import Connection, connect
from perf.load.server_process import ServerFailed
from pipeline.load_tests.benchmark import OpenLoop

CONNECTIONS = 1000
"""More than can wait at once: 500 requests per second that wait 2 s each."""

GIVE_UP_S = 10.0
"""Requests still open this long after the last answer count as unanswered."""


class Answer(NamedTuple):
    """The answer to one request; times are from `time.monotonic`.

    `status` is "stored", "not stored" or "unknown" (honest rejections, 503 with `Retry-After`), or
    what went wrong: another status, no `Retry-After`, a broken connection.
    """

    number: int
    due: float
    at: float
    status: str


@dataclass
class OpenLoopClient:
    """Sends due requests on free connections; their latency includes waiting for one.

    Attributes
    ----------
    port
        Of the service, on this machine.
    rate
        Requests per second.
    request
        Returns the bytes of a request by its number.
    limit
        How many requests to send; None = go on until told to stop.
    late
        Seconds from when each request was due to when the client noticed.
    seconds
        From the first request to the last answer.
    """

    port: int
    rate: float
    request: Callable[[int], bytes]
    limit: int | None = None
    connections: int = CONNECTIONS
    late: list[float] = field(default_factory=list)
    seconds: float = 0.0
    answers: list[Answer] = field(default_factory=list)
    sent: int = 0
    _open: int = 0
    _free: deque[Connection] = field(default_factory=deque)
    _due: deque[tuple[int, float]] = field(default_factory=deque)
    _asked: dict[Connection, tuple[int, float]] = field(default_factory=dict)

    async def run(self, end: asyncio.Event) -> None:
        """Send until `end` or the limit; return when everything is answered or given up."""
        opened = await connect(self.port, self.connections, self._on_answer, self._on_loss)
        self._free.extend(opened)
        self._open = len(opened)
        began = monotonic()
        while not end.is_set() and self.sent != self.limit:
            self._schedule(began)
            self._send()
            await asyncio.sleep(0.001)
        self._heard = monotonic()
        while self._asked or (self._due and self._open):
            if monotonic() > self._heard + GIVE_UP_S:
                break
            await asyncio.sleep(0.001)
        self.seconds = monotonic() - began
        for connection in opened:
            connection.close()

    def _schedule(self, began: float) -> None:
        now = monotonic()
        while (due := began + self.sent / self.rate) <= now and self.sent != self.limit:
            self._due.append((self.sent, due))
            self.late.append(now - due)
            self.sent += 1

    def _send(self) -> None:
        while self._due and self._free:
            connection = self._free.popleft()
            self._asked[connection] = self._due.popleft()
            connection.send(self.request(self._asked[connection][0]))

    def _on_answer(self, connection: Connection, status: int, text: bytes) -> None:
        number, due = self._asked.pop(connection)
        told, self._heard = _status_of(status, connection.head, text), monotonic()
        self.answers.append(Answer(number, due, self._heard, told))
        if not connection.ending:
            self._free.append(connection)
            self._send()

    def _on_loss(self, connection: Connection) -> None:
        self._open -= 1
        if connection in self._asked:
            number, due = self._asked.pop(connection)
            self.answers.append(Answer(number, due, monotonic(), "connection lost"))
        elif connection in self._free:
            self._free.remove(connection)


def _status_of(status: int, head: bytes, text: bytes) -> str:
    if status == 200:
        return "stored"
    if status != 503:
        return f"status {status}"
    if b"\r\nretry-after:" not in head:
        return "503 without Retry-After"
    return "unknown" if b"log-fate-unknown" in text else "not stored"


async def measure_fixed_rate(
    port: int, request: Callable[[int], bytes], rate: float, seconds: float, connections: int = 256
) -> OpenLoop:
    """Send requests by their numbers at a fixed rate, wait for the answers, return the result."""
    client = OpenLoopClient(
        port, rate, request, limit=round(rate * seconds), connections=connections
    )
    await client.run(asyncio.Event())
    times = [1000 * (a.at - a.due) for a in client.answers if a.status == "stored"]
    p50, p99, p999, longest = (
        np.percentile(times, [50, 99, 99.9, 100]).tolist() if times else (None,) * 4
    )
    return OpenLoop(
        rate=rate, achieved=len(times) / client.seconds, seconds=client.seconds,
        ok=len(times), failed=len(client.answers) - len(times),
        unanswered=client.sent - len(client.answers),
        p50_ms=p50, p99_ms=p99, p999_ms=p999, max_ms=longest,
        late_p99_ms=float(np.percentile(client.late, 99)) * 1000,
    )  # fmt: skip


async def send_all(
    port: int, requests: Sequence[bytes], number: int, connections: int, status: str = "stored"
) -> float:
    """Send requests in turn, each connection without pause; return the seconds that took.

    Raises
    ------
    ServerFailed
        A request was not answered with this status.
    """
    client = OpenLoopClient(
        port, math.inf, lambda n: requests[n % len(requests)], number, connections
    )
    await client.run(asyncio.Event())
    found = Counter(answer.status for answer in client.answers)
    if found != {status: number}:
        raise ServerFailed(f"{number:,} answers '{status}' were expected, got {dict(found)}")
    return max(answer.at for answer in client.answers) - client.answers[0].due
