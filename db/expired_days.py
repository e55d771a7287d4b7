"""Drop the days of a PostgreSQL log that are not kept any more; whoever writes waits a moment.

What costs time, to find which entries of which writers a day holds, is done while others read and
write. Nobody changes that day meanwhile: `db.days.stays` tells them that it leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date
from time import sleep

from sqlalchemy import Connection, Engine, func, or_, select, union_all
from sqlalchemy.exc import OperationalError

from db.days import days_before, ids_of, leave, table_of
from db.engine import DatabaseUnavailable, session
from db.removals import Stretch, leave_expired, leave_unsealed, require_key
from db.seals import SealKey
from db.tables import outcomes, predictions

_WAIT_MS = 100
"""So long everybody waits behind us, at most, while we wait for those who are reading."""
_TRIES = 30
_PAUSE_S = 2.0


def drop_days(
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
        days = days_before(connection, first_kept)
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
    leave(connection, day)
    require_key(connection, key)
    leave_expired(connection, key, _stretches(connection, day))
    n, without_seal = _count(connection, day)
    tables = f"{table_of(day, 'outcomes')}, {table_of(day)}"
    _stop_everybody(connection, tables)
    leave_unsealed(connection, key, without_seal)
    connection.exec_driver_sql(f"DROP TABLE {tables}")
    return n


def _stretches(connection: Connection, day: date) -> Iterator[Stretch]:
    """Find the stretches that a day's entries make; their number is small beside the rows'."""
    first, end = ids_of(day)
    entries = union_all(
        *(
            select(table.c.writer, table.c.number, table.c.seal).where(
                of >= first, of < end, table.c.writer.is_not(None)
            )
            for table, of in ((predictions, predictions.c.id), (outcomes, outcomes.c.prediction_id))
        )
    ).subquery()
    number = entries.c.number
    before, after = (
        side(number).over(partition_by=entries.c.writer, order_by=number)
        for side in (func.lag, func.lead)
    )
    begins = func.coalesce(before != number - 1, True).label("begins")
    ends = func.coalesce(after != number + 1, True).label("ends")
    marked = select(entries, begins, ends).subquery()
    edges = select(marked).where(or_(marked.c.begins, marked.c.ends))
    begun = 0
    for edge in connection.execute(edges.order_by(marked.c.writer, marked.c.number)):
        if edge.begins:
            begun = edge.number
        if edge.ends:
            yield Stretch(edge.writer, begun, edge.number, edge.seal)


def _count(connection: Connection, day: date) -> tuple[int, int]:
    """Return how many predictions a day has, and how many entries without a seal."""
    first, end = ids_of(day)
    found = [
        connection.execute(
            select(func.count(), func.count().filter(table.c.writer.is_(None)))
            .select_from(table)
            .where(of >= first, of < end)
        ).one()
        for table, of in ((predictions, predictions.c.id), (outcomes, outcomes.c.prediction_id))
    ]
    return found[0][0], found[0][1] + found[1][1]


def _stop_everybody(connection: Connection, tables: str) -> None:
    """Have the log for this transaction alone, which ends at once then."""
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = {_WAIT_MS}")
    for _ in range(_TRIES):
        connection.exec_driver_sql("SAVEPOINT waiting")
        with suppress(OperationalError):  # the lock's time is over
            connection.exec_driver_sql(
                f"LOCK TABLE ONLY predictions, ONLY outcomes, {tables} IN ACCESS EXCLUSIVE MODE"
            )
            return
        connection.exec_driver_sql("ROLLBACK TO SAVEPOINT waiting")
        sleep(_PAUSE_S)
    raise DatabaseUnavailable("Old days are kept for now: somebody reads the log for too long.")
