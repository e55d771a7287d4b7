"""Delete rows older than `RETENTION_DAYS`: `cardiowatch retention`, or inside the API.

Whole days (UTC) are deleted, with outcomes, responses and rollups; signed tombstones keep the rest
of the chain verifiable. PostgreSQL drops partitions (db.retention.drop_partitions), SQLite deletes
some hundred predictions per transaction; both delete rollups in batches
(db.retention.delete_rollups).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from time import monotonic

from sqlalchemy import Connection, Engine, delete, select

from db.audit.seal_key import SealKey
from db.audit.sealed_entries import count_unsealed, read_entries
from db.audit.tombstones import add_expired, add_unsealed, require_key
from db.engine import DatabaseUnavailable
from db.ids import lowest_id_at
from db.retention.delete_rollups import delete_rollups
from db.retention.drop_partitions import drop_partitions
from db.rollups.rollup_worker import RunInTransaction, maintenance_lock
from db.schema import DEPENDENT_TABLES, predictions

_EVERY_S = 3600.0

_ROWS = 500
"""Predictions deleted in one transaction, for which the log's next rows wait."""


class AlreadyRunning(DatabaseUnavailable):
    """Another process is rolling up or deleting."""


def delete_expired(
    read: Engine,
    write: RunInTransaction,
    now: datetime,
    days: int,
    key: SealKey | None,
    stopped: Callable[[], bool] = lambda: False,
) -> int:
    """Delete everything before the last `days` days; return the number of deleted predictions.

    Raises
    ------
    DatabaseUnavailable
        The database is missing, silent or not migrated; earlier batches stay deleted.
    AlreadyRunning
        Another process is rolling up or deleting.
    SealError
        The log is sealed and there is no key, or an earlier tombstone was altered.
    """
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    first_kept = midnight - timedelta(days=days)
    with maintenance_lock(read) as allowed:
        if not allowed:
            raise AlreadyRunning(
                "Nothing deleted: another process is rolling up or deleting; retry in a few "
                "minutes."
            )
        if read.dialect.name == "postgresql":
            deleted = drop_partitions(read, first_kept.date(), key, stopped)
        else:
            deleted = delete_rows(write, first_kept, key, stopped)
        delete_rollups(read, write, first_kept, stopped)
    return deleted


def delete_rows(
    write: RunInTransaction, first_kept: datetime, key: SealKey | None, stopped: Callable[[], bool]
) -> int:
    """Delete predictions before a midnight in batches; return how many."""
    deleted, some = 0, _ROWS
    while some == _ROWS and not stopped():
        some = write(partial(_delete_batch, first_kept, key))
        deleted += some
    return deleted


class RetentionTask:
    """Deletes expired rows once an hour, in the API's rollup worker."""

    def __init__(self, days: int, key: SealKey | None) -> None:
        self._days = days
        self._key = key
        self._due = 0.0

    def __call__(self, read: Engine, write: RunInTransaction, stopped: Callable[[], bool]) -> None:
        """Delete expired rows, unless that was done within the last hour."""
        if monotonic() < self._due:
            return
        try:
            with suppress(AlreadyRunning):
                delete_expired(read, write, datetime.now(UTC), self._days, self._key, stopped)
        finally:  # also after an error: the failed attempt cost as much
            self._due = monotonic() + _EVERY_S


def _delete_batch(first_kept: datetime, key: SealKey | None, connection: Connection) -> int:
    require_key(connection, key)
    c = predictions.c
    oldest = select(c.id).where(c.id < lowest_id_at(first_kept)).order_by(c.id).limit(_ROWS)
    ids = connection.scalars(oldest).all()
    add_expired(connection, key, read_entries(connection, lambda id_: id_.in_(ids)))
    add_unsealed(connection, key, count_unsealed(connection, lambda id_: id_.in_(ids)))
    for table in DEPENDENT_TABLES:
        connection.execute(delete(table).where(table.c.prediction_id.in_(ids)))
    connection.execute(delete(predictions).where(c.id.in_(ids)))
    return len(ids)
