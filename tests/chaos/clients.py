"""A client that also probes the service's health, and what its answers and the log say.

Each patient has unique measurements, so that the log shows afterwards which requests were stored,
even if their answer contained no id.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from perf.load.http_client import encode_requests
from perf.load.open_loop_client import GIVE_UP_S, Answer, OpenLoopClient

_PROBE_S = 0.25
_PATIENT = {"age": 60, "sex": "male", "cp": "asymptomatic", "fbs": False, "exang": False}
TRESTBPS, CHOL, THALACH = range(100, 200), range(150, 550), range(100, 180)


def numbered_request(number: int) -> bytes:
    """Return the bytes of a request that can be recognised in the log."""
    return encode_requests([request_body(number)])[0]


def request_body(number: int) -> bytes:
    """Return a request whose measurements encode a number below 3.2 million."""
    rest, thalach = divmod(number, len(THALACH))
    trestbps, chol = divmod(rest, len(CHOL))
    values = {
        "trestbps": TRESTBPS[trestbps], "chol": CHOL[chol], "thalach": THALACH[thalach],
    }  # fmt: skip
    return json.dumps(_PATIENT | values).encode()


def patient_number(row: Mapping[str, Any]) -> int:
    """Return the number that `request_body` encoded in a stored row."""
    rest = TRESTBPS.index(int(row["trestbps"])) * len(CHOL) + CHOL.index(int(row["chol"]))
    return rest * len(THALACH) + THALACH.index(int(row["thalach"]))


def patients_with_status(answers: Iterable[Answer], status: str) -> set[int]:
    """Return the numbers of the requests answered so."""
    return {answer.number for answer in answers if answer.status == status}


@dataclass(frozen=True)
class Probe:
    """One probe of /healthz or /readyz; status 0 = no answer."""

    path: str
    asked: float
    at: float
    status: int


@dataclass
class ProbingClient(OpenLoopClient):
    """Probes /healthz and /readyz while it sends."""

    probes: list[Probe] = field(default_factory=list)

    async def run(self, end: asyncio.Event) -> None:
        """Send until `end`; return when everything is answered or given up."""
        probing = [asyncio.create_task(self._probe(path)) for path in ("/healthz", "/readyz")]
        await super().run(end)
        for task in probing:
            task.cancel()

    def first_answer(self, status: str, after: float) -> float | None:
        """Return the time of the first answer with this status after a moment; None = none yet."""
        return next((a.at for a in self.answers if a.status == status and a.at >= after), None)

    def first_ready(self, after: float) -> float | None:
        """Return when the first /readyz probe sent after a moment was answered with 200."""
        ready = (p for p in self.probes if p.path == "/readyz" and p.status == 200)
        return next((p.at for p in ready if p.asked >= after), None)

    async def _probe(self, path: str) -> None:
        while True:
            asked = monotonic()
            try:
                status = await asyncio.wait_for(_get(self.port, path), GIVE_UP_S)
            except (OSError, TimeoutError, ValueError):
                status = 0
            self.probes.append(Probe(path, asked, monotonic(), status))
            await asyncio.sleep(_PROBE_S)


async def _get(port: int, path: str) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % path.encode())
        return int((await reader.readline())[9:12])
    finally:
        writer.close()
