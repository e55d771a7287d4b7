"""Tools to see what a caller of the log is told while something is broken."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from time import monotonic

from db.engine import open_engine, session
from db.schema import predictions
from db.writer.writer import LogUnavailable, LogWriter
from tests.db.rows import row


@dataclass
class Told:
    """What the callers were told about their rows, by id."""

    stored: set[str] = field(default_factory=set)
    not_stored: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    longest_s: float = 0.0

    async def append(self, log: LogWriter) -> None:
        """Append one row and remember what came back, and after how long."""
        sent = row()
        began = monotonic()
        try:
            await log.append([sent])
            self.stored.add(sent[0])
        except asyncio.CancelledError:
            self.unknown.add(sent[0])
            raise
        except LogUnavailable as error:
            (self.unknown if error.commit_unknown else self.not_stored).add(sent[0])
        self.longest_s = max(self.longest_s, monotonic() - began)

    async def seconds_until_stored(self) -> float:
        """Wait until one more row is acknowledged; return how long that took."""
        before, began = len(self.stored), monotonic()
        while len(self.stored) == before:
            assert monotonic() - began < 30, "no row was stored within 30 s"
            await asyncio.sleep(0.01)
        return monotonic() - began

    def agrees_with(self, url: str) -> None:
        """Check the table: every acknowledged row is there, no refused one is."""
        with session(open_engine(url)) as connection:
            there = set(
                connection.scalars(predictions.select().with_only_columns(predictions.c.id))
            )
        assert self.stored <= there, f"{len(self.stored - there)} acknowledged rows are missing"
        assert not self.not_stored & there, "a refused row was stored after all"
        assert there <= self.stored | self.unknown


@contextlib.asynccontextmanager
async def callers(log: LogWriter, number: int = 20) -> AsyncIterator[Told]:
    """Keep callers appending, each again every 10 ms."""
    told = Told()

    async def call() -> None:
        while True:
            await told.append(log)
            await asyncio.sleep(0.01)

    tasks = [asyncio.create_task(call()) for _ in range(number)]
    try:
        yield told
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


@contextlib.asynccontextmanager
async def loop_stays_free() -> AsyncIterator[None]:
    """Check that the event loop turns: one that waits for a database answers nobody.

    Counted over the whole time and not by the longest pause, for which a busy machine is enough.
    """
    ticks, began = 0, monotonic()

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    try:
        yield
    finally:
        ticking.cancel()
    a_second = ticks / (monotonic() - began)
    assert a_second > 10, f"the event loop turned {a_second:.1f} times a second"
