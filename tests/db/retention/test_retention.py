"""Days that are not kept any more are really gone, and the rest of the log still verifies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, func, select

from db.audit.seal_key import SealError, SealKey
from db.audit.sealed_entries import SealedEntry
from db.audit.tombstones import add_expired
from db.engine import open_engine, session, transaction
from db.ids import new_id
from db.reader.queries import Reader
from db.retention.delete_expired import RetentionTask, delete_expired
from db.rollups.dirty_buckets import mark_dirty
from db.rollups.rollup_worker import RollupWorker, insert_counts, transaction_runner, update_rollups
from db.schema import DEPENDENT_TABLES, dirty_buckets, predictions, rollups, tombstones
from db.verify import verify_log
from tests.db.rows import VERSION, row, running_log
from tests.programs import invoke

NOW = datetime(2026, 3, 1, 8, 30, tzinfo=UTC)


def days_ago(days: float, **changes: object) -> tuple[object, ...]:
    return row(id=new_id(int((NOW - timedelta(days=days)).timestamp() * 1000)), **changes)


def write(url: str, key: SealKey | None, *calls: list[tuple[object, ...]]) -> None:
    async def append() -> None:
        async with running_log(url, key=key) as log:
            for rows in calls:
                await log.append(rows)
                await log.record_outcome(str(rows[0][0]), 1, None)
                await log.record_response(str(rows[0][0]), "agree")

    asyncio.run(append())


def expire_now(url: str, key: SealKey | None, days: int = 30) -> int:
    read = open_engine(url, read_only=True)
    try:
        return delete_expired(read, transaction_runner(open_engine(url)), NOW, days, key)
    finally:
        read.dispose()


def count(url: str, table: object) -> int:
    with session(open_engine(url)) as connection:
        return connection.scalar(select(func.count()).select_from(table)) or 0  # type: ignore[arg-type]


def roll_up(url: str) -> None:
    read = open_engine(url, read_only=True)
    update_rollups(read, transaction_runner(open_engine(url)), NOW)
    read.dispose()


def test_whole_days_expire_with_what_belongs_to_them(database_url: str, key: SealKey) -> None:
    kept = [days_ago(30.2), days_ago(1)]
    write(database_url, key, [days_ago(31.4), days_ago(45)], kept, [days_ago(90), days_ago(2)])
    roll_up(database_url)
    assert expire_now(database_url, key) == 3
    reader = Reader(database_url)
    left, _ = reader.page()
    assert [found["received_at"].day for found in left] == [28, 27, 30]
    assert reader.counts().n == 3
    reader.close()
    assert [count(database_url, table) for table in DEPENDENT_TABLES] == [1, 1]
    with session(open_engine(database_url)) as connection:
        oldest = connection.scalar(select(func.min(rollups.c.bucket)))
    assert oldest == int(datetime(2026, 1, 30, tzinfo=UTC).timestamp())
    assert verify_log(database_url, key).findings == []
    assert expire_now(database_url, key) == 0


def test_counts_of_many_days_expire_a_few_at_a_time(database_url: str) -> None:
    midnight = int(NOW.replace(hour=0, minute=0).timestamp())
    named = [(300, "age"), (300, "no more counted"), (3_600, "age")]
    rows = [
        (width, feature, midnight - days * 86_400 + nth * 3_600, "live", VERSION, value, 1)
        for width, feature in named
        for days in range(60)
        for nth in range(8)
        for value in range(4)
    ]
    with transaction(open_engine(database_url)) as connection:
        insert_counts(connection, rows)
        mark_dirty(connection, 3_600, {row_[2] for row_ in rows})
    gone = []

    def write_and_count(work: Callable[[Connection], object]) -> object:
        before = count(database_url, rollups)
        done = transaction_runner(open_engine(database_url))(work)
        gone.append(before - count(database_url, rollups))
        return done

    read = open_engine(database_url, read_only=True)
    delete_expired(read, write_and_count, NOW, 30, None)
    read.dispose()
    kept = 31 * 8
    assert (sum(gone), count(database_url, dirty_buckets)) == (
        len(rows) - len(named) * kept * 4,
        kept,
    )
    assert max(gone) < 1_010
    assert len(gone) < 10  # an hour with nothing to delete writes nothing


def test_what_expires_day_after_day_becomes_one_stretch(database_url: str, key: SealKey) -> None:
    write(database_url, key, *[[days_ago(40 - i), days_ago(40 - i)] for i in range(10)])
    for days in (39, 37, 34, 30):
        expire_now(database_url, key, days)
    with session(open_engine(database_url)) as connection:
        found = connection.execute(select(tombstones.c.first, tombstones.c.last)).all()
    # The first entry leaves its digest: nobody has held it against the writer's beginning yet.
    assert [tuple(each) for each in found] == [(1, 1), (2, 40)]
    assert verify_log(database_url, key).findings == []


def test_many_rows_expire_in_several_transactions(
    database_url: str, key: SealKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.retention.delete_expired._ROWS", 7)
    write(database_url, key, *[[days_ago(50 - i / 10)] for i in range(30)])
    assert expire_now(database_url, key) == 30
    assert (count(database_url, predictions), count(database_url, tombstones)) == (0, 2)
    assert verify_log(database_url, key).findings == []


def values_in_statements(engine: Engine) -> list[int]:
    """Return a list of how many values each statement carries; PostgreSQL takes 65,535."""
    found: list[int] = []

    @event.listens_for(engine, "before_cursor_execute")
    def look(_c: object, _cursor: object, _sql: str, values: Any, _x: object, many: bool) -> None:
        found.append(len(values[0] if many else values))

    return found


def test_a_statement_does_not_grow_with_the_records_that_become_one(
    database_url: str, key: SealKey
) -> None:
    gone, seal = [], b"the one before"
    for number in range(1, 5_001):
        content = b"%032d" % number
        seal = key.seal(seal, content)
        gone.append(SealedEntry(1, number, "", content, seal, "", "predictions"))
    engine = open_engine(database_url)
    largest = values_in_statements(engine)
    for some in (gone[::2], gone[1::2]):  # two days whose entries alternate
        with transaction(engine) as connection:
            add_expired(connection, key, some)
    with session(engine) as connection:
        left = connection.execute(select(tombstones.c.first, tombstones.c.last)).all()
    assert [tuple(each) for each in left] == [(1, 1), (2, 5_000)]
    assert max(largest) < 100


def test_a_log_without_seals_expires_too(database_url: str) -> None:
    write(database_url, None, [days_ago(90), days_ago(2)])
    assert expire_now(database_url, None) == 1
    assert count(database_url, tombstones) == 0


def test_nothing_of_a_sealed_log_is_removed_without_its_key(
    database_url: str, key: SealKey
) -> None:
    write(database_url, key, [days_ago(90)])
    with pytest.raises(SealError, match="removing rows requires its key"):
        expire_now(database_url, None)
    assert count(database_url, predictions) == 1


def test_rows_that_expire_before_the_chain_begins_are_not_missed(
    database_url: str, key: SealKey
) -> None:
    write(database_url, None, [days_ago(90), days_ago(2)])
    assert expire_now(database_url, key) == 1
    write(database_url, key, [days_ago(1)])
    assert verify_log(database_url, key).findings == []


def test_the_api_s_roller_expires_too(database_url: str, key: SealKey) -> None:
    async def live() -> None:
        async with running_log(database_url, key=key) as log:
            await log.append([row(id=new_id(0)), row()])
            roller = RollupWorker(
                log.execute, database_url, every_s=0.01, then=RetentionTask(30, key)
            )
            roller.start()
            for _ in range(500):
                if count(database_url, predictions) == 1:
                    break
                await asyncio.sleep(0.01)
            await roller.stop()

    asyncio.run(live())
    verdict = verify_log(database_url, key)
    assert (verdict.counts["expired"], verdict.findings) == (1, [])


def test_the_program_expires_by_the_setting(sqlite_url: str, key: SealKey) -> None:
    write(sqlite_url, key, [row(id=new_id(0)), row()])
    settings = {"database_url": sqlite_url, "log_hmac_key_file": key.path}
    unset = invoke("retention", **settings)
    assert (unset.returncode, unset.stderr) == (
        4, "cardiowatch: Nothing deleted: CARDIOWATCH_RETENTION_DAYS is not set.\n",
    )  # fmt: skip
    done = invoke("retention", **settings, retention_days=30)
    assert done.stdout == "Deleted 1 predictions older than 30 days\n"
