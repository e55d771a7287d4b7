"""Partitions by day (UTC) of predictions, their outcomes and responses, on PostgreSQL.

An id carries its time, so it determines its partition, and retention drops partitions instead of
deleting rows. SQLite has no partitions; there these functions do nothing.

Every partition has its own foreign key, to its predictions: with one between the parent tables
PostgreSQL would scan all outcomes and responses before it drops a partition.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from db.ids import lowest_id_of_ms, timestamp_ms
from db.schema import PARTITIONED_TABLES

_FIRST = date(1970, 1, 1)
_DAY_MS = 86_400_000
_LOCKS = 0x64617973  # "days": advisory locks, one for each day since 1970, and two more
_MAKING, _LEAVING = -1, -2

_WHOLES = tuple(table.name for table in PARTITIONED_TABLES)

_QUEUES = 36
_QUEUE_MS = 5_000
"""An erasure waits for three minutes, each time for less than the query timeout."""


class PartitionCache:
    """Creates the partitions of a writer's rows; reset() after a rollback."""

    def __init__(self) -> None:
        self._made: set[int] = set()

    def reset(self) -> None:
        """Forget which partitions exist."""
        self._made.clear()

    def ensure(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Create missing partitions for the rows (id first) that this transaction will insert."""
        if connection.dialect.name != "postgresql":
            return
        days = {timestamp_ms(row[0]) // _DAY_MS for row in rows} - self._made
        if days:
            create_partitions(connection, [_FIRST + timedelta(days=day) for day in days])
            self._made |= days


def create_partitions(
    connection: Connection, days: Iterable[date], wholes: Sequence[str] = _WHOLES
) -> None:
    """Create missing partitions; no reader or writer waits for it."""
    _wait_for(connection, _MAKING)
    for day in sorted(days):
        for whole in wholes:
            part = {"name": partition_name(day, whole)}
            if not connection.scalar(text("SELECT to_regclass(:name)"), part):
                _make(connection, day, whole)


def _make(connection: Connection, day: date, whole: str) -> None:
    first, end = id_range(day)
    part = partition_name(day, whole)
    # Created apart and then attached: PARTITION OF would wait for all readers.
    copied = "INCLUDING DEFAULTS INCLUDING CONSTRAINTS"
    connection.exec_driver_sql(f"CREATE TABLE {part} (LIKE {whole} {copied})")
    connection.exec_driver_sql(
        f"ALTER TABLE {whole} ATTACH PARTITION {part} FOR VALUES FROM ('{first}') TO ('{end}')"
    )
    if whole != "predictions":
        key = "FOREIGN KEY (prediction_id, received_at) REFERENCES"
        connection.exec_driver_sql(
            f"ALTER TABLE {part} ADD CONSTRAINT fk_{part}_predictions"
            f" {key} {partition_name(day)} (id, received_at)"
        )


def partition_name(day: date, whole: str = "predictions") -> str:
    """Return the name of a day's partition."""
    return f"{whole}_{day:%Y%m%d}"


def id_range(day: date) -> tuple[str, str]:
    """Return the first id of a day and that of the next day."""
    first_ms = (day - _FIRST).days * _DAY_MS
    return lowest_id_of_ms(first_ms), lowest_id_of_ms(first_ms + _DAY_MS)


def partitions_before(connection: Connection, end: date) -> list[date]:
    """Return the days before `end` that have a partition, oldest first."""
    names = connection.scalars(
        text(
            "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid"
            " WHERE inhparent = 'predictions'::regclass"
        )
    )
    return sorted(day for name in names if (day := day_of(name)) and day < end)


def day_of(name: str, whole: str = "predictions") -> date | None:
    """Return the day of a partition; None = not ours, which db.verify reports."""
    with suppress(ValueError):
        day = date.fromisoformat(name.removeprefix(f"{whole}_"))
        return day if partition_name(day, whole) == name else None
    return None


def try_share_lock(connection: Connection, day: date) -> bool:
    """Return whether this transaction now keeps a day's partition from being dropped."""
    if connection.dialect.name != "postgresql":
        return True
    asked = text("SELECT pg_try_advisory_xact_lock_shared(:locks, :number)")
    return bool(connection.scalar(asked, {"locks": _LOCKS, "number": (day - _FIRST).days}))


def share_lock_all(connection: Connection) -> bool:
    """Keep every partition from being dropped by others; False = the drops did not end in time.

    It queues for the lock, because a mere try rarely hits the moment between two drops.
    """
    if connection.dialect.name != "postgresql":
        return True
    asked = f"SELECT pg_advisory_xact_lock_shared({_LOCKS}, {_LEAVING})"
    stay = any(try_lock(connection, asked, _QUEUE_MS) for _ in range(_QUEUES))
    connection.exec_driver_sql("SET LOCAL lock_timeout TO DEFAULT")
    return stay


def try_lock(connection: Connection, lock: str, wait_ms: int) -> bool:
    """Return whether a lock was acquired in time; the transaction continues either way."""
    connection.exec_driver_sql("SAVEPOINT waiting")
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = {wait_ms}")
    with suppress(OperationalError):  # timed out
        connection.exec_driver_sql(lock)
        return True
    connection.exec_driver_sql("ROLLBACK TO SAVEPOINT waiting")
    return False


def lock_for_drop(connection: Connection, day: date) -> None:
    """Wait for all share locks of a day, whose partition this transaction will drop."""
    for number in (_LEAVING, (day - _FIRST).days):
        _wait_for(connection, number)


def _wait_for(connection: Connection, number: int) -> None:
    asked = text("SELECT pg_advisory_xact_lock(:locks, :number)")
    connection.execute(asked, {"locks": _LOCKS, "number": number})
