"""Connections to the two databases, with the settings on which the log's promises rest."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, NullPool, Table, create_engine, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from db.schema import REVISION
from db.table_scans import HintingCompiler
from errors import CardiowatchError

QUERY_TIMEOUT_S = 10.0
"""Longest wait for a reader's query; the writer has a shorter timeout."""

CONNECT_TIMEOUT_S = 2
"""Longest wait for a connection to PostgreSQL; libpq has no shorter one."""


class DatabaseUnavailable(CardiowatchError):
    """The database cannot be used; the message is one sentence that says what to do."""


def open_engine(
    url: str, *, read_only: bool = False, create: bool = False, timeout_s: float = QUERY_TIMEOUT_S
) -> Engine:
    """Return an engine in autocommit mode; no connection is made yet.

    Parameters
    ----------
    url
        `sqlite:///path` or `postgresql+psycopg://user:password@host/database`.
    read_only
        Refuse writes (SQLite `mode=ro`).
    create
        Create a missing SQLite file instead of failing.
    timeout_s
        Seconds after which a silent PostgreSQL server, or a locked SQLite file, is an error.

    Raises
    ------
    DatabaseUnavailable
        When the URL names neither of the two databases.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise DatabaseUnavailable(f"{_WHICH}.") from None
    except ValueError:  # of the port, which may be a part of the password
        raise DatabaseUnavailable(f"{_WHICH}{_HOSTS}.") from None
    if parsed.drivername in ("sqlite", "sqlite+pysqlite") and parsed.database:
        if parsed.database == ":memory:":
            raise DatabaseUnavailable("A log in memory would be lost: give the path of a file.")
        return _sqlite(parsed, read_only, create, timeout_s)
    if parsed.drivername == "postgresql+psycopg":
        return _postgresql(parsed, read_only, timeout_s)
    raise DatabaseUnavailable(f"{_WHICH}, not {parsed.drivername}.")


_WHICH = "The database URL must be sqlite:///path or postgresql+psycopg://user@host/database"
_HOSTS = "; of several hosts ...//user@/database?host=a,b&port=5432,5433, a port for each"


_BEGIN = "cardiowatch_begin"
"""Of an engine's execution options: the statement that begins a write transaction."""

_DURABLE = (
    "PRAGMA foreign_keys = ON",
    "PRAGMA synchronous = FULL",  # a commit survives a power cut
    "PRAGMA secure_delete = ON",  # overwrites what is moved or deleted: erasure reaches all
)


def _sqlite(url: URL, read_only: bool, create: bool, timeout_s: float) -> Engine:
    mode = "ro" if read_only else "rwc" if create else "rw"
    path = Path(url.database or "")

    def open_file() -> sqlite3.Connection:
        deadline = monotonic() + timeout_s
        file = f"file:{quote(str(path))}?mode={mode}"
        # On read-only media SQLite cannot make the files of a write-ahead log; nobody writes there.
        if read_only and not os.access(path.parent, os.W_OK) and not _has_journal(path):
            file += "&immutable=1"
        connection = sqlite3.connect(file, uri=True, timeout=timeout_s, check_same_thread=False)
        try:
            if not read_only:
                _keep_journal_ahead(connection, deadline)
                for pragma in _DURABLE:
                    connection.execute(pragma)
            if read_only:  # SQLite has no statement timeout; a reader's connection asks one thing
                connection.set_progress_handler(lambda: monotonic() > deadline, 10_000)
        except sqlite3.Error:
            connection.close()  # or its file stays open for as long as the error is looked at
            raise
        return connection

    # No pool: opening takes a fraction of a millisecond, and a reader that kept its connection
    # would go on reading a database file that has been replaced.
    engine = create_engine(
        url,
        creator=open_file,
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        # The write lock is taken first, so that nothing can fail half-way for want of it.
        execution_options={_BEGIN: "BEGIN IMMEDIATE"},
        hide_parameters=True,  # patients' values stay out of error messages
    )
    engine.dialect.statement_compiler = HintingCompiler
    return engine


def _has_journal(path: Path) -> bool:
    return Path(f"{path}-wal").exists()


