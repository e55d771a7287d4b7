"""Measure the log at a given size: `python -m perf.log_size --rows 10000000`.

Writes a history of 30 days through the log's own writer, rolls it up, runs the dashboard's queries,
streams it all, and times single appends at a fixed rate: alone, beside a process that repeats those
queries without pause, and while the rollup worker counts a backlog. Prints one line each.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from db.engine import DatabaseUnavailable
from db.migrate import migrate
from db.reader.queries import Reader
from db.rollups.dirty_buckets import FIVE_MINUTES, mark_dirty
from db.rollups.rollup_worker import RollupWorker
from db.writer.file_lock import LogLocked
from db.writer.writer import LogUnavailable, LogWriter
from perf.load.log_history import RATE, append_latencies, dashboard_queries, roll_up, write_history

BACKLOG = 2_000
"""Dirty buckets while appends are timed beside the rollup worker."""


def query_forever(url: str) -> None:
    """Run the dashboard's queries without pause."""
    reader = Reader(url)
    while True:
        for query in dashboard_queries(reader).values():
            query()


async def append_under_load(url: str, seconds: float, rounds: int) -> list[str]:
    """Time appends alone, beside the queries and beside the rollup worker; return lines."""
    log = LogWriter(url)
    await log.start()
    await append_latencies(log, 2)
    p99: dict[str, list[float]] = {"alone": [], "the dashboard": [], "the rollup worker": []}
    for _ in range(rounds):
        p99["alone"].append(_p99(await append_latencies(log, seconds)))
        asking = subprocess.Popen([sys.executable, "-m", "perf.log_size", "--ask", url])  # noqa: S603
        await asyncio.sleep(2)
        p99["the dashboard"].append(_p99(await append_latencies(log, seconds)))
        asking.kill()
        asking.wait()
        await log.execute(_mark_backlog)
        roller = RollupWorker(log.execute, url, every_s=0.01)
        roller.start()
        p99["the rollup worker"].append(_p99(await append_latencies(log, seconds)))
        await roller.stop()
    await log.stop()
    return [
        f"{RATE:,} appends/s, {name}: p99 {median(found):.1f} ms "
        f"({', '.join(f'{value:.1f}' for value in found)})"
        for name, found in p99.items()
    ]


def _mark_backlog(connection: Any) -> None:
    newest = int(time.time() - 86_400) // FIVE_MINUTES * FIVE_MINUTES
    mark_dirty(connection, FIVE_MINUTES, [newest - FIVE_MINUTES * i for i in range(BACKLOG)])


def _size(url: str) -> str:
    file = Path(url.removeprefix("sqlite:///"))
    return f"{file.stat().st_size / 1e6:,.0f} MB" if file.exists() else "size unknown"


def _p99(latencies: list[float]) -> float:
    return float(np.percentile(latencies, 99))


def measure(url: str, options: argparse.Namespace) -> None:
    """Measure everything, one line each."""
    migrate(url, lambda _: None)
    if options.rows:
        rate = asyncio.run(write_history(url, options.rows))
        print(f"{options.rows:,} rows written, {rate:,.0f} rows/s, {_size(url)}")
    buckets, seconds = roll_up(url)
    print(f"{buckets:,} buckets rolled up in {seconds:,.0f} s, {_size(url)}")
    reader = Reader(url)
    for name, query in dashboard_queries(reader).items():
        query()
        began = time.perf_counter()
        query()
        print(f"{name}: {1000 * (time.perf_counter() - began):,.0f} ms")
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    number = sum(1 for _ in reader.stream())
    rate = number / (time.perf_counter() - began)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"{number:,} rows streamed, {rate:,.0f} rows/s; peak memory grew by {grown:,} kB")
    reader.close()
    for line in asyncio.run(append_under_load(url, options.seconds, options.rounds)):
        print(line)
    print(f"load average {', '.join(f'{load:.1f}' for load in os.getloadavg())}")


def main() -> int:
    """Measure; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m perf.log_size", description=__doc__)
    parser.add_argument(
        "--rows", type=int, default=1_000_000, help="rows to write; 0 = use the log as is"
    )
    parser.add_argument("--database", help="URL of a scratch database; default: a temporary file")
    parser.add_argument("--seconds", type=float, default=15, help="per timing of appends")
    parser.add_argument("--rounds", type=int, default=3, help="number of timings")
    parser.add_argument("--ask", metavar="URL", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        query_forever(options.ask)
    try:
        with tempfile.TemporaryDirectory() as folder:
            measure(options.database or f"sqlite:///{folder}/log.db", options)
    except (DatabaseUnavailable, LogLocked, LogUnavailable) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
