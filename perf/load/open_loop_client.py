"""An open-loop client: it sends at a fixed rate, whether or not earlier requests were answered.

A latency counts from the moment the request was due, so that a stall of the service is in the
latency of everything that was due during it (Tene's "coordinated omission" is avoided). By default
each patient has unique measurements, so that the log shows afterwards which requests were stored,
even if their answer contained no id. The client can also probe the service's health.

At an infinite rate everything is due at once, and each connection sends its next request as soon as
the last is answered: a closed loop.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, NamedTuple

import numpy as np

from perf.load.http_client import Connection, connect, encode_requests
from perf.load.server_process import ServerFailed
from pipeline.load_tests.benchmark import OpenLoop

CONNECTIONS = 1000
"""More than can wait at once: 500 requests per second that wait 2 s each."""

_PROBE_S = 0.25
_GIVE_UP_S = 10.0
"""Requests still open this long after the last answer count as unanswered."""

_PATIENT = {"age": 60, "sex": "male", "cp": "asymptomatic", "fbs": False, "exang": False}
_TRESTBPS, _CHOL, _THALACH = range(100, 200), range(150, 550), range(100, 180)


def numbered_request(number: int) -> bytes:
    """Return the bytes of a request that can be recognised in the log."""
    return encode_requests([request_body(number)])[0]


def request_body(number: int) -> bytes:
    """Return a request whose measurements encode a number below 3.2 million."""
    rest, thalach = divmod(number, len(_THALACH))
    trestbps, chol = divmod(rest, len(_CHOL))
    values = {
        "trestbps": _TRESTBPS[trestbps], "chol": _CHOL[chol], "thalach": _THALACH[thalach],
    }  # fmt: skip
    return json.dumps(_PATIENT | values).encode()


def patient_number(row: Mapping[str, Any]) -> int:
    """Return the number that `request_body` encoded in a stored row."""
    rest = _TRESTBPS.index(int(row["trestbps"])) * len(_CHOL) + _CHOL.index(int(row["chol"]))
    return rest * len(_THALACH) + _THALACH.index(int(row["thalach"]))


class Answer(NamedTuple):
    """The answer to one request; times are from `time.monotonic`.

    `status` is "stored", "not stored" or "unknown" (honest rejections, 503 with `Retry-After`), or
    what went wrong: another status, no `Retry-After`, a broken connection.
    """

    number: int
    due: float
    at: float
    status: str


@dataclass(frozen=True)
class Probe:
    """One probe of /healthz or /readyz; status 0 = no answer."""

    path: str
    asked: float
    at: float
    status: int


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
    probed
        Paths to probe meanwhile.
    late
        Seconds from when each request was due to when the client noticed.
    seconds
        From the first request to the last answer.
    """

    port: int
    rate: float
    request: Callable[[int], bytes] = numbered_request
    limit: int | None = None
    connections: int = CONNECTIONS
    probed: Sequence[str] = ()
    late: list[float] = field(default_factory=list)
    seconds: float = 0.0
    answers: list[Answer] = field(default_factory=list)
    probes: list[Probe] = field(default_factory=list)
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
        probing = [asyncio.create_task(self._probe(path)) for path in self.probed]
        began = monotonic()
        while not end.is_set() and self.sent != self.limit:
            self._schedule(began)
            self._send()
            await asyncio.sleep(0.001)
        self._heard = monotonic()
        while self._asked or (self._due and self._open):
            if monotonic() > self._heard + _GIVE_UP_S:
                break
            await asyncio.sleep(0.001)
        self.seconds = monotonic() - began
        for task in probing:
            task.cancel()
        for connection in opened:
            connection.close()

    def first_answer(self, status: str, after: float) -> float | None:
        """Return the time of the first answer with this status after a moment; None = none yet."""
        return next((a.at for a in self.answers if a.status == status and a.at >= after), None)

    def first_ready(self, after: float) -> float | None:
        """Return when the first /readyz probe sent after a moment was answered with 200."""
        ready = (p for p in self.probes if p.path == "/readyz" and p.status == 200)
        return next((p.at for p in ready if p.asked >= after), None)

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

    async def _probe(self, path: str) -> None:
        while True:
            asked = monotonic()
            try:
                status = await asyncio.wait_for(_get(self.port, path), _GIVE_UP_S)
            except (OSError, TimeoutError, ValueError):
                status = 0
            self.probes.append(Probe(path, asked, monotonic(), status))
            await asyncio.sleep(_PROBE_S)


def _status_of(status: int, head: bytes, text: bytes) -> str:
    if status == 200:
        return "stored"
    if status != 503:
        return f"status {status}"
    if b"\r\nretry-after:" not in head:
        return "503 without Retry-After"
    return "unknown" if b"log-fate-unknown" in text else "not stored"


async def _get(port: int, path: str) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % path.encode())
        return int((await reader.readline())[9:12])
    finally:
        writer.close()


def patients_with_status(answers: Iterable[Answer], status: str) -> set[int]:
    """Return the numbers of the requests answered so."""
    return {answer.number for answer in answers if answer.status == status}


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
