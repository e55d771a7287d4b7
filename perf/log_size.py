"""Pages and queries over a log of a given size: `cardiowatch measure log-size`."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from typing import Any

import click

from db.engine import open_engine, session
from db.ids import new_id
from db.migrate import migrate
from db.reader.queries import Reader
from db.rollups.rollup_worker import COUNT_TIMEOUT_S, transaction_runner, update_rollups
from db.writer.writer import LogWriter
from perf.load.postgres_cluster import Cluster
from perf.load.request_bodies import synthetic_rows
from perf.load.scratch import scratch_folder
from perf.load.server_process import ServerFailed
from pipeline.model import load
from pipeline.monitoring.monitoring_run import Window, run
from pipeline.monitoring.schedule import load_expected
from pipeline.training.reference import load_reference
from settings import load_settings

DAYS = 30
CALL_ROWS = 1_000
SEEDS = (0, 1, 1_794_355_200)
"""Of samples, whose rows and so the plans of their queries differ; the last is an end of a day."""

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
        answer = (p, int(p >= 0.5), 0.5, VERSION, 1 + chance.random(), None, None, None)
        yield (new_id(ms), who, *known[i % len(known)], *answer)


async def write_history(url: str, number: int) -> float:
    """Write a history; return rows per second."""
    log = LogWriter(url, timeout_s=60)
    await log.start()
    await log.register_model(VERSION, SCORECARD)
    began, rows = time.perf_counter(), history_rows(number)
    while call := list(islice(rows, CALL_ROWS)):
        await log.append(call)
    await log.stop()
    return number / (time.perf_counter() - began)


def fill(url: str, rows: int) -> Iterator[str]:
    """Write a history and roll it up; yield what that took."""
    migrate(url, lambda _: None)
    with closing(Reader(url)) as reader:
        newest, _ = reader.page(limit=1, source="live")
    if any(row["model_version"] != VERSION for row in newest):
        raise ServerFailed("the database holds real predictions; name another")
    if rows:
        rate = asyncio.run(write_history(url, rows))
        yield f"{rows:,} rows written, {rate:,.0f} rows/s, {_megabytes(url):,.0f} MB"
    reading = open_engine(url, read_only=True, timeout_s=COUNT_TIMEOUT_S)
    began = time.perf_counter()
    buckets = update_rollups(reading, transaction_runner(open_engine(url)), datetime.now(UTC))
    seconds = time.perf_counter() - began
    reading.dispose()
    yield f"{buckets:,} buckets rolled up in {seconds:,.0f} s, {_megabytes(url):,.0f} MB"


def _megabytes(url: str) -> float:
    size = "pg_database_size(current_database())"
    if url.startswith("sqlite"):
        size = "page_count * page_size FROM pragma_page_count, pragma_page_size"
    with session(open_engine(url)) as connection:
        return float(connection.exec_driver_sql(f"SELECT {size}").scalar_one()) / 1e6


def queries(reader: Reader) -> dict[str, Callable[[], object]]:
    """Return the queries of the pages, a monitoring run and an export, by name."""
    now = datetime.now(UTC)
    hour = now.replace(minute=0, second=0, microsecond=0)
    midnight = hour.replace(hour=0)
    day, month = timedelta(days=1), timedelta(days=DAYS)
    return {
        "48 steps of a day": lambda: reader.history(
            since=hour - day, until=hour, width_s=1800, source="live"
        ),
        "30 steps of 30 days": lambda: reader.history(
            since=midnight - month, until=midnight, width_s=86_400, source="live"
        ),
        "newest page": lambda: reader.page(limit=20, source="live"),
        "counts of 30 days": lambda: reader.counts(since=hour - month, source="live"),
        "counts of 30 days, not on a border": lambda: reader.counts(since=now - month),
        "counts of all": lambda: reader.counts(source="live"),
        "sources": reader.sources,
        "monitoring run": _monitoring_run(reader),
        "stream of all": lambda: sum(1 for _ in reader.stream()),
        **{f"sample of 20 days, seed {seed}": _sample(reader, hour, seed) for seed in SEEDS},
    }


def _sample(reader: Reader, until: datetime, seed: int) -> Callable[[], object]:
    since, source = until - timedelta(days=20), "live"
    n = reader.counts(since=since, until=until, source=source).n
    return lambda: reader.sample(since=since, until=until, source=source, n=n, seed=seed)


def _monitoring_run(reader: Reader) -> Callable[[], object]:
    folder = load_settings().model_dir
    model = load(folder)
    reference, expected = load_reference(folder, model), load_expected(folder)
    until = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
    window = Window("live", until - timedelta(days=29), until)
    return lambda: run(reader, window, model, reference, expected)


def read_costs(url: str) -> Iterator[str]:
    """Run each query twice; yield the time of the second and the memory of this process."""
    with closing(Reader(url, timeout_s=COUNT_TIMEOUT_S)) as reader:
        for name, query in queries(reader).items():
            query()
            began = time.perf_counter()
            query()
            elapsed_ms = 1000 * (time.perf_counter() - began)
            peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            yield f"{name}: {elapsed_ms:,.0f} ms, peak memory so far {peak_mb:.0f} MB"


@click.command("log-size")
@click.option(
    "--rows", default=1_000_000, show_default=True, help="Rows to write; 0 = use the log as it is."
)
@click.option("--database", help="URL of a database to fill and keep.")
@click.option("--postgresql", is_flag=True, help="Use a PostgreSQL server of its own.")
def command(rows: int, database: str | None, postgresql: bool) -> None:
    """Time pages and queries over a large log.

    Writes a history of 30 days through the log's own writer, rolls it up and prints what reading
    costs: the dashboard's queries, a monitoring run, streaming it all. The log is a scratch
    database, unless one is named with --database.
    """
    if database and postgresql:
        raise click.UsageError("name a database or ask for a server, not both")
    with ExitStack() as stack:
        if postgresql:
            cluster = stack.enter_context(Cluster())
            url = cluster.url(cluster.new_database())
        else:
            url = database or f"sqlite:///{stack.enter_context(scratch_folder())}/log.db"
        for line in chain(fill(url, rows), read_costs(url)):
            print(line, flush=True)
    print(f"load average {', '.join(f'{load:.1f}' for load in os.getloadavg())}")
