"""Group commit: one thread that writes everything queued in one transaction, again and again.

A batch is what was queued while the one before was being committed; nothing is delayed to fill it.
A write is claimed exactly once, by this thread (which then stores it) or by the caller's timeout
(then it is never stored); so a 503 is reliable.
"""

from __future__ import annotations

import logging
import threading
from asyncio import Future
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InvalidRequestError,
    StatementError,
)

from db.audit.chain import Chain
from db.audit.seals import serialize_prediction
from db.engine import begin_transaction, dbapi_of, error_message
from db.partitions import PartitionCache
from db.rollups.dirty_buckets import DirtyBuckets
from db.writer.idempotency import IdempotencyClaim, claim_keys
from db.writer.inserts import Row, prediction_inserter
from errors import CardiowatchError
from logs import LogThrottle

logger = logging.getLogger("cardiowatch.log")


class LogUnavailable(CardiowatchError):
    """The rows were not committed in time.

    With `commit_unknown` false they are not stored and never will be. With `commit_unknown` true
    the database fell silent during the commit: they may be stored, and a retry under the same
    idempotency key settles it. With `queue_full` the queue has no room.
    """

    def __init__(
        self, reason: str, *, commit_unknown: bool = False, queue_full: bool = False
    ) -> None:
        super().__init__(reason)
        self.commit_unknown = commit_unknown
        self.queue_full = queue_full


class RowRejected(Exception):
    """The rows violate a constraint of the tables: a bug; a retry does not help."""


class PendingWrite:
    """One caller's write: rows of predictions, or other work inside the transaction."""

    __slots__ = ("_taken", "claim", "deadline", "error", "future", "result", "rows", "work")

    def __init__(
        self,
        future: Future[Any],
        deadline: float,
        rows: Sequence[Row] = (),
        claim: IdempotencyClaim | None = None,
        work: Callable[[Connection], Any] | None = None,
    ) -> None:
        self.future = future
        self.deadline = deadline
        self.rows = rows
        self.claim = claim
        self.work = work
        self.result: Any = None
        self.error: Exception | None = None
        self._taken = threading.Lock()

    def try_claim(self) -> bool:
        """Claim this write; return True to exactly one caller, in any thread."""
        return self._taken.acquire(blocking=False)


