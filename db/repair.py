"""Repair a damaged SQLite log: `cardiowatch repair`, while nothing else uses the file.

Copies every readable row into a new file, replaces the old file with it and keeps the old one
beside it. Prints what was recovered; `cardiowatch verify` then reports what was lost.
"""

from __future__ import annotations

import sqlite3
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote
from uuid import UUID

import click
from sqlalchemy import Table

from db.engine import DatabaseUnavailable, check_integrity, open_engine
from db.migrate import migrate
from db.schema import PARTITIONED_TABLES, REVISION, metadata
from db.writer.file_lock import lock_file
from settings import SettingsError, load_settings

_PROBES = 2_000
"""Ranges of ids tried after a damaged page; each costs well under a millisecond."""

Values = tuple[Any, ...]


class RepairedTable(NamedTuple):
    """Result of repairing a table."""

    name: str
    rows: int
    invalid_rows: int
    """Rows that were read but are no longer valid."""
    complete: bool
    """True when no part of the table was unreadable."""


def repair(path: Path) -> list[RepairedTable]:
    """Replace a damaged file by a new one with every readable row.

    Raises
    ------
    DatabaseUnavailable
        Nothing is readable, or the new file cannot be written; the old one is left alone.
    """
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True)) as old:
            migrate(f"sqlite:///{new}", lambda _: None, to=_revision(old))
            with closing(sqlite3.connect(new)) as into:
                saved = [_copy(old, into, table) for table in metadata.sorted_tables]
                into.commit()
    except sqlite3.Error as error:
        new.unlink(missing_ok=True)
        raise DatabaseUnavailable(f"{path} is unreadable ({error}): restore a backup.") from None
    kept = path.with_name(f"{path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S}")
    for end in ("", "-wal", "-shm"):
        part = Path(f"{path}{end}")
        if part.exists():
            part.rename(f"{kept}{end}")
    for end in ("-wal", "-shm"):
        Path(f"{new}{end}").unlink(missing_ok=True)
    new.rename(path)
    return saved


def _revision(old: sqlite3.Connection) -> str:
    """Return the migration of the file, so that its rows fit the new one."""
    old.execute("SELECT count(*) FROM sqlite_master")  # fails when nothing can be read
    try:
        found = old.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error:
        return REVISION
    return str(found[0]) if found else REVISION


def _copy(old: sqlite3.Connection, into: sqlite3.Connection, table: Table) -> RepairedTable:
    columns = [row[1] for row in into.execute(f"PRAGMA table_info({table.name})")]
    if not columns:
        return RepairedTable(table.name, 0, 0, complete=True)  # a table of a later migration
    values = ", ".join("?" * len(columns))
    names = ", ".join(columns)
    # A row read twice is ignored; one that is no longer valid is an error.
    insert = f"INSERT INTO {table.name} ({names}) VALUES ({values}) ON CONFLICT DO NOTHING"  # noqa: S608
    reading = _Reading(old, table, names)
    before = into.total_changes
    refused = 0
    for row in reading.rows():
        try:
            into.execute(insert, row)
        except sqlite3.Error:
            refused += 1
    return RepairedTable(table.name, into.total_changes - before, refused, complete=reading.whole)


class _Reading:
    """Reads a damaged table: from both ends, and between damaged pages."""

    def __init__(self, old: sqlite3.Connection, table: Table, names: str) -> None:
        self._old = old
        self._table = table.name
        self._names = names
        self._key = next(iter(table.primary_key)).name
        self._by_id = table in PARTITIONED_TABLES
        self._at = names.split(", ").index(self._key)
        self.whole = True

    def rows(self) -> Iterator[Values]:
        """Yield rows; some may come twice."""
        low = None
        for row in self._read():
            low = row[self._at]
            yield row
        if self.whole:
            return
        high = None
        for row in self._read(backward=True):
            high = row[self._at]
            yield row
        if self._by_id and isinstance(low, str) and isinstance(high, str):
            yield from self._between(low, high)

    def _between(self, low: str, high: str) -> Iterator[Values]:
        """Read in both directions from the middle of each unread range, repeatedly.

        An unreadable middle lies within the damage, whose end is searched first.
        """
        stretches = deque([(_number(low), _number(high))])
        for _ in range(_PROBES):
            if not stretches:
                return
            start, end = stretches.popleft()
            middle = (start + end) // 2
            if middle == start:
                continue
            reached = middle
            for row in self._read(f"{self._key} >= ? AND {self._key} < ?", middle, end):
                reached = _number(row[self._at])
                yield row
            if self._failed:
                stretches.appendleft((reached, end))
            if self._failed and reached == middle:
                stretches.append((start, middle))
                continue
            where = f"{self._key} > ? AND {self._key} < ?"
            for row in self._read(where, start, middle, backward=True):
                middle = _number(row[self._at])
                yield row
            if self._failed:
                stretches.append((start, middle))

    def _read(self, where: str = "1", *ids: int, backward: bool = False) -> Iterator[Values]:
        """Yield rows until one is unreadable, then the one before it.

        Python's cursor steps to the next row before it returns one, and loses it when that step
        fails.
        """
        order, beyond = ("DESC", "<") if backward else ("ASC", ">")
        self._failed = False
        query = f"SELECT {self._names} FROM {self._table} WHERE {where}"  # noqa: S608
        values = [_text(number) for number in ids]
        ending = f"ORDER BY {self._key} {order}"
        last = None
        try:
            for row in self._old.execute(f"{query} {ending}", values):
                last = row[self._at]
                yield row
            return
        except (sqlite3.Error, ValueError):  # ValueError: invalid text
            self._failed, self.whole = True, False
        if last is not None:
            query, values = f"{query} AND {self._key} {beyond} ?", [*values, last]
        with suppress(sqlite3.Error, ValueError):
            yield from self._old.execute(f"{query} {ending} LIMIT 1", values)


def _number(id_: str) -> int:
    return int(id_.replace("-", ""), 16)


def _text(number: int) -> str:
    return str(UUID(int=number))


@click.command("repair")
def command() -> None:
    """Copy every readable row of a damaged SQLite log into a new file.

    The damaged file is kept beside it. Nothing else may use the log meanwhile; `cardiowatch verify`
    then reports what was lost.
    """
    url = load_settings().database_url
    engine = open_engine(url)
    if engine.dialect.name != "sqlite":
        raise SettingsError("Only SQLite files can be repaired; restore PostgreSQL from a backup.")
    path = Path(engine.url.database or "")
    with ExitStack() as held:
        try:
            check_integrity(engine)
        except DatabaseUnavailable as damage:
            if not path.exists():
                raise
            print(damage, file=sys.stderr)
        else:
            print(f"{path} is not damaged; nothing to do")
            return
        if lock := lock_file(engine):
            held.enter_context(closing(lock))
        saved = repair(path)
    check_integrity(open_engine(url))
    for table in saved:
        if table.rows or table.invalid_rows or not table.complete:
            sound = table.complete and not table.invalid_rows
            lost = "" if sound else "; SOME ROWS COULD NOT BE READ"
            print(f"{table.name}: {table.rows:,} rows recovered{lost}")
    print(f"The damaged file is kept beside {path}. Now run cardiowatch verify")
