"""Retention on PostgreSQL: dropping daily partitions compared with deleting row by row.

`python -m perf.days` fills a sealed log with 30 days on its own PostgreSQL (fsync on). It runs the
dashboard's queries, and again with empty partitions for the rest of a year; drops days, and deletes
one as SQLite must, alone and during appends at a fixed rate; and verifies the rest. It prints
Markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import numpy as np

from db.audit.seal_key import SealKey
from db.engine import DatabaseUnavailable, open_engine, session, transaction
from db.migrate import migrate
from db.partitions import create_partitions, partitions_before
from db.reader.queries import Reader
from db.retention.delete_expired import delete_rows
from db.retention.drop_partitions import drop_partitions
from db.rollups.rollup_worker import COUNT_TIMEOUT_S, transaction_runner
from db.verify import verify_log
from db.writer.writer import LogUnavailable, LogWriter
from perf.chaos.postgres_cluster import Cluster, PostgresNotFound
from perf.load.log_history import RATE, append_latencies, dashboard_queries, roll_up, write_history

_DAYS_DROPPED = 5
_REPEATS = 5

Work = Callable[[], int]


class DeletionCost(NamedTuple):
    """The cost of removing days in one way, alone and during appends."""

    name: str
    rows: int
    seconds: float
    wal_bytes: int
    longest_ms: float
    """Longest append meanwhile."""


class Retention:
    """Removes the days of one log, the oldest first."""

    def __init__(self, cluster: Cluster, database: str, key: SealKey) -> None:
        self.url = cluster.url(database)
        self._cluster, self._database = cluster, database
        self._key = key
        self._engine = open_engine(self.url, timeout_s=COUNT_TIMEOUT_S)

    def drop(self, days: int) -> Callable[[], int]:
        """Return a function that drops the oldest days."""
        end = self._first_kept(days)
        return lambda: drop_partitions(self._engine, end, self._key, lambda: False)

    def delete(self, days: int) -> Callable[[], int]:
        """Return a function that deletes the oldest days row by row."""
        end = self._first_kept(days)
        midnight = datetime(end.year, end.month, end.day, tzinfo=UTC)
        write = transaction_runner(self._engine)
        return lambda: delete_rows(write, midnight, self._key, lambda: False)

    def _first_kept(self, days: int) -> date:
        with session(self._engine) as connection:
            return partitions_before(connection, date.max)[days]

    def measure_deletion(self, name: str, work: Callable[[int], Work], days: int) -> DeletionCost:
        """Run it alone for time and bytes, and again during appends."""
        alone, wal, began = work(days), self._wal(), time.perf_counter()
        rows = alone()
        seconds, wal = time.perf_counter() - began, self._wal() - wal
        self._drop_empty()
        longest = max(asyncio.run(self._append_beside(work(days))))
        self._drop_empty()
        return DeletionCost(name, rows, seconds, wal, longest)

    def _drop_empty(self) -> None:
        """Drop the partitions that deletion left empty, before the next measurement."""
        with session(self._engine) as connection:
            days = partitions_before(connection, date.max)
            oldest = connection.exec_driver_sql("SELECT min(received_at) FROM predictions").scalar()
        if oldest is not None and days[0] < oldest.date():
            drop_partitions(self._engine, oldest.date(), self._key, lambda: False)

    def _wal(self) -> int:
        query = "SELECT pg_current_wal_lsn() - '0/0'"
        return int(self._cluster.query(self._database, query))

    def baseline_longest_ms(self) -> float:
        """Return the longest append with nothing else running, ms."""

        def nothing() -> int:
            time.sleep(5)
            return 0

        return max(asyncio.run(self._append_beside(nothing)))

    async def _append_beside(self, work: Work) -> list[float]:
        log = LogWriter(self.url, key=self._key)
        await log.start()
        working, latencies = asyncio.create_task(asyncio.to_thread(work)), []
        while not working.done():
            latencies += await append_latencies(log, 1)
        await working
        await log.stop()
        return latencies


def query_times(url: str) -> dict[str, float]:
    """Run the dashboard's queries; return the median ms of each."""
    reader = Reader(url, timeout_s=COUNT_TIMEOUT_S)
    newest = reader.page(limit=1)[0][0]["id"]
    queries = dashboard_queries(reader) | {
        "one prediction": lambda: reader.get(newest),
        "one patient": lambda: reader.page(patient=b"nobody"),
    }
    found = {
        name: float(np.median([_ms(query) for _ in range(_REPEATS)]))
        for name, query in queries.items()
    }
    reader.close()
    return found


def _ms(query: Callable[[], object]) -> float:
    began = time.perf_counter()
    query()
    return 1000 * (time.perf_counter() - began)


def measure(cluster: Cluster, rows: int, more: int, key: SealKey) -> list[str]:
    """Measure everything; return lines of Markdown."""
    database = cluster.new_database()
    log = Retention(cluster, database, key)
    migrate(log.url, lambda _: None)
    rate = asyncio.run(write_history(log.url, rows, key))
    roll_up(log.url)
    size = cluster.query(database, "SELECT pg_size_pretty(pg_database_size(current_database()))")
    month = query_times(log.url)
    with transaction(open_engine(log.url)) as connection:
        oldest, began = partitions_before(connection, date.max)[0], time.perf_counter()
        create_partitions(connection, [oldest - timedelta(days=n) for n in range(1, more + 1)])
    made_ms = 1000 * (time.perf_counter() - began) / more
    year = query_times(log.url)
    drop_partitions(open_engine(log.url, timeout_s=COUNT_TIMEOUT_S), oldest, key, lambda: False)
    costs = [
        log.measure_deletion("dropped", log.drop, _DAYS_DROPPED),
        log.measure_deletion("deleted", log.delete, 1),
    ]
    alone_ms = log.baseline_longest_ms()
    left = verify_log(log.url, key)
    return [
        f"{rows:,} rows written, sealed, {rate:,.0f} per second, {size}; "
        f"a partition is created in {made_ms:.1f} ms",
        "",
        f"| query | 30 days, ms | {more} more, ms |",
        "| --- | ---: | ---: |",
        *(f"| {name} | {ms:.1f} | {year[name]:.1f} |" for name, ms in month.items()),
        "",
        f"| days | rows | s | us per row | WAL bytes per row | longest of {RATE:,} appends/s, ms |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        *(
            f"| {t.name} | {t.rows:,} | {t.seconds:.2f} | {1e6 * t.seconds / t.rows:.2f} "
            f"| {t.wal_bytes / t.rows:.2f} | {t.longest_ms:.0f} |"
            for t in costs
        ),
        f"| none | | | | | {alone_ms:.0f} |",
        "",
        f"{left.counts['predictions']:,} rows are left, {left.counts['expired']:,} expired, "
        f"{len(left.findings)} findings of db.verify",
    ]


def main() -> int:
    """Measure on a scratch cluster; return the exit code, 1 if the rest does not verify."""
    parser = argparse.ArgumentParser(prog="python -m perf.days", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="to write, over 30 days")
    parser.add_argument("--more", type=int, default=335, help="empty partitions before these")
    options = parser.parse_args()
    try:
        with Cluster() as cluster:
            lines = measure(cluster, options.rows, options.more, SealKey(secrets.token_bytes(32)))
    except (PostgresNotFound, DatabaseUnavailable, LogUnavailable) as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(lines))
    return 0 if lines[-1].endswith(" 0 findings of db.verify") else 1


if __name__ == "__main__":
    sys.exit(main())
