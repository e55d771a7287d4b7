"""Roll up closed buckets of time, inside the API.

A run counts the dirty five-minute buckets from the predictions, then sums the hours and days that
they belong to. Each bucket is one short transaction that removes its mark: two runs at once, or a
killed one, leave nothing half done and nothing counted twice.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, delete, func, select, text

from db.engine import open_engine, session, transaction
from db.rollups.counts import CountKey, count_rows, in_window, rollups_in
from db.rollups.dirty_buckets import DAY, FIVE_MINUTES, HOUR, ROLLUP_DELAY_S, WIDTHS, mark_dirty
from db.schema import dirty_buckets, rollups

logger = logging.getLogger("cardiowatch.rollup")

COUNT_TIMEOUT_S = 300.0
"""Longest wait for the counts of one bucket."""

_WRITERS_S = 5.0
"""Longest wait for transactions in progress; the next run tries again."""

_PAUSE_S = 0.02
"""Pause before each write inside the API: a backlog of thousands of buckets is not urgent."""

_REST = 2.0
"""Rest of a program after a transaction on SQLite, in times of what that took."""

_ADVISORY_LOCK = 0x726F6C6C  # "roll"; unique to this program
_NARROWER = {HOUR: FIVE_MINUTES, DAY: HOUR}
_WIDER = {FIVE_MINUTES: HOUR, HOUR: DAY}

RunInTransaction = Callable[[Callable[[Connection], Any]], Any]
"""Runs work in a write transaction, commits it, and returns its result."""

Execute = Callable[[Callable[[Connection], Any]], Coroutine[Any, Any, Any]]
"""`LogWriter.execute`: the same, inside its event loop."""

MaintenanceTask = Callable[[Engine, RunInTransaction, Callable[[], bool]], object]
"""Reads and writes in small steps until it is done or stopped."""


def update_rollups(
    read: Engine,
    write: RunInTransaction,
    now: datetime,
    stopped: Callable[[], bool] = lambda: False,
) -> int:
    """Roll up closed buckets, newest first, and return how many.

    Raises
    ------
    DatabaseUnavailable
        The database is missing, silent or not migrated; what was rolled so far stays.
    """
    rolled = 0
    with maintenance_lock(read) as allowed:
        for width in WIDTHS if allowed else ():
            closed = _closed(read, width, now)
            if not (closed and _writers_are_done(read, write)):
                continue
            for bucket, seen in closed:
                if stopped():
                    return rolled
                with session(read) as connection:
                    counted = _count(connection, width, bucket)
                # Outside the transaction, for whose end the log's next rows wait.
                rows = [
                    (width, key.feature, bucket, key.source, key.model_version, key.value, count)
                    for key, count in sorted(counted.items())
                ]
                rolled += write(partial(_replace, width, bucket, seen, rows))
    return rolled


def _closed(read: Engine, width: int, now: datetime) -> list[tuple[int, str]]:
    """Return the dirty buckets, with their marks, that get no more rows on time."""
    c = dirty_buckets.c
    end = now.timestamp() - ROLLUP_DELAY_S - width
    wanted = select(c.bucket, c.mark).where(c.width_s == width, c.bucket <= end)
    with session(read) as connection:
        return [
            (bucket, seen) for bucket, seen in connection.execute(wanted.order_by(c.bucket.desc()))
        ]


def _count(connection: Connection, width: int, bucket: int) -> Counter[CountKey]:
    if width == FIVE_MINUTES:
        return count_rows(connection, *in_window(bucket * 1000, (bucket + width) * 1000))
    c = rollups.c
    keys = c.feature, c.source, c.model_version, c.value
    inside = rollups_in(_NARROWER[width], bucket, bucket + width)
    sums = connection.execute(select(*keys, func.sum(c.count)).where(*inside).group_by(*keys))
    return Counter({CountKey(*key): int(count) for *key, count in sums})


def _replace(
    width: int, bucket: int, seen: str, rows: Sequence[tuple[Any, ...]], connection: Connection
) -> bool:
    """Store a bucket's counts, unless more rows have come or another run was faster."""
    c = dirty_buckets.c
    this_mark = c.width_s == width, c.bucket == bucket, c.mark == seen
    if not connection.execute(delete(dirty_buckets).where(*this_mark)).rowcount:
        return False
    connection.execute(delete(rollups).where(*rollups_in(width, bucket, bucket + 1)))
    if rows:
        insert_counts(connection, rows)
    if width in _WIDER:
        mark_dirty(connection, _WIDER[width], [bucket // _WIDER[width] * _WIDER[width]])
    return True


def insert_counts(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows of the rollups, their values in the order of its columns."""
    into = f"rollups ({', '.join(rollups.columns.keys())})"
    if connection.dialect.name == "sqlite":
        values = ", ".join("?" * len(rollups.columns))
        connection.exec_driver_sql(f"INSERT INTO {into} VALUES ({values})", rows)  # noqa: S608
        return
    with connection.connection.cursor().copy(f"COPY {into} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


@contextmanager
def maintenance_lock(read: Engine) -> Iterator[bool]:
    """Yield whether no other run is active on PostgreSQL: both would count the same buckets.

    The lock is that of the session's transaction, which reads nothing.
    """
    if read.dialect.name == "sqlite":
        yield True  # one process writes, and a second run does no harm
        return
    lock = {"number": _ADVISORY_LOCK}
    with session(read) as connection:
        yield bool(connection.scalar(text("SELECT pg_try_advisory_xact_lock(:number)"), lock))


def _writers_are_done(read: Engine, write: RunInTransaction) -> bool:
    """Wait for transactions that may have found a closed bucket open; return False on timeout.

    SQLite has one writer at a time, so a write has waited for all others. On PostgreSQL every
    transaction below `pg_snapshot_xmin` has ended and is visible if committed.

    Source: PostgreSQL manual, "Transaction ID and Snapshot Information Functions".
    """
    if read.dialect.name == "sqlite":
        write(lambda _: None)
        return True
    newest = text("SELECT pg_current_xact_id()::text::bigint")  # a new one, above all others
    oldest = text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
    deadline = time.monotonic() + _WRITERS_S
    with session(read) as connection:
        begun = connection.scalar(newest)
        while connection.scalar(oldest) < begun:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
    return True


class RollupWorker:
    """Rolls up periodically, in a thread of the process that writes the log.

    It reads on its own connection and writes through the log writer, between two batches: on SQLite
    a second writer would wait for the lock, and the log for it.

    Parameters
    ----------
    execute
        `LogWriter.execute`; the writer is running when `start` is called.
    url
        Of the log's database.
    every_s
        Pause between two runs.
    then
        Further maintenance after each run, with the same connections.
    """

    def __init__(
        self,
        execute: Execute,
        url: str,
        *,
        every_s: float = 30.0,
        then: MaintenanceTask | None = None,
    ) -> None:
        self._execute = execute
        self._also = then
        self._read = open_engine(url, read_only=True, timeout_s=COUNT_TIMEOUT_S)
        self._every_s = every_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rollup", daemon=True)

    def start(self) -> None:
        """Start, in the event loop of the writer."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def stop(self) -> None:
        """Stop after the bucket being counted, or in two seconds."""
        self._stopped.set()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, 2.0)
        self._read.dispose()

    def _run(self) -> None:
        while not self._stopped.wait(self._every_s):
            try:
                update_rollups(self._read, self._write, datetime.now(UTC), self._stopped.is_set)
                if self._also is not None:
                    self._also(self._read, self._write, self._stopped.is_set)
            except Exception as cause:  # the next run continues where this one ended
                if not self._stopped.is_set():
                    logger.warning("rollup or retention failed: %s", cause)

    def _write(self, work: Callable[[Connection], Any]) -> Any:
        self._stopped.wait(_PAUSE_S)
        writing = asyncio.run_coroutine_threadsafe(self._execute(work), self._loop)
        return writing.result(COUNT_TIMEOUT_S)


def transaction_runner(engine: Engine) -> RunInTransaction:
    """Return a function that writes without a `LogWriter`, for programs.

    On SQLite it rests after each transaction for twice as long: a writer that waits for the lock
    looks for it now and then, and a service beside the program would not find it free in time.
    """

    def write(work: Callable[[Connection], Any]) -> Any:
        began = time.monotonic()
        with transaction(engine) as connection:
            done = work(connection)
        if engine.dialect.name == "sqlite":
            time.sleep(_REST * (time.monotonic() - began))
        return done

    return write
