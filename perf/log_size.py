"""Measure the log at a size: `python -m perf.log_size --rows 10000000`.

Writes a history of 30 days through the log's own writer, rolls it up, asks the dashboard's
questions, streams it all, and times single appends at a fixed rate: alone, beside a process that
asks those questions without a pause, and while the roller counts a backlog. Prints one line each.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from db.audit.seals import SealKey
from db.engine import DatabaseUnavailable, connect
from db.ids import new_id
from db.migrate import migrate
from db.reader.queries import Reader
from db.rollups.dirty_buckets import FIVE_MINUTES, mark
from db.rollups.rollup_worker import COUNT_S, Roller, in_own_transactions, roll
from db.writer.writer import Log, LogTaken, LogUnavailable
from pipeline.dataset.heart.codings import Coding
from pipeline.dataset.heart.csv_reader import HEART_CSV, read
from pipeline.dataset.synthetic import smoothed_bootstrap

DAYS = 30
CALL_ROWS = 1_000
RATE = 1_000
"""Single appends per second."""

SCORECARD, VERSION = "{}", "44136fa355b3"  # where its SHA-256 begins
"""The model's, in made-up rows."""

BACKLOG = 2_000
"""Buckets that wait to be counted again, when appends are timed beside the roller."""


def patients(number: int = 20_000) -> list[tuple[float | None, ...]]:
    """Return synthetic patients, UCI codes."""
    real = read(HEART_CSV, Coding.UCI).features
    assert real is not None  # noqa: S101 - the coding is named
    drawn = smoothed_bootstrap(real, number, seed=1)
    return [tuple(None if np.isnan(v) else float(v) for v in row) for row in drawn]


def rows(number: int) -> Iterator[tuple[Any, ...]]:
    """Yield predictions spread evenly over the 30 days that ended an hour ago."""
    known, chance = patients(), random.Random(1)  # noqa: S311 - the same history every time
    end = int(time.time() * 1000) - 3_600_000
    for i in range(number):
        ms = end - DAYS * 86_400_000 * (number - i) // number
        p = chance.random()
        who = "what-if" if i % 10 == 0 else "live"
        answer = (p, int(p >= 0.5), 0.5, VERSION, 1.5, None, None)
        yield (new_id(ms), who, *known[i % len(known)], *answer)


async def write(url: str, number: int, key: SealKey | None = None) -> float:
    """Write a history, sealed with a key; return rows per second."""
    log = Log(url, timeout_s=60, key=key)
    await log.start()
    await log.register_model(VERSION, SCORECARD)
    began, call = time.perf_counter(), []
    for i, row in enumerate(rows(number), 1):
        call.append(row)
        if len(call) == CALL_ROWS or i == number:
            await log.append(call)
            call = []
        if i % 1_000_000 == 0:
            print(f"{i:,} rows", file=sys.stderr)
    await log.stop()
    return number / (time.perf_counter() - began)


def roll_up(url: str) -> tuple[int, float]:
    """Roll up what is closed; return buckets and seconds."""
    reading = connect(url, read_only=True, answer_s=COUNT_S)
    began = time.perf_counter()
    buckets = roll(reading, in_own_transactions(connect(url)), datetime.now(UTC))
    reading.dispose()
    return buckets, time.perf_counter() - began


def questions(reader: Reader) -> dict[str, Callable[[], object]]:
    """Return what the pages ask."""
    now = datetime.now(UTC)
    hour = now.replace(minute=0, second=0, microsecond=0)
    day, month = timedelta(days=1), timedelta(days=DAYS)
    return {
        "summary of a day": lambda: reader.summary(since=now - day, source="live"),
        "48 steps of a day": lambda: reader.buckets(
            since=hour - day, until=hour, width_s=1800, source="live"
        ),
        "newest page": lambda: reader.page(limit=20, source="live"),
        "counts of 30 days": lambda: reader.counts(since=hour - month, source="live"),
        "counts of 30 days, not on a border": lambda: reader.counts(since=now - month),
        "counts of all": lambda: reader.counts(source="live"),
        "sources": reader.sources,
    }


def ask_forever(url: str) -> None:
    """Be the dashboard of a hurry."""
    reader = Reader(url)
    while True:
        for question in questions(reader).values():
            question()


