"""The latencies of a service that is asked at a fixed rate."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from perf.load.open_loop_client import OpenLoopClient
from perf.load.server_process import ROOT, ServerFailed
from pipeline.load_tests.benchmark import OpenLoop


async def measure_fixed_rate(
    port: int, request: Callable[[int], bytes], rate: float, seconds: float, connections: int
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


def start_fixed_rate(
    port: int, rate: float, seconds: float, bodies: Path | None = None
) -> subprocess.Popen[str]:
    """Start `measure open-loop` in a process of its own."""
    command = [
        sys.executable, "-m", "cardiowatch", "measure", "open-loop", "--port", str(port),
        "--rate", f"{rate:g}", "--seconds", f"{seconds:g}",
        *(("--bodies", str(bodies)) if bodies else ()),
    ]  # fmt: skip
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)  # noqa: S603


def read_fixed_rate(client: subprocess.Popen[str]) -> OpenLoop:
    """Wait for the end of the process and return its result.

    Raises
    ------
    ServerFailed
        It printed no result; standard error says why.
    """
    printed = client.communicate()[0]
    if not printed:
        raise ServerFailed(f"the open-loop client ended with code {client.returncode}")
    return OpenLoop(**json.loads(printed))
