from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select

from db.audit.seals import NO_SEAL
from db.engine import open_engine, session
from db.rollups import rollup_worker
from db.rollups.dirty_buckets import DAY, FIVE_MINUTES, HOUR
from db.rollups.rollup_worker import RollupWorker, transaction_runner
from db.schema import dirty_buckets
from db.writer.inserts import prediction_inserter
from db.writer.writer import LogWriter
from tests.db.rows import row, running_log, store
from tests.db.windows import HOUR_LONG, LATER, MINUTE, NOON, at, counts, roll_up, waiting, widths

pytestmark = pytest.mark.usefixtures("no_window_is_small")


@pytest.mark.parametrize(
    ("seconds_after", "rolled"), [(0, 0), (19, 0), (21, 1)], ids=["at once", "soon", "then"]
)
def test_a_bucket_is_rolled_up_when_no_row_comes_any_more(
    url: str, seconds_after: int, rolled: int
) -> None:
    asyncio.run(store(url, [at(NOON)]))
    assert roll_up(url, NOON + 5 * MINUTE + timedelta(seconds=seconds_after)) == rolled


def test_hours_and_days_are_folded_when_they_have_ended(url: str) -> None:
    asyncio.run(store(url, [at(NOON + i * 10 * MINUTE) for i in range(12)]))
    roll_up(url, NOON + 61 * MINUTE)
    assert widths(url) == {FIVE_MINUTES: 6, HOUR: 1}
    roll_up(url, NOON + 121 * MINUTE)
    assert widths(url) == {FIVE_MINUTES: 12, HOUR: 2}
    roll_up(url, NOON + timedelta(hours=13))
    assert widths(url) == {FIVE_MINUTES: 12, HOUR: 2, DAY: 1}
    assert waiting(url) == 0


def test_a_second_pass_has_nothing_to_do(url: str) -> None:
    asyncio.run(store(url, [at(NOON)]))
    assert roll_up(url) == 3  # five minutes, an hour, a day
    assert roll_up(url) == 0


def test_a_row_that_comes_while_its_bucket_is_counted_is_not_forgotten(url: str) -> None:
    own = transaction_runner(open_engine(url))

    async def run() -> None:
        async with running_log(url) as log:
            await log.append([at(NOON)])
            came = []

            def write(work: Callable[[Any], Any]) -> Any:
                # The counts have been read by now. The first call only waits for the writers.
                if not came and work.__class__.__name__ == "partial":
                    came.append(at(NOON))
                    asyncio.run_coroutine_threadsafe(log.append(came), loop).result(5)
                return own(work)

            loop = asyncio.get_running_loop()
            assert await asyncio.to_thread(roll_up, url, LATER, write) == 0
            assert counts(url).n == 2

    asyncio.run(run())
    roll_up(url)
    assert (counts(url).n, waiting(url)) == (2, 0)


def test_a_bucket_waits_for_a_transaction_that_still_writes_to_it(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollup_worker, "_WRITERS_S", 0.1)
    asyncio.run(store(postgres_url, [at(NOON)]))
    with session(open_engine(postgres_url)) as slow:
        slow.exec_driver_sql("BEGIN")
        prediction_inserter(slow.engine)(slow, [at(NOON)], [NO_SEAL])
        assert roll_up(postgres_url) == 0
        slow.exec_driver_sql("COMMIT")
    assert roll_up(postgres_url) == 3
    assert counts(postgres_url).n == 2


def test_a_pass_that_is_killed_leaves_nothing_half_done(url: str) -> None:
    asyncio.run(store(url, [at(NOON + i * HOUR_LONG) for i in range(4)]))
    own = transaction_runner(open_engine(url))
    left = [3]

    def write(work: Callable[[Any], Any]) -> Any:
        def killed_before_commit(connection: Any) -> Any:
            result = work(connection)
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            return result

        return own(killed_before_commit)

    with pytest.raises(KeyboardInterrupt):
        roll_up(url, LATER, write)
    assert counts(url).values["age"] == {63.0: 4}
    roll_up(url)
    assert counts(url).values["age"] == {63.0: 4}
    assert waiting(url) == 0


def test_of_two_passes_at_once_each_bucket_is_counted_by_one(url: str) -> None:
    asyncio.run(store(url, [at(NOON + i * HOUR_LONG) for i in range(20)]))
    done: list[int] = []
    passes = [threading.Thread(target=lambda: done.append(roll_up(url))) for _ in range(2)]
    for each in passes:
        each.start()
    for each in passes:
        each.join()
    roll_up(url)
    assert widths(url) == {FIVE_MINUTES: 20, HOUR: 20, DAY: 2}
    assert counts(url).values["age"] == {63.0: 20}


def test_the_rows_of_the_present_mark_their_bucket_once(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.rollups.dirty_buckets.time.time", (NOON + MINUTE).timestamp)

    def mark() -> str | None:
        with session(open_engine(url)) as connection:
            return connection.scalar(select(dirty_buckets.c.mark))

    async def run() -> None:
        async with running_log(url) as log:
            await log.append([at(NOON)])
            first = mark()
            await log.append([at(NOON + MINUTE)])
            assert mark() == first
            monkeypatch.setattr("db.rollups.dirty_buckets.time.time", (NOON + 6 * MINUTE).timestamp)
            await log.append([at(NOON)])  # late: the roller may have been there
            assert mark() != first

    asyncio.run(run())


def test_a_refused_row_does_not_leave_its_neighbours_bucket_unmarked(url: str) -> None:
    async def run() -> None:
        async with running_log(url) as log:
            refused, stored = row(age=17.0), row()
            await asyncio.gather(
                log.append([refused]), log.append([stored]), return_exceptions=True
            )
            await log.append([row()])

    asyncio.run(run())
    assert waiting(url) >= 1
    assert counts(url).n == 2


def test_the_api_s_roller_rolls_through_the_log(url: str) -> None:
    async def run() -> None:
        async with running_log(url) as log:
            await log.append([at(NOON + i * MINUTE) for i in range(30)])
            roller = RollupWorker(log.execute, url, every_s=0.01)
            roller.start()
            for _ in range(500):
                if not waiting(url):
                    break
                await asyncio.sleep(0.01)
            await roller.stop()

    asyncio.run(run())
    assert widths(url) == {FIVE_MINUTES: 6, HOUR: 1, DAY: 1}


def test_a_roller_survives_a_log_that_cannot_write(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        log = LogWriter(url)
        await log.start()
        await log.append([at(NOON)])
        await log.stop()
        roller = RollupWorker(log.execute, url, every_s=0.01)
        roller.start()
        while "The log writer is not running" not in caplog.text:
            await asyncio.sleep(0.01)
        await roller.stop()

    asyncio.run(asyncio.wait_for(run(), 10))


def test_a_program_leaves_sqlite_to_others_for_longer_than_it_wrote(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(store(sqlite_url, [at(NOON)]))
    rests = []

    def rest(seconds: float) -> None:
        rests.append(seconds)
        with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), timeout=0)) as other:
            other.execute("BEGIN IMMEDIATE")  # the lock is free

    clock = iter([100.0, 103.0])
    monkeypatch.setattr(
        rollup_worker, "time", SimpleNamespace(monotonic=lambda: next(clock), sleep=rest)
    )
    assert transaction_runner(open_engine(sqlite_url))(lambda _: "done") == "done"
    assert rests == [6.0]
