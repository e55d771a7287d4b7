"""The sealed entries of a log as the database holds them now, in the order of their chains.

An attacker may have put anything there: an impossible value is a fault of its entry, never an
exception.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from heapq import merge
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    String,
    Table,
    case,
    cast,
    func,
    literal_column,
    select,
    type_coerce,
)

from db.audit.seals import (
    DEPENDENT_COLUMNS,
    MISSING_NUMBER,
    OUR_COLUMNS,
    Content,
    content_of,
    entry_digest,
    sealed_columns,
    serialize_dependent,
)
from db.ids import received_at_text, timestamp_of
from db.schema import (
    DEPENDENT_TABLES,
    PARTITIONED_TABLES,
    PREDICTION_COLUMNS,
    SEAL_COLUMNS,
    UtcDateTime,
    predictions,
    writers,
)
from db.table_scans import of_table

_ROWS = 1_000  # fetched at once

PredictionFilter = Callable[[ColumnElement[Any]], ColumnElement[bool]]
"""Turns the column that holds a prediction's id into a condition."""

_NO_TIME = "timestamptz '0001-01-01 00:00Z'"


class SealedEntry(NamedTuple):
    """One prediction, outcome or response and its place in a chain."""

    writer: int
    number: int
    name: str
    digest: bytes | None
    """Of its current content; None = the log cannot have written that."""
    seal: bytes | None
    fault: str
    """What is wrong with the entry on its own; "" = nothing."""
    table: str
    version: str | None = None
    """A prediction's `model_version`."""


def read_entries(
    connection: Connection, of: PredictionFilter | None = None
) -> Iterator[SealedEntry]:
    """Yield the sealed entries of all predictions, or of some, with their dependent ones.

    Parameters
    ----------
    connection
        In a transaction.
    of
        Which predictions; None = all.
    """
    found = [_predictions(connection, of)]
    found += [_dependents(connection, table, of) for table in DEPENDENT_TABLES]
    return merge(*found, key=attrgetter("writer", "number"))


def count_unsealed(
    connection: Connection, of: PredictionFilter | None = None, *, after: str = ""
) -> int:
    """Count the entries without a seal; `after` = only with ids from there on."""
    found = 0
    for table in PARTITIONED_TABLES:
        wanted = select(func.count(literal_column("1"))).select_from(table)
        wanted = of_table(wanted.where(table.c.writer.is_(None)), table)
        if of is not None:
            wanted = wanted.where(of(next(iter(table.primary_key))))
        if after:
            wanted = wanted.where(table.c.id >= after)
        found += connection.scalar(wanted) or 0
    return found


def constant_time_equal(kept: object, expected: bytes) -> bool:
    """Return whether a stored value is the expected one, compared in constant time."""
    return isinstance(kept, bytes) and hmac.compare_digest(kept, expected)


def stored_value(column: ColumnElement[Any], connection: Connection) -> ColumnElement[Any]:
    """Select a column so that whatever stands there can be fetched.

    SQLite gives its times as text. PostgreSQL's go beyond Python's: those come as one that the log
    never holds.
    """
    if not isinstance(column.type, UtcDateTime):
        return column
    if connection.dialect.name == "sqlite":
        return type_coerce(column, String)
    within = column.between(
        literal_column("timestamptz '0001-01-02 00:00Z'"),
        literal_column("timestamptz '9999-12-30 00:00Z'"),
    )
    return case((column.is_(None), None), (within, column), else_=literal_column(_NO_TIME))


def parse_stored_time(kept: Any) -> datetime | None:
    """Read a time that SQLite keeps as text.

    Raises
    ------
    ValueError, TypeError
        It is not one, or not as it is written.
    """
    if not isinstance(kept, str):
        time: datetime | None = kept
        return time
    time = datetime.fromisoformat(f"{kept}+00:00").astimezone(UTC)
    if time.replace(tzinfo=None).isoformat(" ", "microseconds") != kept:
        raise ValueError("not as it was written")
    return time


def _in_order(
    connection: Connection, table: Table, names: Sequence[str], of: ColumnElement[bool] | None
) -> Iterator[Any]:
    """Stream the sealed rows of a table in the order of the chains."""
    c = table.c
    writer, number = cast(c.writer, Integer), cast(c.number, c.number.type)
    columns = [stored_value(c[name], connection) for name in (*names, "received_at", *SEAL_COLUMNS)]
    wanted = select(*columns, writer.label("of"), number.label("at")).where(c.writer.is_not(None))
    if of is not None:
        wanted = wanted.where(of)
    wanted = of_table(wanted.order_by(writer, number), table)
    yield from connection.execute(wanted, execution_options={"yield_per": _ROWS})


def _predictions(connection: Connection, of: PredictionFilter | None) -> Iterator[SealedEntry]:
    width = len(PREDICTION_COLUMNS)
    model = PREDICTION_COLUMNS.index("model_version")
    which = of and of(predictions.c.id)
    sealed_by: dict[int, Content] = {}
    for row in _in_order(connection, predictions, PREDICTION_COLUMNS, which):
        if row.of not in sealed_by:
            sealed_by[row.of] = _content_of_writer(connection, row.of)
        name, content = f"prediction {row[0]}", sealed_by[row.of]
        found = _entry(predictions, row, name, content, row[:width])
        yield found._replace(version=str(row[model]))


def _content_of_writer(connection: Connection, number: int) -> Content:
    """Return how a writer serialized predictions; where its record was altered, as we do."""
    record = select(writers.c.format, writers.c.columns).where(writers.c.id == number)
    found = connection.execute(record).one_or_none()
    return content_of((found and sealed_columns(*found)) or OUR_COLUMNS)


def _dependents(
    connection: Connection, table: Table, of: PredictionFilter | None
) -> Iterator[SealedEntry]:
    names = DEPENDENT_COLUMNS[table]
    is_time = [isinstance(table.c[name].type, UtcDateTime) for name in names]

    def content(row: Sequence[Any]) -> bytes:
        read = [parse_stored_time(v) if t else v for v, t in zip(row, is_time, strict=True)]
        return serialize_dependent(table, read)

    for row in _in_order(connection, table, names, of and of(table.c.prediction_id)):
        name = f"{table.name.removesuffix('s')} {row[1]} of prediction {row[0]}"
        yield _entry(table, row, name, content, row[: len(names)])


def _entry(
    table: Table, row: Any, name: str, content: Content, values: Sequence[Any]
) -> SealedEntry:
    writer, number, salt, seal = row[-6:-2]  # as they stand; `of` and `at` are the whole numbers
    found, wrong = None, "altered"
    with suppress(ValueError, TypeError, ArithmeticError, AttributeError):
        wrong = "" if _received(row[len(values)], row[0]) else "its received_at was altered"
        if MISSING_NUMBER in values:
            wrong = "a missing value was filled in"
        else:
            found = entry_digest(salt, content(values))
    if (writer, number) != (row.of, row.at) or not isinstance(seal, bytes):
        wrong = "its place in the chain was altered"
        found = seal = None
    if found is None:
        wrong = wrong or "altered"
    return SealedEntry(row.of, row.at or 0, name, found, seal, wrong, table.name)


def _received(kept: Any, id_: str) -> bool:
    """Return whether a row's time is the one in its id."""
    return bool(
        kept == (received_at_text(id_[:13]) if isinstance(kept, str) else timestamp_of(id_))
    )
