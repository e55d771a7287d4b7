"""Compare each index with its table.

An index is a copy of some columns in another order, and readers believe it. Anybody who can write
to the database can build it from other rows, or leave rows out, and restore its definition
afterwards.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, text
from sqlalchemy.exc import DBAPIError

from db.schema import metadata
from db.table_scans import read_tables

_SQLITE_MOST = 100  # findings of one PRAGMA integrity_check
_CORRUPTED = ("XX001", "XX002")  # PostgreSQL's codes for damaged data and a damaged index


class _Index(NamedTuple):
    name: str
    table: Table
    columns: tuple[str, ...]
    where: str
    """Which rows it holds; "true" = all."""


def inconsistencies(connection: Connection) -> Iterator[str]:
    """Yield a sentence for each index that differs from its table.

    Parameters
    ----------
    connection
        In a transaction that shows one state of the database.
    """
    on_sqlite = connection.dialect.name == "sqlite"
    yield from _checked_by_sqlite(connection) if on_sqlite else _checked_by_amcheck(connection)
    differs = _differs_on_sqlite if on_sqlite else _differs_on_postgresql
    for index in _indexes(on_sqlite=on_sqlite):
        try:
            with connection.begin_nested():
                wrong = differs(connection, index)
        except DBAPIError as error:
            yield f"index {index.name}: cannot be read ({error.orig})"
            continue
        if wrong:
            yield f"index {index.name}: does not say what table {index.table.name} holds"


def _indexes(*, on_sqlite: bool) -> Iterator[_Index]:
    """Yield the indexes that the migrations make; SQLite keeps some tables in their key's order."""
    for table in metadata.sorted_tables:
        keys = tuple(column.name for column in table.primary_key)
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            where = index.dialect_options["postgresql"]["where"]
            columns = tuple(column.name for column in index.columns)
            yield _Index(str(index.name), table, columns, "true" if where is None else str(where))
        if not on_sqlite:
            yield _Index(f"pk_{table.name}", table, keys, "true")


def _checked_by_sqlite(connection: Connection) -> Iterator[str]:
    for found in connection.exec_driver_sql(f"PRAGMA integrity_check({_SQLITE_MOST})").scalars():
        if found != "ok":
            yield f"SQLite's integrity check: {found}"


def _differs_on_sqlite(connection: Connection, index: _Index) -> bool:
    """Compare the index with the table itself, which NOT INDEXED would not do without a rowid."""
    table = index.table
    clustered = not table.dialect_options["sqlite"]["with_rowid"]
    keys = [column.name for column in table.primary_key] if clustered else ["rowid"]
    itself = f"INDEXED BY sqlite_autoindex_{table.name}_1" if clustered else "NOT INDEXED"
    names = ", ".join(f'"{name}"' for name in dict.fromkeys([*index.columns, *keys]))
    read = f"SELECT {names} FROM {table.name} {{}} WHERE {index.where}"  # noqa: S608 - our names
    one, other = read.format(itself), read.format(f"INDEXED BY {index.name}")
    return any(
        connection.exec_driver_sql(f"{first} EXCEPT {second} LIMIT 1").first()
        for first, second in ((one, other), (other, one))
    )


def _differs_on_postgresql(connection: Connection, index: _Index) -> bool:
    """Compare the sum of a hash over all rows, read in two ways; nobody knows its seed before."""
    names = ", ".join(f'"{name}"' for name in index.columns)
    rows = f"SELECT {names} FROM {index.table.name} WHERE {index.where}"  # noqa: S608 - our names
    whole = "SELECT count(*), sum(hashtextextended(CAST(ROW({}) AS text), :seed)) FROM ({}) rows"
    seed, found = secrets.randbits(62), []
    for indexes in (False, True):
        read_tables(connection, indexes=indexes)
        query = f"{rows} ORDER BY {names}" if indexes else rows
        found.append(connection.execute(text(whole.format(names, query)), {"seed": seed}).one())
    read_tables(connection)
    return found[0] != found[1]


def _checked_by_amcheck(connection: Connection) -> Iterator[str]:
    """Check each B-tree with amcheck, where it is installed and we may use it."""
    schema = connection.scalar(
        text("SELECT quote_ident(nspname) FROM pg_extension JOIN pg_namespace n"
             " ON n.oid = extnamespace WHERE extname = 'amcheck'")
    )  # fmt: skip
    if schema is None:
        return
    ours = text(
        "SELECT indexrelid, CAST(indexrelid AS regclass) FROM pg_index JOIN pg_class c"
        " ON c.oid = indexrelid WHERE relkind = 'i' AND indisvalid AND indrelid IN"
        " (SELECT relid FROM unnest(CAST(:names AS text[])) AS named,"
        " pg_partition_tree(to_regclass(named)) UNION SELECT to_regclass(named)"
        " FROM unnest(CAST(:names AS text[])) AS named)"
    )
    check = text(f"SELECT {schema}.bt_index_check(CAST(:index AS oid), true)")
    for index, name in connection.execute(ours, {"names": list(metadata.tables)}).all():
        try:
            with connection.begin_nested():
                connection.execute(check, {"index": index})
        except DBAPIError as error:
            cause: Any = error.orig
            if cause.sqlstate in _CORRUPTED:
                yield f"index {name}: {str(cause).splitlines()[0]}"
