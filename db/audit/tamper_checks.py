"""Look for what could stand between the tables and their reader.

Who may change the database may put a view in a table's place, or a trigger, a rule or a policy on
it, and show one reader other rows than another: then a chain that holds proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, text

from db.partitions import is_day
from db.schema import metadata

_NAMES = tuple(metadata.tables)


def strange_tables(connection: Connection) -> Iterator[str]:
    """Yield a sentence for each table that is not, or not alone, what a migration made."""
    on_sqlite = connection.dialect.name == "sqlite"
    return _on_sqlite(connection) if on_sqlite else _on_postgresql(connection)


def _on_sqlite(connection: Connection) -> Iterator[str]:
    found = connection.execute(
        text("SELECT type, name, tbl_name FROM sqlite_master WHERE type IN ('view', 'trigger')")
    )
    for kind, name, table in found:
        if kind == "trigger":
            yield f"table {table}: has a trigger, {name}"
        elif name in _NAMES:
            yield f"table {name}: is a view"


def _on_postgresql(connection: Connection) -> Iterator[str]:
    ours = connection.execute(
        text(
            "SELECT c.oid::regclass::text AS name, c.relname, relkind IN ('r', 'p') AS plain,"
            " relrowsecurity OR relforcerowsecurity AS filtered,"
            " EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal) AS fires,"
            " EXISTS (SELECT FROM pg_rewrite WHERE ev_class = c.oid) AS rewritten,"
            " (SELECT inhparent::regclass::text FROM pg_inherits WHERE inhrelid = c.oid) AS whole"
            " FROM pg_class c WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND (c.oid IN"
            " (SELECT to_regclass(named) FROM unnest(CAST(:names AS text[])) AS named)"
            " OR c.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent IN"
            " (SELECT to_regclass(named) FROM unnest(CAST(:names AS text[])) AS named)))"
        ),
        {"names": list(_NAMES)},
    )
    for table in ours:
        if not table.plain:
            yield f"table {table.name}: is not a table"
        for has, what in (
            (table.filtered, "row-level security"), (table.fires, "a trigger"),
            (table.plain and table.rewritten, "a rule"),
        ):  # fmt: skip
            if has:
                yield f"table {table.name}: has {what}"
        if table.whole and not is_day(table.relname, table.whole):
            yield f"table {table.name}: a part of {table.whole} that this program did not make"
