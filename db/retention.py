"""Delete what is older than `RETENTION_DAYS`: `python -m db.retention`, or inside the API.

Whole days (UTC) go, with their outcomes and their counts; the signed removals let the rest of the
chain be verified. PostgreSQL drops each day's tables (db.expired_days), SQLite deletes some
hundred predictions in a transaction; of the counts some go at a time on both (db.expired_counts).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from time import monotonic

from sqlalchemy import Connection, Engine, delete, select

from db.chain import check_key
from db.engine import DatabaseUnavailable, check_revision, connect
from db.entries import count_unsealed, entries
from db.expired_counts import forget_counts
from db.expired_days import drop_days
from db.ids import first_id_at
from db.removals import leave_expired, leave_unsealed, require_key
from db.rollup import COUNT_S, Write, alone, in_own_transactions
from db.seals import SealError, SealKey, key_for
from db.tables import outcomes, predictions
from settings import SettingsError, load_settings

_EVERY_S = 3600.0

_ROWS = 500
"""Predictions deleted in one transaction, for which the log's next rows wait."""


class AnotherPass(DatabaseUnavailable):
    """Another process counts or expires just now."""


def expire(
    read: Engine,
    write: Write,
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
    AnotherPass
        Another process counts or expires.
    SealError
        The log is sealed and there is no key, or what was written of earlier removals was altered.
    """
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    first_kept = midnight - timedelta(days=days)
    with alone(read) as allowed:
        if not allowed:
            raise AnotherPass(
                "Nothing is deleted: another process counts or deletes old rows just now; run this "
                "again in some minutes."
            )
        if read.dialect.name == "postgresql":
            deleted = drop_days(read, first_kept.date(), key, stopped)
        else:
            deleted = delete_days(write, first_kept, key, stopped)
        forget_counts(read, write, first_kept, stopped)
    return deleted


def delete_days(
    write: Write, first_kept: datetime, key: SealKey | None, stopped: Callable[[], bool]
) -> int:
    """Delete what came before a midnight, row by row; return how many predictions that were."""
    deleted, some = 0, _ROWS
    while some == _ROWS and not stopped():
        some = write(partial(_expire_some, first_kept, key))
        deleted += some
    return deleted


class Expiry:
    """Expires once an hour, as a chore of the API's roller."""

    def __init__(self, days: int, key: SealKey | None) -> None:
        self._days = days
        self._key = key
        self._due = 0.0

    def __call__(self, read: Engine, write: Write, stopped: Callable[[], bool]) -> None:
        """Delete what is too old, if the last time is long enough ago."""
        if monotonic() < self._due:
            return
        try:
            with suppress(AnotherPass):
                expire(read, write, datetime.now(UTC), self._days, self._key, stopped)
        finally:  # also after an error: a day that is kept for now was looked through all the same
            self._due = monotonic() + _EVERY_S


def _expire_some(first_kept: datetime, key: SealKey | None, connection: Connection) -> int:
    require_key(connection, key)
    c = predictions.c
    oldest = select(c.id).where(c.id < first_id_at(first_kept)).order_by(c.id).limit(_ROWS)
    ids = connection.scalars(oldest).all()
    leave_expired(connection, key, entries(connection, lambda id_: id_.in_(ids)))
    leave_unsealed(connection, key, count_unsealed(connection, lambda id_: id_.in_(ids)))
    connection.execute(delete(outcomes).where(outcomes.c.prediction_id.in_(ids)))
    connection.execute(delete(predictions).where(c.id.in_(ids)))
    return len(ids)


def main(argv: Sequence[str] | None = None) -> int:
    """Delete what the settings no longer keep; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m db.retention", description=__doc__)
    parser.parse_args(argv)
    try:
        settings = load_settings()
        if settings.retention_days is None:
            raise SettingsError("Nothing is deleted: CARDIOWATCH_RETENTION_DAYS is not set.")
        url = settings.database_url
        key = key_for(url, settings.log_hmac_key_file)
        engine = connect(url)
        check_revision(engine)
        check_key(engine, key)
        read = connect(url, read_only=True, answer_s=COUNT_S)
        now, write = datetime.now(UTC), in_own_transactions(engine)
        deleted = expire(read, write, now, settings.retention_days, key)
    except (DatabaseUnavailable, SettingsError, SealError) as error:
        print(error, file=sys.stderr)
        return 1
    read.dispose()
    print(f"Deleted predictions of more than {settings.retention_days} days ago: {deleted:,}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
