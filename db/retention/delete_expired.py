"""Delete what is older than `RETENTION_DAYS`: `python -m db.retention`, or inside the API.

Whole days (UTC) go, with their outcomes and their counts; the signed removals let the rest of the
chain be verified. PostgreSQL drops each day's tables (db.retention.drop_partitions), SQLite deletes
some hundred predictions in a transaction; of the counts some go at a time on both
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
from db.schema import outcomes, predictions

_EVERY_S = 3600.0

_ROWS = 500
"""Predictions deleted in one transaction, for which the log's next rows wait."""


class AlreadyRunning(DatabaseUnavailable):
    """Another process counts or expires just now."""


def delete_expired(
    read: Engine,
    write: RunInTransaction,
    now: datetime,
    days: int,
    key: SealKey | None,
    stopped: Callable[[], bool] = lambda: False,
) -> int:
    """Delete the days before the last `days`, and return how many predictions that were.

    Raises
    ------
    DatabaseUnavailable
        The database is missing, silent or not migrated; what was deleted so far is gone.
    AlreadyRunning
        Another process counts or expires.
    SealError
        The log is sealed and there is no key, or what was written of earlier removals was altered.
    """
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    first_kept = midnight - timedelta(days=days)
    with maintenance_lock(read) as allowed:
        if not allowed:
            raise AlreadyRunning(
                "Nothing is deleted: another process counts or deletes old rows just now; run this "
                "again in some minutes."
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
    """Delete what came before a midnight, row by row; return how many predictions that were."""
    deleted, some = 0, _ROWS
    while some == _ROWS and not stopped():
        some = write(partial(_expire_some, first_kept, key))
        deleted += some
    return deleted


class RetentionTask:
    """Expires once an hour, as a chore of the API's roller."""

    def __init__(self, days: int, key: SealKey | None) -> None:
        self._days = days
        self._key = key
        self._due = 0.0

    def __call__(self, read: Engine, write: RunInTransaction, stopped: Callable[[], bool]) -> None:
        """Delete what is too old, if the last time is long enough ago."""
        if monotonic() < self._due:
            return
        try:
            with suppress(AlreadyRunning):
                delete_expired(read, write, datetime.now(UTC), self._days, self._key, stopped)
        finally:  # also after an error: a day that is kept for now was looked through all the same
            self._due = monotonic() + _EVERY_S


def _expire_some(first_kept: datetime, key: SealKey | None, connection: Connection) -> int:
    require_key(connection, key)
    c = predictions.c
    oldest = select(c.id).where(c.id < lowest_id_at(first_kept)).order_by(c.id).limit(_ROWS)
    ids = connection.scalars(oldest).all()
    add_expired(connection, key, read_entries(connection, lambda id_: id_.in_(ids)))
    add_unsealed(connection, key, count_unsealed(connection, lambda id_: id_.in_(ids)))
    connection.execute(delete(outcomes).where(outcomes.c.prediction_id.in_(ids)))
    connection.execute(delete(predictions).where(c.id.in_(ids)))
    return len(ids)
