"""The latencies of a service that is asked at a fixed rate."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from perf.load.open_loop_client import OpenLoopClient
from perf.load.server_process import ROOT, Server, ServerFailed, pin_to_cores, split_cores
from pipeline.load_tests.benchmark import OpenLoop


async def measure_fixed_rate(
    port: int, requests: Sequence[bytes], rate: float, seconds: float, connections: int
) -> OpenLoop:
    """Send the requests in turn at a fixed rate, wait for the answers and return the result."""
    client = OpenLoopClient(
        port, rate, lambda number: requests[number % len(requests)],
        limit=round(rate * seconds), connections=connections,
    )  # fmt: skip
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
