"""Delete the counts of days that are not kept any more: of a quiet ward they are one's findings.

A few go in each transaction, because the log's next rows wait for it and its statements have two
seconds. Their key serves only one width and feature at a time.
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
"""Deleted in one transaction, besides what else their last bucket has: some milliseconds."""


class _Series(NamedTuple):
    """Rows of one table that stand in the order of their buckets."""

    table: Table
    of: tuple[ColumnElement[bool], ...]


def delete_rollups(
    read: Engine, write: RunInTransaction, first_kept: datetime, stopped: Callable[[], bool]
) -> None:
    """Delete the counts of what came before a midnight, the oldest of each kind first.

    Raises
    ------
    DatabaseUnavailable
        The database is missing, silent or not migrated; what was deleted so far is gone.
    """
    for series in _all_series(read):
        bucket = series.table.c.bucket
        old = (*series.of, bucket < int(first_kept.timestamp()))
        wanted = select(bucket).where(*old).order_by(bucket).limit(_ROWS)
        found = _asked(read, wanted)
        while found and not stopped():
            write(partial(_delete, series, found[0], found[-1]))
            found = _asked(read, wanted.where(bucket > found[-1]))  # not over what has just gone


def _all_series(read: Engine) -> Iterator[_Series]:
    for width in WIDTHS:
        yield _Series(dirty_buckets, (dirty_buckets.c.width_s == width,))
        for feature in _features(read, width):
            of = (rollups.c.width_s == width, rollups.c.feature == feature)
            yield _Series(rollups, of)


def _features(read: Engine, width: int) -> Iterator[str]:
    """Yield what is counted, also what an earlier version counted, by one look-up each."""
    c = rollups.c
    wanted, found = select(func.min(c.feature)).where(c.width_s == width), ""
    while (found := _asked(read, wanted.where(c.feature > found))[0]) is not None:
        yield found


def _delete(series: _Series, first: int, last: int, connection: Connection) -> None:
    bucket = series.table.c.bucket
    connection.execute(delete(series.table).where(*series.of, bucket.between(first, last)))


def _asked(read: Engine, question: Select[Any]) -> Sequence[Any]:
    """Ask as a reader, for whom nobody waits."""
    with session(read) as connection:
        return connection.scalars(question).all()
