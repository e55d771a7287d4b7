"""Asks at a fixed rate, whether or not earlier requests were answered, and says how long it took.

`python -m perf.openloop --port 8000 --rate 1000 --seconds 10`. A latency counts from the moment the
request was due, so a stall of the service is in the latency of everything that was due during it
(Tene's "coordinated omission" is avoided); a closed-loop client such as wrk cannot see that.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections import deque
from dataclasses import asdict
from pathlib import Path
from time import perf_counter

import numpy as np
import uvloop

from perf.load.http_client import Connection, as_requests, connect
from pipeline.load_tests.benchmark import OpenLoop

_GRACE_S = 5.0
"""Whoever is not answered so long after the last request was due is counted as unanswered."""


class Pacer:
    """Sends what is due on free connections; what finds none waits, and its clock runs."""

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


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m perf.openloop", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="of the service, on 127.0.0.1")
    parser.add_argument("--rate", type=float, required=True, help="requests per second")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument(
        "--bodies",
        type=Path,
        metavar="FILE",
        help="to send, one per line; default: synthetic patients",
    )
    parser.add_argument("--connections", type=int, default=256, help="most requests under way")
    return parser.parse_args()


def _lines(file: Path | None) -> list[bytes]:
    if file is not None:
        return file.read_bytes().splitlines()
    from perf.load.request_bodies import (
        write_bodies,  # brings pandas, which the bench has loaded already
    )

    with tempfile.TemporaryDirectory() as folder:
        return write_bodies(Path(folder) / "bodies.jsonl")


def main() -> int:
    """Measure and print one JSON object; return 0 when every request was answered with 200."""
    options = _parse()
    pacer = Pacer(as_requests(_lines(options.bodies)), options.rate, options.seconds)
    try:
        result = uvloop.run(pacer.run(options.port, options.connections))
    except OSError as error:
        print(f"The service on port {options.port} cannot be reached: {error}", file=sys.stderr)
        return 1
    print(json.dumps(asdict(result)))
    return 1 if result.failed or result.unanswered else 0


if __name__ == "__main__":
    sys.exit(main())
