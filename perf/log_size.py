"""Pages and queries over a log of a given size: `cardiowatch measure log-size`."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from itertools import chain
from statistics import median
from typing import Any

import click
import numpy as np

from db.audit.seal_key import SealKey
from db.engine import open_engine, session
from db.migrate import migrate
from db.reader.queries import Reader
from db.retention.delete_expired import delete_rows
from db.retention.drop_partitions import drop_partitions
from db.rollups.dirty_buckets import FIVE_MINUTES, mark_dirty
from db.rollups.rollup_worker import COUNT_TIMEOUT_S, RollupWorker, transaction_runner
from db.verify import verify_log
from db.writer.writer import LogWriter
from errors import NO
from perf.load.log_history import (
    RATE,
    VERSION,
    append_latencies,
    dashboard_queries,
    roll_up,
    write_history,
)
from perf.load.postgres_cluster import Cluster
from perf.load.scratch import scratch_folder
from perf.load.server_process import ServerFailed
from pipeline.model import load
from pipeline.monitoring.monitoring_run import Window, run
from pipeline.monitoring.schedule import load_expected
from pipeline.training.reference import load_reference
from settings import load_settings

BACKLOG = 2_000
"""Dirty buckets while appends are timed beside the rollup worker."""


def fill(url: str, rows: int, key: SealKey | None) -> Iterator[str]:
    """Write a history and roll it up; yield what that took."""
    migrate(url, lambda _: None)
    with closing(Reader(url)) as reader:
        newest, _ = reader.page(limit=1, source="live")
    if any(row["model_version"] != VERSION for row in newest):
        raise ServerFailed("the database holds real predictions; name another")
    if rows:
        rate = asyncio.run(write_history(url, rows, key))
        yield f"{rows:,} rows written, {rate:,.0f} rows/s, {_megabytes(url):,.0f} MB"
    buckets, seconds = roll_up(url)
    yield f"{buckets:,} buckets rolled up in {seconds:,.0f} s, {_megabytes(url):,.0f} MB"


def _megabytes(url: str) -> float:
    size = "pg_database_size(current_database())"
    if url.startswith("sqlite"):
        size = "page_count * page_size FROM pragma_page_count, pragma_page_size"
    with session(open_engine(url)) as connection:
        return float(connection.exec_driver_sql(f"SELECT {size}").scalar_one()) / 1e6


def read_costs(url: str) -> Iterator[str]:
    """Run each query twice; yield the time of the second and the memory of this process."""
    with closing(Reader(url, timeout_s=COUNT_TIMEOUT_S)) as reader:
        queries = dashboard_queries(reader) | {
            "monitoring run": _monitoring_run(reader),
            "stream of all": lambda: sum(1 for _ in reader.stream()),
        }
        for name, query in queries.items():
            query()
            began = time.perf_counter()
            query()
            elapsed_ms = 1000 * (time.perf_counter() - began)
            peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            yield f"{name}: {elapsed_ms:,.0f} ms, peak memory so far {peak_mb:.0f} MB"


def _monitoring_run(reader: Reader) -> Callable[[], object]:
    folder = load_settings().model_dir
    model = load(folder)
    reference, expected = load_reference(folder, model), load_expected(folder)
    until = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
    window = Window("live", until - timedelta(days=29), until)
    return lambda: run(reader, window, model, reference, expected)


def query_forever(url: str) -> None:
    """Run the dashboard's queries without pause."""
    reader = Reader(url)
    while True:
        for query in dashboard_queries(reader).values():
            query()


async def append_under_load(
    url: str, key: SealKey | None, seconds: float, rounds: int
) -> Iterator[str]:
    """Time appends alone, beside the queries and beside the rollup worker; return lines."""
    log = LogWriter(url, key=key)
    await log.start()
    await append_latencies(log, 2)
    p99: dict[str, list[float]] = {"alone": [], "the dashboard": [], "the rollup worker": []}
    for _ in range(rounds):
        p99["alone"].append(_p99(await append_latencies(log, seconds)))
        asking = multiprocessing.get_context("spawn").Process(target=query_forever, args=(url,))
        asking.start()
        await asyncio.sleep(2)
        p99["the dashboard"].append(_p99(await append_latencies(log, seconds)))
        asking.kill()
        asking.join()
        await log.execute(_mark_backlog)
        roller = RollupWorker(log.execute, url, every_s=0.01)
        roller.start()
        p99["the rollup worker"].append(_p99(await append_latencies(log, seconds)))
        await roller.stop()
    await log.stop()
    return (
        f"{RATE:,} appends/s, {name}: p99 {median(found):.1f} ms "
        f"({', '.join(f'{value:.1f}' for value in found)})"
        for name, found in p99.items()
    )


