"""The log's only writer: what it acknowledges is committed.

The asyncio side: callers queue writes and await their result or a timeout. `db.writer.committer`
writes in its own thread, so the event loop never waits for a database.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import IO, Any, Literal, TypeVar

from sqlalchemy import Connection, Table

from db.audit.chain import Chain, check_key
from db.audit.chain_heads import open_heads
from db.audit.seal_key import SealKey
from db.engine import CONNECT_TIMEOUT_S, check_migrated, open_engine
from db.schema import outcomes, responses
from db.writer.committer import Committer, LogUnavailable, PendingWrite, RowRejected
from db.writer.file_lock import lock_file
from db.writer.idempotency import (
    DELETE_BATCH,
    IdempotencyClaim,
    StoredResponse,
    delete_expired_keys,
    find_response,
)
from db.writer.inserts import Row
from db.writer.rejections import RejectionCounter, add_rejections
from db.writer.writes import check_writable, insert_dependent, insert_model

__all__ = ["LogUnavailable", "LogWriter", "RowRejected"]

T = TypeVar("T")


_FLUSH_S = 1.0  # between writes of the counted rejections
_CLEAN_S = 600.0  # between deletions of expired idempotency keys


class LogWriter:
    """Appends predictions, outcomes, responses and models; one per process, from one event loop.

    Parameters
    ----------
    url
        SQLAlchemy URL of a migrated database.
    queue_max
        Rows that may wait for their commit; above it `LogUnavailable` comes at once.
    timeout_s
        Seconds after which a row that is not committed is abandoned.
    key
        Seals every row (db.audit.chain); without one they carry no seals.
    heads_path
        File for the chain heads, outside the database; needs a key.
    """

    def __init__(
        self,
        url: str,
        *,
        queue_max: int = 10_000,
        timeout_s: float = 2.0,
        key: SealKey | None = None,
        heads_path: Path | None = None,
    ) -> None:
        self._url = url
        self._engine = open_engine(url, timeout_s=timeout_s)
        self._key = key
        self._chain = Chain(key)
        self._heads = open_heads(heads_path, key) if heads_path and key else None
        self._queue_max = queue_max
        self._timeout_s = timeout_s
        self._committer = Committer(self._engine, self._settle, self._chain)
        self._pending: deque[PendingWrite] = deque()
        self._rows_waiting = 0
        self._rejections = RejectionCounter()
        self._running = False
        self._lock: IO[str] | None = None

    async def start(self) -> None:
        """Start writing; a second call does nothing.

        Raises
        ------
        DatabaseUnavailable
            When the database is missing, silent or not migrated.
        LogLocked
            When another process is writing to the same SQLite file.
        SealError
            When the log is sealed and its key is wrong or missing.
        """
        if self._running:
            return
        await asyncio.to_thread(check_migrated, self._engine)
        await asyncio.to_thread(check_key, self._engine, self._key)
        self._lock = lock_file(self._engine)
        try:
            await asyncio.to_thread(self._committer.start_chain, self._url)
        except BaseException:
            self._unlock()
            raise
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        threading.Thread(target=self._commit, name="log", daemon=True).start()
        self._watch = asyncio.create_task(self._watch_entries())
        self._upkeep = asyncio.create_task(self._keep_up())
        self._running = True

    async def stop(self) -> None:
        """Commit everything queued, then stop; do not wait for a silent database."""
        if not self._running:
            return
        self._upkeep.cancel()
        with suppress(LogUnavailable):
            await self._flush_rejections()
        self._running = False
        self._committer.queue.put(None)
        await asyncio.wait([self._ended], timeout=2 * self._timeout_s + CONNECT_TIMEOUT_S)
        self._watch.cancel()
        await self._write_head(last=True)
        if self._ended.done():
            self._unlock()

    def _unlock(self) -> None:
        if self._lock:
            self._lock.close()

    async def append(
        self, rows: Sequence[Row], *, idempotency: IdempotencyClaim | None = None
    ) -> StoredResponse | None:
        """Store predictions, all or none, and return when they are committed.

        Parameters
        ----------
        rows
            Tuples in the order of `PREDICTION_COLUMNS`; `received_at` follows from the id.
        idempotency
            A key to claim in the same transaction, with the response to store.

        Returns
        -------
        Answer or None
            None when the rows are stored; the stored response when the key was claimed before, by
            any process, and then none of these rows are stored.

        Raises
        ------
        LogUnavailable
            When the rows could not be committed in time.
        RowRejected
            When a row breaks a constraint.
        """
        answer: StoredResponse | None = await self._enqueue(rows, claim=idempotency)
        return answer

    async def find_response(self, scope: str, key: str) -> StoredResponse | None:
        """Return the response stored under an idempotency key, or None."""
        found: StoredResponse | None = await self._enqueue(
            work=lambda c: find_response(c, scope, key)
        )
        return found

    async def register_model(self, version: str, scorecard: str) -> None:
        """Store a model's scorecard (JSON text): it explains its predictions for ever."""
        await self._enqueue(work=lambda c: insert_model(c, version, scorecard))

    async def record_outcome(
        self,
        id: str,  # noqa: A002 - the field's name everywhere
        outcome: int,
        observed_at: datetime | None,
        key_id: str | None = None,
    ) -> dict[str, Any] | Literal["full"] | None:
        """Append an outcome (1 = disease) and who recorded it; the newest counts.

        Returns
        -------
        dict, "full" or None
            id, outcome, observed_at, recorded_at; "full" when this key has recorded too many, None
            when there is no such prediction.
        """
        values = {"outcome": outcome, "observed_at": observed_at, "key_id": key_id}
        return await self._record(outcomes, id, values)

    async def record_response(
        self,
        id: str,  # noqa: A002 - the field's name everywhere
        decision: str,
        reason: str | None = None,
        action: str | None = None,
        *,
        key_id: str | None = None,
        actor: bytes | None = None,
    ) -> dict[str, Any] | Literal["full"] | None:
        """Append what a clinician made of a prediction, in codes; returns as `record_outcome`."""
        said = {"decision": decision, "reason": reason, "action": action}
        return await self._record(responses, id, said | {"key_id": key_id, "actor": actor})

    async def _record(
        self, table: Table, prediction_id: str, values: dict[str, Any]
    ) -> dict[str, Any] | Literal["full"] | None:
        recorded: dict[str, Any] | Literal["full"] | None = await self._enqueue(
            work=lambda c: insert_dependent(c, self._chain, table, prediction_id, values)
        )
        return recorded

    async def execute(self, work: Callable[[Connection], T]) -> T:
        """Run other writes in the writer's transaction, so that they never wait for its lock.

        The next rows wait for them: keep them to a few milliseconds. They run again, after a
        rollback, when another write of the same transaction is rejected.
        """
        result: T = await self._enqueue(work=work)
        return result

    async def ping(self) -> None:
        """Write to the database; raise LogUnavailable when that fails."""
        await self._enqueue(work=check_writable)

    def count_rejection(
        self, *, route: str, status: int, field: str, reason: str, source: str
    ) -> None:
        """Count a rejected request, never its values; written about every second, best effort."""
        self._rejections.count(route, status, field, reason, source)

    def _enqueue(
        self,
        rows: Sequence[Row] = (),
        claim: IdempotencyClaim | None = None,
        work: Callable[[Connection], Any] | None = None,
    ) -> asyncio.Future[Any]:
        if not self._running:
            raise LogUnavailable("The log writer is not running.")
        # A call larger than the whole queue passes when the queue is empty, or it never could.
        if self._rows_waiting and self._rows_waiting + len(rows) > self._queue_max:
            reason = f"{self._rows_waiting} rows are already queued."
            raise LogUnavailable(reason, queue_full=True)
        entry = PendingWrite(
            self._loop.create_future(), monotonic() + self._timeout_s, rows, claim, work
        )
        self._rows_waiting += len(rows)
        self._pending.append(entry)
        self._committer.queue.put(entry)
        return entry.future

    def _commit(self) -> None:
        """Body of the writing thread."""
        self._committer.run()
        self._call_in_loop(self._ended.set_result, None)

    def _settle(self, entries: list[PendingWrite]) -> None:
        self._call_in_loop(self._answer, entries)

    def _call_in_loop(self, callback: Callable[[Any], None], argument: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is waiting
            self._loop.call_soon_threadsafe(callback, argument)

    def _answer(self, entries: list[PendingWrite]) -> None:
        for entry in entries:
            self._rows_waiting -= len(entry.rows)
            if entry.future.done():  # timed out, or the caller has gone
                continue
            if entry.error is None:
                entry.future.set_result(entry.result)
            else:
                entry.future.set_exception(entry.error)

    async def _watch_entries(self) -> None:
        """Abandon overdue writes: one timer for all, which are due in the order they came."""
        tick = min(0.05, self._timeout_s / 10)
        while True:
            await asyncio.sleep(tick)
            due = monotonic() + tick  # a tick early rather than late
            while self._pending and (
                self._pending[0].future.done() or self._pending[0].deadline <= due
            ):
                self._give_up(self._pending.popleft())

    def _give_up(self, entry: PendingWrite) -> None:
        if entry.future.done():
            return
        in_flight = not entry.try_claim()
        reason = f"The database did not answer within {self._timeout_s:g} s."
        entry.future.set_exception(LogUnavailable(reason, commit_unknown=in_flight))

    async def _keep_up(self) -> None:
        """Write the counted rejections and the chain head; sometimes delete expired keys."""
        next_cleaning = monotonic()
        while True:
            await asyncio.sleep(_FLUSH_S)
            await self._write_head()
            with suppress(LogUnavailable, RowRejected):
                await self._flush_rejections()
                if monotonic() >= next_cleaning and await self._clean():
                    next_cleaning = monotonic() + _CLEAN_S

    async def _clean(self) -> bool:
        """Delete expired keys for at most a second; return whether all of them are deleted."""
        end = monotonic() + _FLUSH_S
        while await self._enqueue(work=delete_expired_keys) == DELETE_BATCH:
            if monotonic() >= end:
                return False
        return True

    async def _write_head(self, *, last: bool = False) -> None:
        if self._heads is not None and self._chain.committed_head is not None:
            await asyncio.to_thread(self._heads.write, self._chain.committed_head, final=last)

    async def _flush_rejections(self) -> None:
        counts = self._rejections.drain()
        if not counts:
            return
        try:
            await self._enqueue(work=lambda c: add_rejections(c, counts))
        except LogUnavailable as error:
            if not error.commit_unknown:
                self._rejections.restore(counts)
            raise
