"""Drop expired partitions of a PostgreSQL log; writers wait only for a moment.

The slow part, reading a day's entries, runs while others read and write. Nobody changes that day
meanwhile: they fail to get its share lock (`db.partitions.try_share_lock`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from time import monotonic, sleep
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, func, select

from db.audit.seal_key import SealKey
from db.audit.sealed_entries import SealedEntry, count_unsealed, read_entries
from db.audit.tombstones import add_expired, add_unsealed, require_key
from db.engine import DatabaseUnavailable, session
from db.partitions import id_range, lock_for_drop, partition_name, partitions_before, try_lock
from db.schema import PARTITIONED_TABLES, predictions

_WAIT_MS = 100
"""Longest wait for readers, during which everybody else queues behind this transaction."""
_TRIES = 30
_PAUSE_S = 2.0
_AT_ONCE = 100
"""Entries between two pauses: some 4 ms."""


def drop_partitions(
    engine: Engine, first_kept: date, key: SealKey | None, stopped: Callable[[], bool]
) -> int:
    """Drop all partitions before `first_kept`, one transaction per day.

    Parameters
    ----------
    engine
        A reader's, with a timeout of minutes.
    first_kept
        The oldest day to keep.
    key
        Signs the tombstones of a sealed log.
    stopped
        Asked before each day.

    Returns
    -------
    int
        Number of predictions in those partitions.

    Raises
    ------
    DatabaseUnavailable
        A reader holds the log for too long; earlier partitions stay dropped.
    SealError
        The log is sealed and there is no key.
    """
    with session(engine) as connection:
        days = partitions_before(connection, first_kept)
    dropped = 0
    for day in days:
        if stopped():
            break
        with session(engine) as connection:
            connection.exec_driver_sql("SET TRANSACTION READ WRITE")
            dropped += _drop(connection, day, key)
            connection.exec_driver_sql("COMMIT")
    return dropped


def _drop(connection: Connection, day: date, key: SealKey | None) -> int:
    lock_for_drop(connection, day)
    require_key(connection, key)
    first, end = id_range(day)

    def of(id_: ColumnElement[Any]) -> ColumnElement[bool]:
        return (id_ >= first) & (id_ < end)

    add_expired(connection, key, _throttled(read_entries(connection, of)))
    without_seal = count_unsealed(connection, of)
    of_day = select(func.count()).select_from(predictions).where(of(predictions.c.id))
    n = connection.scalar(of_day) or 0
    tables = ", ".join(partition_name(day, table.name) for table in reversed(PARTITIONED_TABLES))
    _lock_exclusively(connection, tables)
    add_unsealed(connection, key, without_seal)
    connection.exec_driver_sql(f"DROP TABLE {tables}")
    return n


def _throttled(found: Iterator[SealedEntry]) -> Iterator[SealedEntry]:
    """Yield entries with pauses as long as the work, to leave the processor to requests."""
    began = monotonic()
    for n, entry in enumerate(found):
        if n % _AT_ONCE == 0:
            sleep(monotonic() - began)
            began = monotonic()
        yield entry


def _lock_exclusively(connection: Connection, tables: str) -> None:
    """Lock the log exclusively; the transaction then ends at once."""
    wholes = ", ".join(f"ONLY {table.name}" for table in PARTITIONED_TABLES)
    lock = f"LOCK TABLE {wholes}, {tables} IN ACCESS EXCLUSIVE MODE"
    for _ in range(_TRIES):
        if try_lock(connection, lock, _WAIT_MS):
            return
        sleep(_PAUSE_S)
    raise DatabaseUnavailable("Old partitions kept for now: a reader holds the log for too long.")