def _mark_backlog(connection: Any) -> None:
    newest = int(time.time() - 86_400) // FIVE_MINUTES * FIVE_MINUTES
    mark_dirty(connection, FIVE_MINUTES, [newest - FIVE_MINUTES * i for i in range(BACKLOG)])


def _p99(latencies: list[float]) -> float:
    return float(np.percentile(latencies, 99))


def drop_day(url: str, key: SealKey) -> int:
    """Drop the partition of the oldest day; return its number of rows."""
    engine = open_engine(url, timeout_s=COUNT_TIMEOUT_S)
    return drop_partitions(engine, _second_midnight(url).date(), key, lambda: False)


def delete_day(url: str, key: SealKey) -> int:
    """Delete the oldest day row by row; return its number of rows."""
    write = transaction_runner(open_engine(url, timeout_s=COUNT_TIMEOUT_S))
    return delete_rows(write, _second_midnight(url), key, lambda: False)


def _second_midnight(url: str) -> datetime:
    with closing(Reader(url)) as reader:
        oldest = reader.first_received_at("live")
    assert oldest is not None  # noqa: S101 - the history has thirty days
    return oldest.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def removal_cost(url: str, key: SealKey, name: str, remove: Callable[[str, SealKey], int]) -> str:
    """Remove a day alone for the time, and the next one during appends."""
    began = time.perf_counter()
    rows = remove(url, key)
    seconds = time.perf_counter() - began
    longest_ms = asyncio.run(_longest_append_during(url, key, lambda: remove(url, key)))
    return (
        f"a day {name}: {rows:,} rows in {seconds:.2f} s, {1e6 * seconds / rows:.1f} us per row; "
        f"longest of {RATE:,} appends/s meanwhile {longest_ms:.0f} ms"
    )


async def _longest_append_during(url: str, key: SealKey, work: Callable[[], int]) -> float:
    log, latencies = LogWriter(url, key=key), []
    await log.start()
    working = asyncio.create_task(asyncio.to_thread(work))
    while not working.done():
        latencies += await append_latencies(log, 1)
    await working
    await log.stop()
    return max(latencies)


@click.command("log-size")
@click.option(
    "--rows", default=1_000_000, show_default=True, help="Rows to write; 0 = use the log as it is."
)
@click.option("--database", help="URL of a database to fill and keep.")
@click.option("--postgresql", is_flag=True, help="Use a PostgreSQL server of its own.")
@click.option("--seconds", default=15.0, show_default=True, help="Per timing of appends.")
@click.option("--rounds", default=3, show_default=True, help="Number of timings.")
def command(rows: int, database: str | None, postgresql: bool, seconds: float, rounds: int) -> int:
    """Time pages, queries and appends over a large log.

    Writes a history of 30 days through the log's own writer, rolls it up and prints what reading
    costs (the dashboard's queries, a monitoring run, streaming it all); what readers and the rollup
    worker cost single appends at a fixed rate; and what removing a day costs, by dropping its
    partition and by deleting its rows. Exits with 1 if the log does not verify afterwards.

    The log is sealed and on a scratch database. One that is named with --database is filled without
    a key, stays, and loses no day.
    """
    if database and postgresql:
        raise click.UsageError("name a database or ask for a server, not both")
    key = None if database else SealKey(secrets.token_bytes(32))
    with ExitStack() as stack:
        if postgresql:
            cluster = stack.enter_context(Cluster())
            url = cluster.url(cluster.new_database())
        else:
            url = database or f"sqlite:///{stack.enter_context(scratch_folder())}/log.db"
        for line in chain(fill(url, rows, key), read_costs(url)):
            print(line, flush=True)
        for line in asyncio.run(append_under_load(url, key, seconds, rounds)):
            print(line)
        print(f"load average {', '.join(f'{load:.1f}' for load in os.getloadavg())}", flush=True)
        if key is None:
            return 0
        if postgresql:
            print(removal_cost(url, key, "dropped", drop_day), flush=True)
        print(removal_cost(url, key, "deleted", delete_day), flush=True)
        left = verify_log(url, key)
    print(
        f"{left.counts['predictions']:,} rows are left, {left.counts['expired']:,} expired, "
        f"{len(left.findings)} findings of `cardiowatch verify`"
    )
    return NO if left.findings else 0
