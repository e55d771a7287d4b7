"""A log is sealed from the moment its first service with a key starts."""

from __future__ import annotations

import asyncio
from time import time_ns

import pytest
from sqlalchemy import Connection

from db.audit.chain import count_unsealed
from db.audit.chain_heads import heads_path
from db.audit.seal_key import SealKey
from db.ids import new_id
from db.verify import format_result, verify_log
from db.writer.file_lock import LogLocked
from db.writer.writer import LogWriter
from tests.db.rows import row, running_log, store_as_before


def test_rows_from_before_are_counted_for_longer_than_a_row_may_take(
    postgres_url: str, key: SealKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    def count_long(connection: Connection) -> int:
        connection.exec_driver_sql("SELECT pg_sleep(1)")
        return count_unsealed(connection)

    async def seal() -> None:
        async with running_log(postgres_url):
            pass
        store_as_before(postgres_url, [row(), row()])
        monkeypatch.setattr("db.audit.chain.count_unsealed", count_long)
        async with running_log(postgres_url, key=key, timeout_s=0.5) as log:
            await log.append([row()])

    asyncio.run(seal())
    verdict = verify_log(postgres_url, key)
    assert (verdict.findings, verdict.counts["unsealed"]) == ([], 2)


def test_a_sealed_log_without_rows_is_as_it_was_written(database_url: str, key: SealKey) -> None:
    heads = heads_path(key, None)
    assert heads is not None

    async def start_and_stop() -> None:
        async with running_log(database_url, key=key, heads_path=heads):
            pass

    asyncio.run(start_and_stop())
    verdict = verify_log(database_url, key, [heads])
    assert format_result(verdict, with_heads=True) == [
        "0 predictions, 0 outcomes and 0 responses of 1 writers: integrity check passed."
    ]


def test_a_process_that_may_not_write_seals_nothing(sqlite_url: str, key: SealKey) -> None:
    async def start_beside() -> None:
        async with running_log(sqlite_url) as log:
            with pytest.raises(LogLocked):
                await LogWriter(sqlite_url, key=key).start()
            await log.append([row()])
        async with running_log(sqlite_url, key=key):
            pass

    asyncio.run(start_beside())
    assert verify_log(sqlite_url, key).counts["unsealed"] == 1


def test_rows_of_a_clock_that_was_ahead_are_the_only_finding(sqlite_url: str, key: SealKey) -> None:
    async def seal() -> None:
        async with running_log(sqlite_url) as log:
            await log.append([row(id=new_id(time_ns() // 1_000_000 + 300_000))])
        async with running_log(sqlite_url, key=key) as log:
            await log.append([row()])

    asyncio.run(seal())
    assert verify_log(sqlite_url, key).findings == [
        "1 rows without a seal are newer than the chain"
    ]
