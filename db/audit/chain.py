"""The HMAC chain of one writer: each prediction and outcome is sealed with the seal before it.

A writer is one committing thread of one process, with a row in `writers`. It registers in the
transaction of its first entry (the very first writer does so earlier, because it counts the rows
without seals). After a lost connection, when it is unknown what was committed, it registers again
as a new writer. So no chain continues from a position that may not be in the database.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, Engine, Row, func, insert, select
from sqlalchemy.engine import make_url

from db.audit.seal_key import SealError, SealKey, create_seal_key, default_key_path
from db.audit.sealed_entries import constant_time_equal, count_unsealed
from db.audit.seals import FORMAT, NO_SEAL, OUR_COLUMNS, SALT_BYTES, Content, Seal
from db.engine import QUERY_TIMEOUT_S, open_engine, session, transaction
from db.ids import new_id
from db.schema import writers

_SALTS = 256  # drawn at once
_COUNT_S = 3_600.0  # longest wait for PostgreSQL to count the rows from before the chain
_ADVISORY_LOCK = 0x7365616C  # "seal"; unique to this program


class ChainHead(NamedTuple):
    """The end of a writer's chain: its number and name, number of entries, seal of the last."""

    writer: int
    name: str
    entries: int
    seal: bytes


class Chain:
    """Seals what a committer writes; without a key it leaves the seals empty.

    `position` follows the transaction: whoever rolls back restores it. `committed_head` is the end
    of what has been committed.
    """

    def __init__(self, key: SealKey | None) -> None:
        self._key = key
        self.position: ChainHead | None = None
        self.committed_head: ChainHead | None = None
        self._salts: list[bytes] = []

    def start(self, url: str) -> None:
        """Register the first writer of a log that is not sealed yet, before anything is written.

        It counts the rows from before the chain, which takes long in a large log.

        Raises
        ------
        DatabaseUnavailable
            No writer was registered.
        """
        if self._key is None:
            return
        on_postgresql = make_url(url).get_backend_name() == "postgresql"
        engine = open_engine(url, timeout_s=_COUNT_S if on_postgresql else QUERY_TIMEOUT_S)
        try:
            if _first_writer(engine) is None:
                with transaction(engine) as connection:
                    lock_registration(connection)
                    if connection.scalar(select(func.max(writers.c.id))) is None:
                        self.position = self.committed_head = register_writer(connection, self._key)
        finally:
            engine.dispose()

    def seal(self, connection: Connection, rows: Sequence[Any], content: Content) -> Sequence[Seal]:
        """Return the seals of rows that this transaction is about to insert, in this order."""
        key = self._key
        if key is None:
            return [NO_SEAL] * len(rows)
        writer, name, number, last = self.position or register_writer(connection, key)
        sealed, seal_of, salts = [], key.seal, self._salts
        for row in rows:
            salt = salts.pop() if salts else self._draw()
            last = seal_of(last, sha256(salt + content(row)).digest())
            number += 1
            sealed.append((writer, number, salt, last))
        self.position = ChainHead(writer, name, number, last)
        return sealed

    def _draw(self) -> bytes:
        """Draw random salts for many rows at once: each system call releases Python's lock."""
        drawn = os.urandom(SALT_BYTES * _SALTS)
        self._salts += [drawn[at : at + SALT_BYTES] for at in range(0, len(drawn), SALT_BYTES)]
        return self._salts.pop()

    def mark_committed(self) -> None:
        """Record that the transaction was committed."""
        self.committed_head = self.position

    def reset(self) -> None:
        """Register as a new writer next time."""
        self.position = None


def register_writer(connection: Connection, key: SealKey) -> ChainHead:
    """Register a new writer under the next number, so that a missing writer is noticed."""
    lock_registration(connection)
    number = 1 + (connection.scalar(select(func.max(writers.c.id))) or 0)
    unsealed = count_unsealed(connection) if number == 1 else 0
    name = new_id()
    seal = initial_seal(key, number, name, FORMAT, unsealed)
    row = {"id": number, "name": name, "format": FORMAT, "unsealed": unsealed, "seal": seal}
    columns = msgspec.json.encode(OUR_COLUMNS).decode()
    signed = {"columns": columns, "signature": key.sign("columns", number, name, columns)}
    connection.execute(insert(writers), row | signed)
    return ChainHead(number, name, 0, seal)


def lock_registration(connection: Connection) -> None:
    """Make new writers wait until this transaction ends."""
    if connection.dialect.name == "postgresql":  # SQLite has one writer anyway
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")


def initial_seal(key: SealKey, number: int, name: str, form: int, unsealed: int) -> bytes:
    """Return the seal before a writer's first entry; it also authenticates the writer's row.

    The columns are signed apart, because an older program must find its own log's first writer
    authentic after a rollback.
    """
    return key.sign("writer", number, name, form, unsealed)


def is_authentic(key: SealKey, writer: Row[Any]) -> bool:
    """Return whether a writer was registered with this key."""
    seal = initial_seal(key, writer.id, writer.name, writer.format, writer.unsealed)
    return constant_time_equal(writer.seal, seal)


def has_signed_columns(key: SealKey, writer: Row[Any]) -> bool:
    """Return whether the columns in a writer's row are those that it registered with."""
    if writer.format == 1:
        return (writer.columns, writer.signature) == (None, None)
    signature = key.sign("columns", writer.id, writer.name, writer.columns)
    return constant_time_equal(writer.signature, signature)


def check_key(engine: Engine, key: SealKey | None) -> None:
    """Check that a sealed log is used with its own key.

    Raises
    ------
    SealError
        The log is sealed and this is not its key, or there is none: rows written now would look
        inserted.
    DatabaseUnavailable
        The database cannot be read.
    """
    found = _first_writer(engine)
    if found is None:
        return
    if key is None:
        raise SealError(
            "This log is sealed and needs its key: set CARDIOWATCH_LOG_HMAC_KEY_FILE "
            "(docs/record.md)."
        )
    if not is_authentic(key, found):
        raise SealError(
            f"This log was not sealed with {key.path}, or its first writer record was altered: set "
            "CARDIOWATCH_LOG_HMAC_KEY_FILE to the original key."
        )


def create_default_key(url: str) -> None:
    """Create the key of a SQLite log beside its file, unless it has one or is sealed."""
    path = default_key_path(url)
    if path is not None and not path.exists() and _first_writer(open_engine(url)) is None:
        create_seal_key(path)


def _first_writer(engine: Engine) -> Row[Any] | None:
    with session(engine) as connection:
        return connection.execute(select(writers).order_by(writers.c.id).limit(1)).one_or_none()
