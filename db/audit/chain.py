"""The chain of one writer: every row and outcome it commits is sealed upon the one before.

A writer is one committing thread of one process, with a row of its own in `writers`. It joins with
the first entry that it seals, in that entry's transaction (the very first one before, because it
counts the rows that have no seals); after a lost connection, when nobody knows what was committed,
it joins again as a new writer. So no chain is ever continued from a place that may not be in the
database.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Row, func, insert, select
from sqlalchemy.engine import make_url

from db.audit.seal_key import SealError, SealKey, create_seal_key, default_key_path
from db.audit.sealed_entries import constant_time_equal, count_unsealed
from db.audit.seals import FORMAT, NO_SEAL, SALT_BYTES, Seal
from db.engine import QUERY_TIMEOUT_S, open_engine, session, transaction
from db.ids import new_id
from db.schema import writers

_SALTS = 256  # drawn at once
_COUNT_S = 3_600.0  # longest wait for PostgreSQL to count the rows from before the chain
_ADVISORY_LOCK = 0x7365616C  # "seal"; any number that no other program takes


class ChainHead(NamedTuple):
    """How far a writer has come: its number and name, how many entries, the seal of the last."""

    writer: int
    name: str
    entries: int
    seal: bytes


class Chain:
    """Seals what a committer writes; without a key it leaves the seals empty.

    `place` follows the transaction: who rolls back puts the earlier one back. `head` is what has
    been committed.
    """

    def __init__(self, key: SealKey | None) -> None:
        self._key = key
        self.position: ChainHead | None = None
        self.committed_head: ChainHead | None = None
        self._salts: list[bytes] = []

    def start(self, url: str) -> None:
        """Enter the first writer of a log that is not sealed yet, before anything is written.

        It counts the rows from before the chain, in a large log for longer than a row may take.

        Raises
        ------
        DatabaseUnavailable
            Nobody has joined.
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

    def seal(
        self, connection: Connection, rows: Sequence[Any], content: Callable[[Any], bytes]
    ) -> Sequence[Seal]:
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
        """Fetch random salts for the next rows: asking for each one alone gives the lock away."""
        drawn = os.urandom(SALT_BYTES * _SALTS)
        self._salts += [drawn[at : at + SALT_BYTES] for at in range(0, len(drawn), SALT_BYTES)]
        return self._salts.pop()

    def mark_committed(self) -> None:
        """Take note that the transaction is in the database."""
        self.committed_head = self.position

    def reset(self) -> None:
        """Join as a new writer next time."""
        self.position = None


def register_writer(connection: Connection, key: SealKey) -> ChainHead:
    """Enter a new writer; its number is the next one, so that a missing writer is noticed."""
    lock_registration(connection)
    number = 1 + (connection.scalar(select(func.max(writers.c.id))) or 0)
    unsealed = count_unsealed(connection) if number == 1 else 0
    name = new_id()
    seal = initial_seal(key, number, name, FORMAT, unsealed)
    row = {"id": number, "name": name, "format": FORMAT, "unsealed": unsealed, "seal": seal}
    connection.execute(insert(writers), row)
    return ChainHead(number, name, 0, seal)


def lock_registration(connection: Connection) -> None:
    """Have new writers wait until this transaction ends."""
    if connection.dialect.name == "postgresql":  # SQLite has one writer anyway
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")


def initial_seal(key: SealKey, number: int, name: str, form: int, unsealed: int) -> bytes:
    """Return what a writer's first entry is sealed upon; it vouches for the writer's own row."""
    return key.sign("writer", number, name, form, unsealed)


def is_authentic(key: SealKey, writer: Row[Any]) -> bool:
    """Say whether a writer's row is as it was written with this key."""
    seal = initial_seal(key, writer.id, writer.name, writer.format, writer.unsealed)
    return constant_time_equal(writer.seal, seal)


def check_key(engine: Engine, key: SealKey | None) -> None:
    """See that a log that was begun with a key goes on with the same one.

    Raises
    ------
    SealError
        The log is sealed and this is not its key, or there is none: rows written now could not be
        told from rows that somebody slipped in.
    DatabaseUnavailable
        The database cannot be read.
    """
    found = _first_writer(engine)
    if found is None:
        return
    if key is None:
        raise SealError(
            "This log is sealed, so its key is needed: set CARDIOWATCH_LOG_HMAC_KEY_FILE "
            "(docs/record.md)."
        )
    if not is_authentic(key, found):
        raise SealError(
            f"This log was sealed with another key than {key.path}, or its first writer was "
            "altered: set CARDIOWATCH_LOG_HMAC_KEY_FILE to the key it was begun with."
        )


def create_default_key(url: str) -> None:
    """Make the key of a SQLite log that has none and is not sealed, beside its file."""
    path = default_key_path(url)
    if path is not None and not path.exists() and _first_writer(open_engine(url)) is None:
        create_seal_key(path)


def _first_writer(engine: Engine) -> Row[Any] | None:
    with session(engine) as connection:
        return connection.execute(select(writers).order_by(writers.c.id).limit(1)).one_or_none()