async def append_latencies(log: Log, seconds: float) -> list[float]:
    """Append rows one by one at `RATE`; return their latencies in ms from when each was due."""
    clock = asyncio.get_running_loop().time
    known, latencies = patients(1_000), []

    async def append(due: float, patient: tuple[float | None, ...]) -> None:
        await log.append(
            [(new_id(), "load-test", *patient, 0.25, 0, 0.5, VERSION, 1.5, None, None)]
        )
        latencies.append(1000 * (clock() - due))

    began, sent = clock(), 0
    async with asyncio.TaskGroup() as calls:
        while sent < seconds * RATE:
            while began + sent / RATE <= clock():
                calls.create_task(append(began + sent / RATE, known[sent % len(known)]))
                sent += 1
            await asyncio.sleep(0.001)
    return latencies


async def beside(url: str, seconds: float, rounds: int) -> list[str]:
    """Time appends alone, beside the questions, beside the roller, in turns; a line for each."""
    log = Log(url)
    await log.start()
    await append_latencies(log, 2)
    p99: dict[str, list[float]] = {"alone": [], "the dashboard": [], "the roller": []}
    for _ in range(rounds):
        p99["alone"].append(_p99(await append_latencies(log, seconds)))
        asking = subprocess.Popen([sys.executable, "-m", "perf.log_size", "--ask", url])  # noqa: S603
        await asyncio.sleep(2)
        p99["the dashboard"].append(_p99(await append_latencies(log, seconds)))
        asking.kill()
        asking.wait()
        await log.execute(_mark_backlog)
        roller = Roller(log, url, every_s=0.01)
        roller.start()
        p99["the roller"].append(_p99(await append_latencies(log, seconds)))
        await roller.stop()
    await log.stop()
    return [
        f"{RATE:,} appends/s, {name}: p99 {median(found):.1f} ms "
        f"({', '.join(f'{value:.1f}' for value in found)})"
        for name, found in p99.items()
    ]


def _mark_backlog(connection: Any) -> None:
    newest = int(time.time() - 86_400) // FIVE_MINUTES * FIVE_MINUTES
    mark(connection, FIVE_MINUTES, [newest - FIVE_MINUTES * i for i in range(BACKLOG)])


def _size(url: str) -> str:
    file = Path(url.removeprefix("sqlite:///"))
    return f"{file.stat().st_size / 1e6:,.0f} MB" if file.exists() else "size unknown"


def _p99(latencies: list[float]) -> float:
    return float(np.percentile(latencies, 99))


def measure(url: str, options: argparse.Namespace) -> None:
    """Measure everything, one line each."""
    migrate(url, lambda _: None)
    if options.rows:
        rate = asyncio.run(write(url, options.rows))
        print(f"{options.rows:,} rows written, {rate:,.0f} rows/s, {_size(url)}")
    buckets, seconds = roll_up(url)
    print(f"{buckets:,} buckets rolled up in {seconds:,.0f} s, {_size(url)}")
    reader = Reader(url)
    for name, question in questions(reader).items():
        question()
        began = time.perf_counter()
        question()
        print(f"{name}: {1000 * (time.perf_counter() - began):,.0f} ms")
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    number = sum(1 for _ in reader.stream())
    rate = number / (time.perf_counter() - began)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"{number:,} rows streamed, {rate:,.0f} rows/s; peak memory grew by {grown:,} kB")
    reader.close()
    for line in asyncio.run(beside(url, options.seconds, options.rounds)):
        print(line)
    print(f"load average {', '.join(f'{load:.1f}' for load in os.getloadavg())}")


def main() -> int:
    """Measure; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m perf.log_size", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="to write; 0 = as it is")
    parser.add_argument("--database", help="URL of a scratch database; default: a temporary file")
    parser.add_argument("--seconds", type=float, default=15, help="of each timing of appends")
    parser.add_argument("--rounds", type=int, default=3, help="of timings")
    parser.add_argument("--ask", metavar="URL", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        ask_forever(options.ask)
    try:
        with tempfile.TemporaryDirectory() as folder:
            measure(options.database or f"sqlite:///{folder}/log.db", options)
    except (DatabaseUnavailable, LogTaken, LogUnavailable) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
