"""A log of thirty days: its rows, its rollups, the queries of the pages, and timed appends."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from db.audit.seal_key import SealKey
from db.engine import open_engine
from db.ids import new_id
from db.reader.queries import Reader
from db.rollups.rollup_worker import COUNT_TIMEOUT_S, transaction_runner, update_rollups
from db.writer.writer import LogWriter
from perf.load.request_bodies import synthetic_rows

DAYS = 30
CALL_ROWS = 1_000
RATE = 1_000
"""Single appends per second."""

SCORECARD, VERSION = "{}", "44136fa355b3"  # where its SHA-256 begins
"""Of the model in the generated rows."""


def history_rows(number: int) -> Iterator[tuple[Any, ...]]:
    """Yield predictions spread evenly over the 30 days until an hour ago."""
    known, chance = list(synthetic_rows(20_000, 1)), random.Random(1)  # noqa: S311 - the same history every time
    end = int(time.time() * 1000) - 3_600_000
    for i in range(number):
        ms = end - DAYS * 86_400_000 * (number - i) // number
        p = chance.random()
        who = "what-if" if i % 10 == 0 else "live"
        answer = (p, int(p >= 0.5), 0.5, VERSION, 1.5, None, None)
        yield (new_id(ms), who, *known[i % len(known)], *answer)


async def write_history(url: str, number: int, key: SealKey | None = None) -> float:
    """Write a history, sealed if there is a key; return rows per second."""
    log = LogWriter(url, timeout_s=60, key=key)
    await log.start()
    await log.register_model(VERSION, SCORECARD)
    began, call = time.perf_counter(), []
    for i, row in enumerate(history_rows(number), 1):
        call.append(row)
        if len(call) == CALL_ROWS or i == number:
            await log.append(call)
            call = []
        if i % 1_000_000 == 0:
            print(f"{i:,} rows", file=sys.stderr)
    await log.stop()
    return number / (time.perf_counter() - began)


def roll_up(url: str) -> tuple[int, float]:
    """Roll up closed buckets; return their number and the seconds."""
    reading = open_engine(url, read_only=True, timeout_s=COUNT_TIMEOUT_S)
    began = time.perf_counter()
    buckets = update_rollups(reading, transaction_runner(open_engine(url)), datetime.now(UTC))
    reading.dispose()
    return buckets, time.perf_counter() - began


def dashboard_queries(reader: Reader) -> dict[str, Callable[[], object]]:
    """Return the queries of the pages by name."""
    now = datetime.now(UTC)
    hour = now.replace(minute=0, second=0, microsecond=0)
    day, month = timedelta(days=1), timedelta(days=DAYS)
    return {
        "summary of a day": lambda: reader.statistics(since=now - day, source="live"),
        "48 steps of a day": lambda: reader.buckets(
            since=hour - day, until=hour, width_s=1800, source="live"
        ),
        "newest page": lambda: reader.page(limit=20, source="live"),
        "counts of 30 days": lambda: reader.counts(since=hour - month, source="live"),
        "counts of 30 days, not on a border": lambda: reader.counts(since=now - month),
        "counts of all": lambda: reader.counts(source="live"),
        "sources": reader.sources,
    }


async def append_latencies(log: LogWriter, seconds: float) -> list[float]:
    """Append single rows at `RATE`; return the latencies, ms, from when each was due."""
    clock = asyncio.get_running_loop().time
    known, latencies = list(synthetic_rows(1_000, 1)), []

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
