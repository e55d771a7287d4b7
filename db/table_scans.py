"""Read tables directly, bypassing their indexes: an index may differ from its table."""

from __future__ import annotations

from typing import Any, TypeVar

from sqlalchemy import Connection, Select, Table
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler

Q = TypeVar("Q", bound=Select[Any])


class HintingCompiler(SQLiteCompiler):
    """Writes hints into queries; SQLAlchemy's own leaves them out on SQLite."""

    def get_from_hint_text(self, table: Any, text: str | None) -> str | None:
        """Return the hint that follows a table's name."""
        return text


def of_table(query: Q, *tables: Table) -> Q:
    """Have SQLite answer from tables without a rowid themselves, which are kept by their keys.

    NOT INDEXED would not do that: it leaves SQLite every index of such a table.
    """
    for table in tables:
        query = query.with_hint(table, f"INDEXED BY sqlite_autoindex_{table.name}_1", "sqlite")
    return query


def read_tables(connection: Connection, *, indexes: bool = False) -> None:
    """Have PostgreSQL answer from tables until the transaction ends, or from indexes.

    From the index that has a query's rows in its order: a bitmap scan would find them by an index,
    and take what they say from the table. SQLite has no such setting: there each query says so
    (`of_table`).
    """
    if connection.dialect.name != "postgresql":
        return
    for step in ("indexscan", "indexonlyscan"):
        connection.exec_driver_sql(f"SET LOCAL enable_{step} = {indexes}")
    for step in ("seqscan", "sort"):
        connection.exec_driver_sql(f"SET LOCAL enable_{step} = {not indexes}")
    connection.exec_driver_sql("SET LOCAL enable_bitmapscan = off")
