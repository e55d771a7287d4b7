"""Drop the days of a PostgreSQL log that are not kept any more; whoever writes waits a moment.

What costs time, to look through a day's entries, is done while others read and write. Nobody
changes that day meanwhile: `db.partitions.try_share_lock` tells them that it leaves.
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
from db.schema import predictions

_WAIT_MS = 100
"""So long everybody waits behind us, at most, while we wait for those who are reading."""
_TRIES = 30
_PAUSE_S = 2.0
_AT_ONCE = 100
"""Entries between two rests: some 4 ms."""


def drop_partitions(
    engine: Engine, first_kept: date, key: SealKey | None, stopped: Callable[[], bool]
) -> int:
    """Drop all days before `first_kept`, each with its outcomes, in a transaction of its own.

    Parameters
    ----------
    engine
        A reader's; its answers may take minutes.
    first_kept
        The oldest day that stays.
    key
        Signs what remains of a sealed log.
    stopped
        Asked before each day.

    Returns
    -------
    int
        How many predictions those days had.

    Raises
    ------
    DatabaseUnavailable
        Somebody reads the log for too long; the days that are dropped so far are gone.
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
            connection.exec_driver_sql("BEGIN READ WRITE")
            dropped += _drop(connection, day, key)
            connection.exec_driver_sql("COMMIT")
    return dropped


def _drop(connection: Connection, day: date, key: SealKey | None) -> int:
    lock_for_drop(connection, day)
    require_key(connection, key)
    first, end = id_range(day)

    def of(id_: ColumnElement[Any]) -> ColumnElement[bool]:
        return (id_ >= first) & (id_ < end)

    add_expired(connection, key, _gently(read_entries(connection, of)))
    without_seal = count_unsealed(connection, of)
    of_day = select(func.count()).select_from(predictions).where(of(predictions.c.id))
    n = connection.scalar(of_day) or 0
    tables = f"{partition_name(day, 'outcomes')}, {partition_name(day)}"
    _stop_everybody(connection, tables)
    add_unsealed(connection, key, without_seal)
    connection.exec_driver_sql(f"DROP TABLE {tables}")
    return n


def _gently(found: Iterator[SealedEntry]) -> Iterator[SealedEntry]:
    """Leave the processor to the requests for as long as was taken from them, time and again."""
    began = monotonic()
    for n, entry in enumerate(found):
        if n % _AT_ONCE == 0:
            sleep(monotonic() - began)
            began = monotonic()
        yield entry


def _stop_everybody(connection: Connection, tables: str) -> None:
    """Have the log for this transaction alone, which ends at once then."""
    lock = f"LOCK TABLE ONLY predictions, ONLY outcomes, {tables} IN ACCESS EXCLUSIVE MODE"
    for _ in range(_TRIES):
        if try_lock(connection, lock, _WAIT_MS):
            return
        sleep(_PAUSE_S)
    raise DatabaseUnavailable("Old days are kept for now: somebody reads the log for too long.")
