"""An open-loop client: it sends at a fixed rate, whether or not earlier requests were answered.

A latency counts from the moment the request was due, so that a stall of the service is in the
latency of everything that was due during it (Tene's "coordinated omission" is avoided).
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import deque
from pathlib import Path
from time import perf_counter

import numpy as np

from perf.load.http_client import Connection, connect
from perf.load.server_process import ROOT, Server, ServerFailed, pin_to_cores, split_cores
from pipeline.load_tests.benchmark import OpenLoop

_GRACE_S = 5.0
"""Requests still open this long after the last one was due count as unanswered."""


class FixedRateClient:
    """Sends due requests on free connections; their latency includes waiting for one."""

    def __init__(self, requests: list[bytes], rate: float, seconds: float) -> None:
        self._requests = requests
        self._rate = rate
        self._total = round(rate * seconds)
        self._seconds = seconds
        self._free: deque[Connection] = deque()
        self._due: deque[float] = deque()
        self._sent = 0
        self._latencies: list[float] = []
        self._late: list[float] = []
        self._failed = 0

    async def run(self, port: int, connections: int) -> OpenLoop:
        """Send everything and wait for the answers."""
        opened = await connect(port, connections, self._on_answer, self._on_loss)
        self._free.extend(opened)
        began, scheduled = perf_counter(), 0
        deadline = began + self._seconds + _GRACE_S
        while len(self._latencies) + self._failed < self._total and perf_counter() < deadline:
            now = perf_counter()
            while scheduled < self._total and began + scheduled / self._rate <= now:
                due = began + scheduled / self._rate
                self._due.append(due)
                self._late.append(now - due)
                scheduled += 1
            while self._due and self._free:
                self._send(self._free.popleft())
            await asyncio.sleep(0.001)
        elapsed = perf_counter() - began
        for connection in opened:
            connection.close()
        return self._result(elapsed)

    def _send(self, connection: Connection) -> None:
        connection.due = self._due.popleft()
        connection.send(self._requests[self._sent % len(self._requests)])
        self._sent += 1

    def _on_answer(self, connection: Connection, status: int, _body: bytes) -> None:
        if status == 200:
            self._latencies.append(perf_counter() - connection.due)
        else:
            self._failed += 1
        if connection.ending:
            return
        if self._due:
            self._send(connection)
        else:
            self._free.append(connection)

    def _on_loss(self, connection: Connection) -> None:
        if connection.waiting:
            self._failed += 1
        elif connection in self._free:
            self._free.remove(connection)

    def _result(self, elapsed: float) -> OpenLoop:
        ok = len(self._latencies)
        times = np.array(self._latencies) * 1000
        p50, p99, p999, longest = (
            np.percentile(times, [50, 99, 99.9, 100]).tolist() if ok else (None,) * 4
        )
        return OpenLoop(
            rate=self._rate, achieved=ok / elapsed, seconds=elapsed,
            ok=ok, failed=self._failed, unanswered=self._total - ok - self._failed,
            p50_ms=p50, p99_ms=p99, p999_ms=p999, max_ms=longest,
            late_p99_ms=float(np.percentile(self._late, 99)) * 1000,
        )  # fmt: skip


def run_fixed_rate(server: Server, rate: float, seconds: float, bodies: Path) -> OpenLoop:
    """Run `perf.openloop` in its own process on the clients' core.

    Raises
    ------
    ServerFailed
        It printed no result.
    """
    command = [
        sys.executable, "-m", "perf.openloop", "--port", str(server.port),
        "--rate", f"{rate:.0f}", "--seconds", f"{seconds:g}", "--bodies", str(bodies),
    ]  # fmt: skip
    with pin_to_cores(split_cores()[1]):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    server.wait_until_idle()
    if not done.stdout:
        last = "".join(done.stderr.strip().splitlines()[-1:])
        raise ServerFailed(f"the open-loop client failed: {last}")
    return OpenLoop(**json.loads(done.stdout))
