"""The log's only writer: what it has acknowledged is committed.

The asyncio side: callers queue their entries, time out, and hear what became of them. Writing is
`db.writer.committer`'s, in a thread of its own, so the event loop never waits for a database.
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

from sqlalchemy import Connection

from db.audit.chain import Chain, check_key
from db.audit.chain_heads import open_heads
from db.audit.seal_key import SealKey
from db.engine import CONNECT_TIMEOUT_S, check_migrated, open_engine
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
from db.writer.writes import check_writable, insert_model, insert_outcome

__all__ = ["LogUnavailable", "LogWriter", "RowRejected"]

T = TypeVar("T")


_FLUSH_S = 1.0  # refusals reach the table about so often
_CLEAN_S = 600.0  # old idempotency keys are deleted so often


class LogWriter:
    """Appends predictions, outcomes and models; one per process, used from one event loop.

    Parameters
    ----------
    url
        SQLAlchemy URL of a migrated database.
    queue_max
        Rows that may wait for their commit; above it `LogUnavailable` comes at once.
    timeout_s
        Seconds until a row that is not committed is given up.
    key
        Seals every row (db.audit.chain); without one they carry no seals.
    heads_path
        Where it is written, outside the database, how far the chain has come; needs a key.
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
        """Begin to write; once begun, a second call does nothing.

        Raises
        ------
        DatabaseUnavailable
            When the database is missing, silent or not migrated.
        LogLocked
            When another process writes to the same SQLite file.
        SealError
            When the log is sealed and its key is another one, or missing.
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
        """Commit everything queued, then end; a database that stays silent is not waited for."""
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
            A key to be taken in the same transaction, with the answer to remember.

        Returns
        -------
        Answer or None
            None when the rows are stored; when the key was taken before, by any process, what was
            answered then, and none of these rows are stored.

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
        """Return what was answered under an idempotency key, if anything was."""
        found: StoredResponse | None = await self._enqueue(
            work=lambda c: find_response(c, scope, key)
        )
        return found

    async def register_model(self, version: str, scorecard: str) -> None:
        """Keep a model's scorecard (JSON text), so that its predictions can always be explained."""
        await self._enqueue(work=lambda c: insert_model(c, version, scorecard))

    async def record_outcome(
        self,
        id: str,  # noqa: A002 - the field's name everywhere
        outcome: int,
        observed_at: datetime | None,
        key_id: str | None = None,
    ) -> dict[str, Any] | Literal["full"] | None:
        """Append what was found later (1 = disease), and who said so; the newest counts.

        Returns
        -------
        dict, "full" or None
            id, outcome, observed_at, recorded_at; "full" when this key has recorded too many, None
            when there is no such prediction.
        """
        recorded: dict[str, Any] | Literal["full"] | None = await self._enqueue(
            work=lambda c: insert_outcome(c, self._chain, id, outcome, observed_at, key_id)
        )
        return recorded

    async def execute(self, work: Callable[[Connection], T]) -> T:
        """Run other writes in the writer's own transaction, so that they never wait for its lock.

        The rows behind wait for them: keep them to a few milliseconds. They run again, after a
        rollback, when another entry of the same transaction is refused.
        """
        result: T = await self._enqueue(work=work)
        return result

    async def ping(self) -> None:
        """Really write to the database; raise LogUnavailable when that fails."""
        await self._enqueue(work=check_writable)

    def count_rejection(
        self, *, route: str, status: int, field: str, reason: str, source: str
    ) -> None:
        """Count a refused request; written about every second, best effort, never a value."""
        self._rejections.count(route, status, field, reason, source)

    def _enqueue(
        self,
        rows: Sequence[Row] = (),
        claim: IdempotencyClaim | None = None,
        work: Callable[[Connection], Any] | None = None,
    ) -> asyncio.Future[Any]:
        if not self._running:
            raise LogUnavailable("The log is not running.")
        # A call larger than the whole queue may pass when nothing waits, or it never could.
        if self._rows_waiting and self._rows_waiting + len(rows) > self._queue_max:
            reason = f"{self._rows_waiting} rows wait for their commit already."
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
        self._tell_loop(self._ended.set_result, None)

    def _settle(self, entries: list[PendingWrite]) -> None:
        self._tell_loop(self._answer, entries)

    def _tell_loop(self, callback: Callable[[Any], None], argument: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
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
        """Give up what is due: one clock for all entries, which are due in the order they came."""
        tick = min(0.05, self._timeout_s / 10)
        while True:
            await asyncio.sleep(tick)
            due = monotonic() + tick  # rather a tick early than late
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
        """Write the counted refusals and the chain's head; now and then forget old keys."""
        next_cleaning = monotonic()
        while True:
            await asyncio.sleep(_FLUSH_S)
            await self._write_head()
            with suppress(LogUnavailable, RowRejected):
                await self._flush_rejections()
                if monotonic() >= next_cleaning and await self._clean():
                    next_cleaning = monotonic() + _CLEAN_S

    async def _clean(self) -> bool:
        """Forget old keys, for a second at most; say whether all of them are forgotten."""
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