def _keep_journal_ahead(connection: sqlite3.Connection, deadline: float) -> None:
    """Turn on write-ahead logging, so that readers and the writer do not block each other.

    When two processes are the first to do so in a new file, SQLite refuses one at once, whatever
    its timeout: retry.
    """
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_BUSY" or monotonic() > deadline:
                raise
            sleep(0.01)


_POOL = {"pool_pre_ping": True, "pool_size": 5, "max_overflow": 10, "pool_timeout": 1.0}
"""Readers of one process, and how long one waits for another's connection (docs/capacity.md)."""


def _postgresql(url: URL, read_only: bool, timeout_s: float) -> Engine:
    from db.postgresql import open_connection  # psycopg: 10 MB that SQLite does not need

    # The server gives a slow query up before the client takes it for silent. Compiling a query for
    # each of many partitions (jit) takes seconds, running it some milliseconds. For a transaction
    # only: a pool of transactions (PgBouncer) knows no options, and gives each to another session.
    limits = (
        f"SET LOCAL statement_timeout = {int(timeout_s * 900)}; SET LOCAL timezone = 'UTC'; "
        "SET LOCAL jit = off"
    )
    defaults = {"connect_timeout": str(CONNECT_TIMEOUT_S), "application_name": "cardiowatch"}
    try:
        engine = create_engine(
            url.update_query_dict({**defaults, **url.query}),
            isolation_level="AUTOCOMMIT",
            execution_options={_BEGIN: f"BEGIN; {limits}"},
            hide_parameters=True,
            # A writer keeps the one connection it has; readers come from many threads.
            **(_POOL if read_only else {"poolclass": NullPool}),
        )
    except ArgumentError:
        raise DatabaseUnavailable(f"{_WHICH}{_HOSTS}.") from None

    @event.listens_for(engine, "do_connect")
    def connect_in_time(_dialect: Any, _record: Any, _args: Any, params: Any) -> Any:
        return open_connection(timeout_s, **params)

    if read_only:

        @event.listens_for(engine, "begin")
        def begin_reading(connection: Connection) -> None:
            connection.connection.cursor().execute(f"BEGIN READ ONLY; {limits}")

    return engine


def begin_transaction(connection: Connection) -> None:
    """Begin a write transaction."""
    connection.exec_driver_sql(connection.get_execution_options()[_BEGIN])


def keep_snapshot(connection: Connection) -> None:
    """Have all queries of a reader's new session see one state of the database."""
    on_sqlite = connection.dialect.name == "sqlite"
    connection.exec_driver_sql(
        "BEGIN" if on_sqlite else "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"
    )


def _listed(values: str | Sequence[str] | None) -> Sequence[str]:
    """Return the values of a URL's parameter, which may stand there once, more often or not."""
    return [values] if isinstance(values, str) else values or []


_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_NO_TABLE = ("42P01", "42703")  # PostgreSQL's codes for an unknown table and an unknown column


def dbapi_of(engine: Engine) -> Any:
    """Return the driver's module; calls that bypass SQLAlchemy raise its errors."""
    return engine.dialect.dbapi


@contextmanager
def session(engine: Engine) -> Iterator[Connection]:
    """Yield a connection; database errors become one sentence.

    Raises
    ------
    DatabaseUnavailable
        When the database is missing, silent, locked, or not migrated.
    """
    try:
        with engine.connect() as connection:
            yield connection
    except (DBAPIError, PoolTimeout, dbapi_of(engine).Error) as error:
        raise DatabaseUnavailable(error_message(engine, error)) from error


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Yield a connection in a write transaction, committed at the end; for programs.

    Raises
    ------
    DatabaseUnavailable
        When the database is missing, silent, locked, or not migrated; nothing is stored then.
    """
    with session(engine) as connection:
        begin_transaction(connection)
        yield connection
        connection.exec_driver_sql("COMMIT")


def upsert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """Return the dialect's own INSERT, which knows ON CONFLICT."""
    on_sqlite = connection.dialect.name == "sqlite"
    return sqlite.insert(table) if on_sqlite else postgresql.insert(table)