class Committer:
    """Commits writes in batches; `run` is the body of its thread.

    Parameters
    ----------
    engine
        In autocommit mode; transactions begin and end here.
    on_settled
        Called in the writing thread with the writes of each batch, once their `result` or `error`
        is final.
    chain
        Seals what is written.
    """

    def __init__(
        self, engine: Engine, on_settled: Callable[[list[PendingWrite]], None], chain: Chain
    ) -> None:
        self.queue: SimpleQueue[PendingWrite | None] = SimpleQueue()
        self._engine = engine
        self._settle = on_settled
        self._connection: Connection | None = None
        self._file: int | None = None
        self._insert = prediction_inserter(engine)
        self._driver = dbapi_of(engine)
        self._marks = DirtyBuckets()
        self._days = PartitionCache()
        self._chain = chain
        self._seldom = LogThrottle()

    def start_chain(self, url: str) -> None:
        """Start a new log's chain in the database of this URL, before `run`; see Chain.start."""
        self._file = self._file_now()
        self._chain.start(url)

    def run(self) -> None:
        """Commit batch after batch until None comes through the queue."""
        while (first := self.queue.get()) is not None:
            self._settle(self._commit_queued(first))
        self._discard()

    def _commit_queued(self, first: PendingWrite) -> list[PendingWrite]:
        try:
            connection = self._begin()
        except (
            Exception
        ) as error:  # whatever it is, the thread must go on and the callers must be told
            self._discard()
            entries = self._drain(first)
            _fail([e for e in entries if e.try_claim()], self._reason(error))
            return entries
        # Only now: what times out while waiting for the database is not stored later.
        entries = self._drain(first)
        taken = [entry for entry in entries if entry.try_claim()]
        committing, place = False, self._chain.position
        try:
            self._write(connection, taken)
            committing = True
            connection.exec_driver_sql("COMMIT")
            self._chain.mark_committed()
        except Exception as error:
            unknown = committing and not _certainly_rolled_back(error)
            if not committing and self._roll_back(connection, error):
                self._chain.position = place
            else:
                self._discard()
            _fail(taken, self._reason(error), commit_unknown=unknown)
        return entries

    def _roll_back(self, connection: Connection, error: Exception) -> bool:
        """Return whether the server took the transaction back: what was committed before stands.

        A server that has become read-only was the primary before another one.
        """
        if getattr(getattr(error, "orig", error), "sqlstate", None) == "25006":
            return False
        try:
            connection.exec_driver_sql("ROLLBACK")
        except (DBAPIError, InvalidRequestError):
            return False
        self._forget()
        return True

    def _reason(self, error: Exception) -> str:
        """Return what is wrong with the database, and log it: callers may have timed out."""
        reason = error_message(self._engine, error)
        if count := self._seldom.admit("commit"):
            logger.warning("the log cannot be written: %s", reason, extra={"count": count})
        return reason

    def _drain(self, first: PendingWrite) -> list[PendingWrite]:
        entries = [first]
        while True:
            try:
                entry = self.queue.get_nowait()
            except Empty:
                return entries
            if entry is None:
                self.queue.put(None)  # the end, which run() must see too
                return entries
            entries.append(entry)

    def _begin(self) -> Connection:
        """Begin a transaction, on a new connection when the old one has died."""
        if self._file != self._file_now():
            self._discard()  # deleted or replaced: rows written to the old file would be lost
        if self._connection is not None:
            try:
                begin_transaction(self._connection)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
                self._discard()
            else:
                return self._connection
        self._file = self._file_now()
        self._connection = self._engine.connect()
        begin_transaction(self._connection)
        return self._connection

    def _file_now(self) -> int | None:
        """Return the inode of SQLite's file, which tells a replaced one; None on PostgreSQL."""
        if self._engine.dialect.name != "sqlite":
            return None
        return Path(self._engine.url.database or "").stat().st_ino

    def _discard(self) -> None:
        self._forget()
        self._chain.reset()
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None

    def _write(self, connection: Connection, entries: list[PendingWrite]) -> None:
        place = self._chain.position
        try:
            self._write_together(connection, entries)
        except Exception as error:
            if not self._is_rejection(error):
                raise
            connection.exec_driver_sql("ROLLBACK")
            self._forget()
            self._chain.position = place
            begin_transaction(connection)
            for entry in entries:
                self._write_separately(connection, entry)

    def _write_separately(self, connection: Connection, entry: PendingWrite) -> None:
        """Write one entry so that its rejection does not affect the others."""
        entry.result = None  # that of the batch was rolled back
        place = self._chain.position
        connection.exec_driver_sql("SAVEPOINT entry")
        try:
            self._write_together(connection, [entry])
        except Exception as error:
            if not self._is_rejection(error):
                raise
            entry.error = RowRejected(_first_line(error))
            connection.exec_driver_sql("ROLLBACK TO SAVEPOINT entry")
            self._forget()
            self._chain.position = place
        connection.exec_driver_sql("RELEASE SAVEPOINT entry")

    def _forget(self) -> None:
        """Reset the caches of what a rollback may have undone."""
        self._marks.reset()
        self._days.reset()

    def _is_rejection(self, error: Exception) -> bool:
        """Return whether the tables reject an entry, as opposed to a database that cannot write."""
        by_driver = self._driver.IntegrityError, self._driver.DataError
        return isinstance(error, (*_REJECTIONS, *by_driver)) or (
            isinstance(error, StatementError) and not isinstance(error, DBAPIError)
        )

    def _write_together(self, connection: Connection, entries: list[PendingWrite]) -> None:
        claimed = [(entry, entry.claim) for entry in entries if entry.claim]
        if claimed:
            answers = claim_keys(connection, [claim for _, claim in claimed])
            for (entry, _), answer in zip(claimed, answers, strict=True):
                entry.result = answer
        rows = [row for entry in entries if entry.result is None for row in entry.rows]
        if rows:
            self._days.ensure(connection, rows)
            seals = self._chain.seal(connection, rows, serialize_prediction)
            self._insert(connection, rows, seals)
            self._marks.mark_rows(connection, rows)
        for entry in entries:
            if entry.work:
                entry.result = entry.work(connection)


_REJECTIONS = (IntegrityError, DataError, TypeError, ValueError, LookupError, ArithmeticError)


def _fail(entries: list[PendingWrite], reason: str, *, commit_unknown: bool = False) -> None:
    for entry in entries:  # one each: a shared error would collect the frames of all callers
        entry.error = LogUnavailable(reason, commit_unknown=commit_unknown)


def _certainly_rolled_back(error: Exception) -> bool:
    """Return whether a failed COMMIT is known to have stored nothing.

    SQLite fails this way when it cannot write its last page; after any other error the commit may
    have happened unnoticed.
    """
    cause = getattr(error, "orig", None)
    return getattr(cause, "sqlite_errorname", "") in ("SQLITE_FULL", "SQLITE_BUSY")


def _first_line(error: Exception) -> str:
    """Return the error without the row: PostgreSQL's further lines quote its values."""
    return str(getattr(error, "orig", None) or error).split("\n")[0]
