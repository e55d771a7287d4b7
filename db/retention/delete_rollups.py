"""Delete the rollups of expired days: on a quiet ward they reveal a single patient's findings.

A few per transaction, because the log's next rows wait for it and its statements time out after
two seconds. The primary key serves only one width and feature at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Engine, Select, Table, delete, func, select

from db.engine import session
from db.rollups.dirty_buckets import WIDTHS
from db.rollups.rollup_worker import RunInTransaction
from db.schema import dirty_buckets, rollups

_ROWS = 1_000
"""Deleted per transaction, plus the rest of the last bucket: some milliseconds."""


class _Series(NamedTuple):
    """Rows of one table that its key sorts by bucket."""

    table: Table
    of: tuple[ColumnElement[bool], ...]


def delete_rollups(
    read: Engine, write: RunInTransaction, first_kept: datetime, stopped: Callable[[], bool]
) -> None:
    """Delete the rollups before a midnight, the oldest of each series first.

    Raises
    ------
    DatabaseUnavailable
        The database is missing, silent or not migrated; earlier batches stay deleted.
    """
    for series in _all_series(read):
        bucket = series.table.c.bucket
        old = (*series.of, bucket < int(first_kept.timestamp()))
        wanted = select(bucket).where(*old).order_by(bucket).limit(_ROWS)
        found = _query(read, wanted)
        while found and not stopped():
            write(partial(_delete, series, found[0], found[-1]))
            found = _query(read, wanted.where(bucket > found[-1]))  # skips what was just deleted


def _all_series(read: Engine) -> Iterator[_Series]:
    for width in WIDTHS:
        yield _Series(dirty_buckets, (dirty_buckets.c.width_s == width,))
        for feature in _features(read, width):
            of = (rollups.c.width_s == width, rollups.c.feature == feature)
            yield _Series(rollups, of)


def _features(read: Engine, width: int) -> Iterator[str]:
    """Yield the counted features, also those of earlier versions, by one look-up each."""
    c = rollups.c
    wanted, found = select(func.min(c.feature)).where(c.width_s == width), ""
    while (found := _query(read, wanted.where(c.feature > found))[0]) is not None:
        yield found


def _delete(series: _Series, first: int, last: int, connection: Connection) -> None:
    bucket = series.table.c.bucket
    connection.execute(delete(series.table).where(*series.of, bucket.between(first, last)))


def _query(read: Engine, question: Select[Any]) -> Sequence[Any]:
    """Query on a reader's connection, which blocks nobody."""
    with session(read) as connection:
        return connection.scalars(question).all()