def error_message(engine: Engine, error: BaseException) -> str:
    """Return one sentence: what is wrong with the database and what to do."""
    cause = getattr(error, "orig", None) or error
    reason = str(cause).strip().split("\n")[0] or type(cause).__name__
    if getattr(cause, "sqlstate", None) in _NO_TABLE or reason.startswith("no such "):
        return f"{_name(engine)} is not migrated: run cardiowatch migrate ({reason})."
    if engine.dialect.name == "sqlite":
        path = Path(engine.url.database or "")
        if not path.exists():
            return f"Database {path} does not exist: run cardiowatch migrate."
        if getattr(cause, "sqlite_errorname", "").startswith(_DAMAGED):
            return _damaged(engine, reason)
        if reason == "interrupted":
            return f"{_name(engine)} took too long to answer: choose a smaller window."
        return f"{_name(engine)} cannot be used: {reason}."
    known = (getattr(cause, "sqlstate", None) or "", reason)
    for signs, sentence in _REFUSALS.items():
        if any(sign in text for sign in signs for text in known):
            return f"{_name(engine)} {sentence} ({reason})."
    return f"{_name(engine)} is not responding; is PostgreSQL running? ({reason})"


_REFUSALS = {
    ("25006", "session is read-only", "in hot standby mode"): (
        "is read-only: use the URL of the primary server"
    ),
    ("53300", "too many c", "connection slots"): (
        "accepts no more connections: raise max_connections, or run fewer processes "
        "(docs/capacity.md)"
    ),
    ("QueuePool",): "is busy: every connection of this process is in use, try again",
    ("57014",): "took too long to answer: choose a smaller window",
    ("conflict with recovery",): "is a standby that gave the query up: try again",
    ("53100",): "has no space left on its disk",
}
"""What PostgreSQL answers where it does not do what was asked: its code, or words of its message,
for a refused connection has no code."""


def _damaged(engine: Engine, reason: str) -> str:
    return (
        f"{_name(engine)} is damaged ({reason}): stop the service and run cardiowatch repair, "
        "or restore a backup (docs/operations.md)."
    )


def check_integrity(engine: Engine) -> None:
    """Look through a SQLite file and its indexes for damage; PostgreSQL keeps its own checksums.

    Raises
    ------
    DatabaseUnavailable
        The file is damaged or cannot be read.
    """
    if engine.dialect.name != "sqlite":
        return
    with session(engine) as connection:
        found = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar()
    if found != "ok":
        raise DatabaseUnavailable(_damaged(engine, str(found).strip().split("\n")[-1]))


def _name(engine: Engine) -> str:
    if engine.dialect.name == "sqlite":
        return f"The database {engine.url.database}"
    # Without user and password: this sentence reaches logs and pages.
    hosts = [engine.url.host] if engine.url.host else _listed(engine.url.query.get("host"))
    return f"The database {engine.url.database} at {','.join(hosts) or 'the local socket'}"


def durability_warning(engine: Engine) -> str | None:
    """Return one sentence on what the server's settings may lose of what it confirmed, or None."""
    if engine.dialect.name == "sqlite":
        return None
    with session(engine) as connection:
        by_crash, by_failover = connection.exec_driver_sql(_DURABILITY).one()
    causes = [by_crash and f"{by_crash} = off", by_failover and "its standbys are asynchronous"]
    if not any(causes):
        return None
    found = " and ".join(filter(None, causes))
    return f"{_name(engine)} may lose acknowledged rows: {found} (docs/high-availability.md)."


_DURABILITY = """SELECT
 (SELECT min(name) FROM pg_settings WHERE setting = 'off'
  AND name IN ('fsync', 'full_page_writes', 'synchronous_commit')),
 EXISTS (SELECT FROM pg_stat_replication WHERE state = 'streaming')
 AND (current_setting('synchronous_standby_names') = ''
  OR current_setting('synchronous_commit') = 'local')"""


def check_migrated(engine: Engine, *, or_newer: bool = True) -> None:
    """Raise DatabaseUnavailable unless the database has this program's tables.

    A newer database is accepted: during an upgrade, old processes run on the migrated tables.
    Who must know each of its tables refuses it.
    """
    with session(engine) as connection:
        found = connection.scalar(text("SELECT version_num FROM alembic_version"))
    if not isinstance(found, str) or found < REVISION:
        raise DatabaseUnavailable(f"{_name(engine)} is not migrated: run cardiowatch migrate.")
    if found > REVISION and not or_newer:
        raise DatabaseUnavailable(f"{_name(engine)} was made by a newer program: use that one.")
