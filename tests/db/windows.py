"""Rows at a time, and what is counted of them: for the tests of counts and rollups."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, select

from db.engine import open_engine, session
from db.ids import new_id
from db.reader.queries import Reader, ValueCounts
from db.rollups.rollup_worker import RunInTransaction, transaction_runner, update_rollups
from db.schema import dirty_buckets, rollups
from tests.db.rows import row

NOON = datetime(2026, 1, 30, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=9)

MINUTE = timedelta(minutes=1)
HOUR_LONG = 60 * MINUTE

Rows = list[tuple[Any, ...]]


def at(moment: datetime, **changes: Any) -> tuple[Any, ...]:
    """Return a row that was received at a moment."""
    return row(id=new_id(int(moment.timestamp() * 1000)), **changes)


def roll_up(url: str, now: datetime = LATER, write: RunInTransaction | None = None) -> int:
    read = open_engine(url, read_only=True)
    try:
        return update_rollups(read, write or transaction_runner(open_engine(url)), now)
    finally:
        read.dispose()


def counts(url: str, **window: Any) -> ValueCounts:
    reader = Reader(url)
    found = reader.counts(**window)
    reader.close()
    return found


def waiting(url: str) -> int:
    with session(open_engine(url)) as connection:
        return connection.scalar(select(func.count()).select_from(dirty_buckets)) or 0


def widths(url: str) -> dict[int, int]:
    """Return how many buckets of each width are rolled up."""
    c = rollups.c
    buckets = select(c.width_s, func.count(c.bucket.distinct())).group_by(c.width_s)
    with session(open_engine(url)) as connection:
        return {row[0]: row[1] for row in connection.execute(buckets)}
